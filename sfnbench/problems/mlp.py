"""A multilayer perceptron on real images."""

import functools
import itertools
import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ..core.constant import constant
from ..core.fields import Count, NonNegative
from ..core.network import Network
from ..core.problem import CoordinateSubspace, CriticalPoint
from ..datasets import load
from ..members.registry import register
from ._dead_units import ladder
from ._layerwise import Layer, hessian_by_layers
from ._sources import FromImages, check_within

ACTIVATIONS = {
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "relu": torch.relu,
    "softplus": functional.softplus,
    "silu": functional.silu,
    "gelu": functional.gelu,
}


@register("mlp")
@dataclass(frozen=True, kw_only=True)
class MultilayerPerceptron(FromImages, Network):
    """A fully connected classifier of images with any hidden layers.

        L(theta) = mean_b criterion(W_l a(... a(W_1 x_b + b_1) ...) + b_l, y_b)
                   + 1/2 weight_decay |theta|^2

    Fields: `dataset` a set of images (digits 8x8, 1,797 examples; mnist and fashion_mnist 28x28,
    60,000; cifar10 10x10 grey, 50,000); `size` the side in pixels that they are reduced to by exact
    area averages, None for as they are; `n_examples` how many of the training set's first examples,
    None for all; `hidden` the widths of the hidden layers, () for softmax regression; `activation`
    of the hidden units; `criterion` cross_entropy of the softmax, or squared_error: half the
    squared distance of the outputs from the one-hot label; `weight_decay` over all of theta, biases
    included.

    Pixels are in [0, 1]. The start has weights N(0, 1/fan-in) and zero biases. theta holds the
    layers in order, each as a matrix (n_out, n_in + 1) by rows whose last column are the biases:
    111 h + 10 parameters for 100-h-10. Cost of a loss: 2 dim flop an example; of a Hessian, in
    closed form, at most about dim^2 flop an example.

    Known critical point, with one hidden layer of tanh (and, under cross-entropy, no weight decay):
    the dead net, which is 0 but for the output biases and says the same of every image. Its units
    are dead, as in any network of tanh that is padded from a narrower one, and have the descent
    directions of `dead_unit_descents`: the ladder of `subspaces`. Reference: Dauphin et al. 2014,
    sections 4 and 6.1.

    >>> MultilayerPerceptron(dataset="mnist", size=10, hidden=(25,)).dim
    2785
    """

    measures = ("training_error",)

    dataset: str = "digits"
    size: Count | None = None
    n_examples: Count | None = None
    hidden: tuple[Count, ...] = (10,)
    activation: Literal["tanh", "sigmoid", "relu", "softplus", "silu", "gelu"] = (
        "tanh"
    )
    criterion: Literal["cross_entropy", "squared_error"] = "cross_entropy"
    weight_decay: NonNegative = 0.0

    def __post_init__(self) -> None:
        check_within(
            size=(self.size, self.source.side),
            n_examples=(self.n_examples, self.source.n_train),
        )
        if any(width < 1 for width in self.hidden):
            raise ValueError(
                f"hidden widths must be positive, got {list(self.hidden)}"
            )

    @functools.cached_property
    def widths(self) -> tuple[int, ...]:
        """Number of inputs, of units in each hidden layer, and of classes."""
        return (
            (self.size or self.source.side) ** 2,
            *self.hidden,
            self.source.n_classes,
        )

    @functools.cached_property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """Each layer's matrix (n_out, n_in + 1)."""
        return tuple(
            (n_out, n_in + 1) for n_in, n_out in itertools.pairwise(self.widths)
        )

    @functools.cached_property
    def dim(self) -> int:
        """Weights and biases of all layers."""
        return sum(map(math.prod, self.shapes))

    @functools.cached_property
    def critical_points(self) -> tuple[CriticalPoint, ...]:
        """The dead net, where it is known."""
        if self.activation != "tanh" or len(self.hidden) != 1:
            return ()
        # share: (n_classes,)
        share = self.examples(torch.zeros(0, dtype=torch.float64))[1].mean(1)
        if self.criterion == "squared_error":
            biases = share / (1 + self.weight_decay)
            loss = (1 - share @ biases) / 2
        elif self.weight_decay == 0 and share.all():
            biases = share.log()
            loss = -share @ biases
        else:  # under cross-entropy with weight decay the biases have no closed form
            return ()
        point = torch.zeros(self.dim, dtype=torch.float64)
        self.layers(point)[-1].biases.copy_(biases[:, None])
        return (
            CriticalPoint(
                point,
                float(loss),
                self.hidden[0] * self.dead_unit_descents(point)[0],
            ),
        )

    @functools.cached_property
    def subspaces(self) -> tuple[CoordinateSubspace, ...]:
        """The networks with fewer units a layer, if the units are of tanh."""
        if self.activation != "tanh" or not self.hidden:
            return ()
        return ladder(
            self.hidden, self.shapes, self.dead_unit_descents, self.narrowed
        )

    def narrowed(self, most: int) -> "MultilayerPerceptron":
        """The network of at most so many units in each hidden layer."""
        return replace(
            self, hidden=tuple(min(width, most) for width in self.hidden)
        )

    def dead_unit_descents(self, theta: Tensor) -> list[int]:
        """The descent directions of a dead unit of each hidden layer: see `_dead_units`."""
        a = self.examples(theta)[0]
        outs, ins = [a], []  # a_0, a_1, ... and z_1, z_2, ...
        for weights, biases in self.layers(theta.detach().requires_grad_()):
            ins.append(weights @ outs[-1] + biases)
            outs.append(ACTIVATIONS[self.activation](ins[-1]))
        slopes = torch.autograd.grad(self.fit(ins[-1], None), ins[1:])
        detours = (
            e @ functional.pad(a, (0, 0, 0, 1), value=1.0).mT
            for a, e in zip(outs, slopes, strict=False)
        )
        sigmas = map(torch.linalg.svdvals, detours)
        return [
            int((sigma > self.weight_decay + 1e-10 * sigma.max()).sum())
            for sigma in sigmas
        ]

    def start(self, rng: torch.Generator) -> Tensor:
        """Weights N(0, 1/fan-in), zero biases."""
        theta = torch.zeros(self.dim, dtype=torch.float64)
        for weights, _ in self.layers(theta):
            weights.normal_(0.0, weights.shape[1] ** -0.5, generator=rng)
        return theta

    def layers(self, theta: Tensor) -> list[Layer]:
        """Views of theta: the weights and biases of each layer."""
        parts = theta.split([math.prod(shape) for shape in self.shapes])
        matrices = [
            part.view(shape) for part, shape in zip(parts, self.shapes, strict=True)
        ]
        return [Layer(matrix[:, :-1], matrix[:, -1:]) for matrix in matrices]

    def tensors(self, theta: Tensor) -> dict[str, Tensor]:
        """Each layer's weight (n_out, n_in) and bias (n_out,)."""
        found = {}
        for place, layer in enumerate(self.layers(theta), 1):
            found[f"layer{place}.weight"] = layer.weights
            found[f"layer{place}.bias"] = layer.biases[:, 0]
        return found

    def outputs(self, theta: Tensor, batch: Tensor | None) -> Tensor:
        """The network's outputs (n_classes, n) for the images of a batch."""
        return self.answers(theta, self.chosen(theta, batch)[0])

    def answers(self, theta: Tensor, x: Tensor) -> Tensor:
        """The network's outputs (n_classes, n) for images x (n_inputs, n); columns are faster."""
        *hidden, last = self.layers(theta)
        activation = ACTIVATIONS[self.activation]
        for weights, biases in hidden:
            x = activation(weights @ x + biases)
        return last.weights @ x + last.biases

    def fit(self, z: Tensor, batch: Tensor | None) -> Tensor:
        """The mean criterion () of outputs z (n_classes, n)."""
        y = self.chosen(z, batch)[1]
        if self.criterion == "cross_entropy":
            return (z.logsumexp(0) - (z * y).sum(0)).mean()
        return (z - y).square().sum(0).mean() / 2

    def hessian(self, theta: Tensor, batch: Tensor | None) -> Tensor:
        """The Hessian (d, d), exact: layer by layer in closed form."""
        x, y = self.chosen(theta, batch)
        H = hessian_by_layers(
            self.layers(theta), x, y, ACTIVATIONS[self.activation], self.criterion
        )
        H.diagonal().add_(self.weight_decay)
        return H

    def training_error(self, theta: Tensor) -> Tensor:
        """The share () of all training examples whose largest output is not their label's."""
        x, y = self.examples(theta)
        wrong = self.answers(theta, x).argmax(0) != y.argmax(0)
        return wrong.to(theta.dtype).mean()

    def chosen(self, like: Tensor, batch: Tensor | None) -> tuple[Tensor, Tensor]:
        """Images (n_inputs, n) and one-hot labels (n_classes, n) of a batch, where `like` is."""
        if batch is None:
            return self.examples(like)
        x, y = self.by_example(like)
        return x[batch].mT, y[batch].mT

    @constant
    def examples(self) -> tuple[Tensor, Tensor]:
        """All images (n_inputs, n) and labels (n_classes, n), by pixels: for full batches."""
        x, y = map(torch.from_numpy, self._arrays)
        return x.mT.contiguous(), y.mT.contiguous()

    @constant
    def by_example(self) -> tuple[Tensor, Tensor]:
        """All images (n, n_inputs) and labels (n, n_classes), by examples: for minibatches."""
        x, y = map(torch.from_numpy, self._arrays)
        return x, y

    @functools.cached_property
    def _arrays(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        images = load(self.dataset, size=self.size, n_examples=self.n_examples)
        return images.x.reshape(len(images.x), -1), np.eye(images.n_classes)[
            images.y
        ]
