"""A deep autoencoder of images: the larger of the paper's two large problems."""

import functools
import itertools
import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from ..core.constant import constant
from ..core.curvature import CurvatureKind, Linearisation, with_decay
from ..core.fields import Count, NonNegative
from ..core.network import Network
from ..datasets import load
from ..members.registry import register
from ._layered_products import Criterion, linearised_layers
from ._sources import FromImages, check_within

N_INCOMING = 15  # of the sparse start: connections that a unit has, where it has as many inputs
# images reconstructed at once when the error is measured: 60,000 would be 240 MB a layer in float32
EXAMPLES_A_BLOCK = 4096


@register("autoencoder")
@dataclass(frozen=True, kw_only=True)
class Autoencoder(FromImages, Network):
    """A deep autoencoder of images: widths down to a code and, mirrored, up again.

        L(theta) = mean_b sum_i [log(1 + exp z_ib) - x_ib z_ib] + 1/2 weight_decay |theta|^2

    with z_b the outputs for image x_b: the cross-entropy of pixels in [0, 1] and sigmoid(z), in
    nats, summed over the pixels.

    Fields: `dataset` any of images; `size` the side in pixels that the images are reduced to by
    exact area averages, None for as they are; `n_examples` how many of the training set's first
    examples, None for all; `hidden` the encoder's widths, the code's last, so that (1000, 500, 250,
    30) is n-1000-500-250-30-250-500-1000-n; `code` whether the code's units are linear or sigmoid
    as all other hidden ones are; `initialisation` sparse: 15 incoming weights N(0, 1) a unit and
    all others zero, or glorot: uniform with variance 2 / (fan-in + fan-out); biases are zero;
    `weight_decay` over all of theta, biases included.

    theta holds the layers in order, each as weights (n_out, n_in) by rows, then biases (n_out,): as
    `torch.nn.utils.parameters_to_vector` has a stack of `torch.nn.Linear`. Cost of a loss: 2 dim
    flop an example. `reconstruction_error` is the number that the literature calls MSE: squared,
    *summed* over the pixels, mean over examples.

    The paper's network, on all of MNIST, has the hidden layers 1000-500-250-30-250-500-1000.
    Neither its code layer nor its loss is stated there: linear and cross-entropy are what Hinton
    and Salakhutdinov, and Martens, used. References: Dauphin et al. 2014, section 6.2; Hinton,
    Salakhutdinov 2006, "Reducing the dimensionality of data with neural networks"; Martens 2010,
    "Deep learning via Hessian-free optimization", for the sparse start, and Sutskever et al. 2013,
    "On the importance of initialization and momentum in deep learning"; Glorot, Bengio 2010,
    equation 16.

    >>> Autoencoder(dataset="mnist", size=None, n_examples=None, hidden=(1000, 500, 250, 30)).dim
    2837314
    """

    measures = ("reconstruction_error",)

    dataset: str = "digits"
    size: Count | None = 4
    n_examples: Count | None = 300
    hidden: tuple[Count, ...] = (8, 3)
    code: Literal["linear", "sigmoid"] = "linear"
    initialisation: Literal["sparse", "glorot"] = "sparse"
    weight_decay: NonNegative = 0.0

    def __post_init__(self) -> None:
        check_within(
            size=(self.size, self.source.side),
            n_examples=(self.n_examples, self.source.n_train),
        )
        if not self.hidden or any(width < 1 for width in self.hidden):
            raise ValueError(
                f"hidden must be one or more positive widths, the code's last, "
                f"got {list(self.hidden)}"
            )

    @functools.cached_property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """Each layer's weights (n_out, n_in)."""
        n_pixels = (self.size or self.source.side) ** 2
        widths = (n_pixels, *self.hidden, *self.hidden[-2::-1], n_pixels)
        return tuple((n_out, n_in) for n_in, n_out in itertools.pairwise(widths))

    @functools.cached_property
    def dim(self) -> int:
        """Weights and biases of all layers."""
        return sum(n_out * (n_in + 1) for n_out, n_in in self.shapes)

    @property
    def is_sigmoid(self) -> list[bool]:
        """Whether each hidden layer is nonlinear."""
        return [
            place != len(self.hidden) or self.code == "sigmoid"
            for place in range(1, len(self.shapes))
        ]

    def start(self, rng: torch.Generator) -> Tensor:
        """Weights as `initialisation` says, zero biases."""
        theta = torch.zeros(self.dim, dtype=torch.float64)
        for weights, _ in self.layers(theta):
            if self.initialisation == "glorot":
                torch.nn.init.xavier_uniform_(weights, generator=rng)
            else:
                _fill_sparsely(weights, rng)
        return theta

    def layers(self, theta: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Views of theta: the weights (n_out, n_in) and biases (n_out,) of each layer."""
        # One split for all: going back it is one concatenation, where slices would each fill a
        # theta with zeros.
        sizes = [
            size for shape in self.shapes for size in (math.prod(shape), shape[0])
        ]
        parts = theta.split(sizes)
        weights = [
            part.view(shape)
            for part, shape in zip(parts[::2], self.shapes, strict=True)
        ]
        return list(zip(weights, parts[1::2], strict=True))

    def tensors(self, theta: Tensor) -> dict[str, Tensor]:
        """Each layer's weight (n_out, n_in) and bias (n_out,)."""
        found = {}
        for place, (weights, biases) in enumerate(self.layers(theta), 1):
            found[f"layer{place}.weight"] = weights
            found[f"layer{place}.bias"] = biases
        return found

    def outputs(self, theta: Tensor, batch: Tensor | None) -> Tensor:
        """The outputs z (n_pixels, n) for the images of a batch: sigmoid(z) reconstructs them."""
        h = self.chosen(theta, batch)
        *hidden, (weights, biases) = self.layers(theta)
        for (w, b), curved in zip(hidden, self.is_sigmoid, strict=True):
            h = functional.linear(h, w, b)
            if curved:
                h = torch.sigmoid(h)
        return functional.linear(h, weights, biases).mT

    def fit(self, z: Tensor, batch: Tensor | None) -> Tensor:
        """The cross-entropy () of outputs z (n_pixels, n), summed over pixels, mean over n."""
        x = self.chosen(z, batch)
        return (
            functional.binary_cross_entropy_with_logits(z.mT, x, reduction="sum")
            / z.shape[-1]
        )

    def linearised(
        self, theta: Tensor, batch: Tensor | None, kind: CurvatureKind
    ) -> Linearisation:
        """The loss to second order, by hand."""
        x = self.chosen(theta, batch)

        def criterion(z: Tensor) -> Criterion:
            loss, p = self.fit(z.mT, batch), torch.sigmoid(z)
            return Criterion(loss, (p - x) / len(x), (p - p * p) / len(x))

        fit = linearised_layers(
            self.layers, theta, x, self.is_sigmoid, criterion, kind
        )
        return with_decay(fit, theta, self.weight_decay)

    def reconstruction_error(self, theta: Tensor) -> Tensor:
        """The squared error () of a training example: summed over pixels, mean over examples."""
        error = theta.new_zeros(())
        for weight, batch in self.parts(
            None, math.ceil(self.population / EXAMPLES_A_BLOCK)
        ):
            residual = torch.sigmoid(self.outputs(theta, batch)).mT - self.chosen(
                theta, batch
            )
            error = error + weight * residual.square().sum(1).mean()
        return error

    def chosen(self, like: Tensor, batch: Tensor | None) -> Tensor:
        """The images (n, n_pixels) of a batch, on the device and in the dtype of `like`."""
        x = self.images(like)
        return x if batch is None else x[batch]

    @constant
    def images(self) -> Tensor:
        """All images (n, n_pixels), by rows for full batches too: pixels by rows were no faster."""
        x = load(self.dataset, size=self.size, n_examples=self.n_examples).x
        return torch.from_numpy(x.reshape(len(x), -1))


def _fill_sparsely(weights: Tensor, rng: torch.Generator) -> None:
    """Set `N_INCOMING` normal weights a unit; torch's `sparse_` counts those that leave one."""
    n_out, n_in = weights.shape
    n_incoming = min(N_INCOMING, n_in)
    order = torch.rand(n_out, n_in, generator=rng, dtype=weights.dtype)
    values = torch.randn(n_out, n_incoming, generator=rng, dtype=weights.dtype)
    weights.scatter_(1, order.topk(n_incoming).indices, values)
