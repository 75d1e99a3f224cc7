"""A multilayer perceptron on real images."""

import functools
import itertools
import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from ..core import Count, CriticalPoint, NonNegative, Problem, constant
from ..datasets import ImageDataset, find, load
from ..errors import DataError
from ..registry import register
from ._layerwise import Layer, hessian_by_layers

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
class MultilayerPerceptron(Problem):
    """A fully connected classifier of images with any hidden layers.

        L(theta) = mean_b criterion(W_l a(... a(W_1 x_b + b_1) ...) + b_l, y_b) + 1/2 weight_decay |theta|^2

    Fields: `dataset` digits (8x8, 1,797 examples) or mnist (28x28, 60,000); `size` the side in pixels that the images
    are reduced to by exact area averages, None for as they are; `n_examples` how many of the training set's first
    examples, None for all; `hidden` the widths of the hidden layers, () for softmax regression; `activation` of the
    hidden units; `criterion` cross_entropy of the softmax, or squared_error: half the squared distance of the outputs
    from the one-hot label; `weight_decay` over all of theta, biases included; `batch_size` how many examples a minibatch
    draws, uniformly and with replacement, None for all examples in every step.

    Pixels are in [0, 1]. The start has weights N(0, 1/fan-in) and zero biases. theta holds the layers in order, each as a
    matrix (n_out, n_in + 1) by rows whose last column are the biases: 111 h + 10 parameters for 100-h-10. Cost of a
    loss: 2 dim flop an example; of a Hessian, in closed form up to one hidden layer, at most dim^2 flop an example.

    Known critical point, with one hidden layer of tanh (and, under cross-entropy, no weight decay): the dead net, which
    is 0 but for the output biases and says the same of every image. Each of its units has a descent direction for every
    singular value above the weight decay of C = mean_b (dL/dz)_b (x_b, 1)^T, so its index is the width times their number.
    Reference: Dauphin et al. 2014, sections 4 and 6.1.

    >>> MultilayerPerceptron(dataset="mnist", size=10, hidden=(25,)).dim
    2785
    """

    measures = ("training_error",)

    dataset: str = "digits"
    size: Count | None = None
    n_examples: Count | None = None
    hidden: tuple[Count, ...] = (10,)
    activation: Literal["tanh", "sigmoid", "relu", "softplus", "silu", "gelu"] = "tanh"
    criterion: Literal["cross_entropy", "squared_error"] = "cross_entropy"
    weight_decay: NonNegative = 0.0
    batch_size: Count | None = None

    def __post_init__(self) -> None:
        try:
            find(self.dataset)
        except DataError as error:  # no such dataset, or one of text
            raise ValueError(str(error)) from None
        limits = {"size": self.source.side, "n_examples": self.source.n_train, "batch_size": self.n_used}
        for field, limit in limits.items():
            value = getattr(self, field)
            if value is not None and not 1 <= value <= limit:
                raise ValueError(f"{field} must be in 1..{limit} here, got {value}")
        if any(width < 1 for width in self.hidden):
            raise ValueError(f"hidden widths must be positive, got {list(self.hidden)}")

    @functools.cached_property
    def source(self) -> ImageDataset:
        """The dataset, before it is read."""
        return find(self.dataset)

    @property
    def n_used(self) -> int:
        """Number of training examples."""
        return self.n_examples or self.source.n_train

    @functools.cached_property
    def widths(self) -> tuple[int, ...]:
        """Number of inputs, of units in each hidden layer, and of classes."""
        return (self.size or self.source.side) ** 2, *self.hidden, self.source.n_classes

    @functools.cached_property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """Each layer's matrix (n_out, n_in + 1)."""
        return tuple((n_out, n_in + 1) for n_in, n_out in itertools.pairwise(self.widths))

    @functools.cached_property
    def dim(self) -> int:
        """Weights and biases of all layers."""
        return sum(map(math.prod, self.shapes))

    @functools.cached_property
    def critical_points(self) -> tuple[CriticalPoint, ...]:
        """The dead net, where it is known."""
        if self.activation != "tanh" or len(self.hidden) != 1:
            return ()
        x, y = self.examples(torch.zeros(0, dtype=torch.float64))
        share = y.mean(1)  # (n_classes,)
        if self.criterion == "squared_error":
            biases = share / (1 + self.weight_decay)
            e, loss = biases[:, None] - y, (1 - share @ biases) / 2
        elif self.weight_decay == 0 and share.all():
            biases = share.log()
            e, loss = share[:, None] - y, -share @ biases
        else:  # under cross-entropy, weight decay moves the biases to where no formula says
            return ()
        C = e @ functional.pad(x, (0, 0, 0, 1), value=1.0).mT / self.n_used  # (n_classes, n_inputs + 1)
        slopes = torch.linalg.svdvals(C)
        n_descents = int((slopes > self.weight_decay + 1e-10 * slopes.max()).sum())
        point = torch.zeros(self.dim, dtype=torch.float64)
        self.layers(point)[-1].biases.copy_(biases[:, None])
        return (CriticalPoint(point, float(loss), self.hidden[0] * n_descents),)

    def start(self, rng: torch.Generator) -> Tensor:
        """Weights N(0, 1/fan-in), zero biases."""
        theta = torch.zeros(self.dim, dtype=torch.float64)
        for weights, _ in self.layers(theta):
            weights.normal_(0.0, weights.shape[1] ** -0.5, generator=rng)
        return theta

    def draw(self, rng: torch.Generator) -> Tensor | None:
        """Places (batch_size,) of a minibatch among the examples; None for all of them."""
        return None if self.batch_size is None else torch.randint(self.n_used, (self.batch_size,), generator=rng)

    def layers(self, theta: Tensor) -> list[Layer]:
        """Views of theta: the weights and biases of each layer."""
        parts = theta.split([math.prod(shape) for shape in self.shapes])
        matrices = [part.view(shape) for part, shape in zip(parts, self.shapes, strict=True)]
        return [Layer(matrix[:, :-1], matrix[:, -1:]) for matrix in matrices]

    def outputs(self, theta: Tensor, x: Tensor) -> Tensor:
        """The network's outputs (n_classes, n) for images x (n_inputs, n); example by column, which is the faster way."""
        *hidden, last = self.layers(theta)
        activation = ACTIVATIONS[self.activation]
        for weights, biases in hidden:
            x = activation(weights @ x + biases)
        return last.weights @ x + last.biases

    def loss(self, theta: Tensor, batch: Tensor | None) -> Tensor:
        """The mean loss () over the batch's examples, plus the weight decay's share."""
        x, y = self.chosen(theta, batch)
        z = self.outputs(theta, x)
        if self.criterion == "cross_entropy":
            fit = (z.logsumexp(0) - (z * y).sum(0)).mean()
        else:
            fit = (z - y).square().sum(0).mean() / 2
        return fit + self.weight_decay / 2 * (theta @ theta) if self.weight_decay else fit

    def hessian(self, theta: Tensor, batch: Tensor | None) -> Tensor:
        """The Hessian (d, d): in closed form up to one hidden layer, by Hessian-vector products beyond."""
        if len(self.hidden) > 1:
            return super().hessian(theta, batch)
        x, y = self.chosen(theta, batch)
        fit = hessian_by_layers(self.layers(theta), x, y, ACTIVATIONS[self.activation], self.criterion)
        return fit + self.weight_decay * torch.eye(self.dim, dtype=theta.dtype, device=theta.device)

    def training_error(self, theta: Tensor) -> Tensor:
        """The share () of all training examples whose largest output is not their label's."""
        x, y = self.examples(theta)
        wrong = self.outputs(theta, x).argmax(0) != y.argmax(0)
        return wrong.to(theta.dtype).mean()

    def chosen(self, theta: Tensor, batch: Tensor | None) -> tuple[Tensor, Tensor]:
        """Images (n_inputs, n) and one-hot labels (n_classes, n) of a batch."""
        x, y = self.examples(theta)
        return (x, y) if batch is None else (x.mT[batch].mT, y.mT[batch].mT)

    @constant
    def examples(self) -> tuple[Tensor, Tensor]:
        """All images (n_inputs, n) and one-hot labels (n_classes, n).

        Each is laid out as it is read: for full batches by rows of one pixel, for minibatches by examples.
        """
        images = load(self.dataset, size=self.size, n_examples=self.n_examples)
        x = torch.from_numpy(images.x).flatten(1)
        y = functional.one_hot(torch.from_numpy(images.y), images.n_classes).to(torch.float64)
        return (x.mT.contiguous(), y.mT.contiguous()) if self.batch_size is None else (x.mT, y.mT)
