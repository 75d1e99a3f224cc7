"""A recurrent network that reads text by characters: the other of the paper's large problems."""

import functools
import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ..core.constant import constant
from ..core.curvature import CurvatureKind, Linearisation, with_decay
from ..core.fields import Count, NonNegative
from ..core.network import Network
from ..datasets import (
    TextDataset,
    find_text,
    load_text,
)
from ..members.registry import register
from ._recurrent_products import linearised
from ._sources import FromDataset, check_within, dataset_of

# characters predicted at once when bits are measured: 50 symbols make 52 MB of outputs in float32
NUMBERS_A_BLOCK = 2**18


class Stack(torch.autograd.Function):
    """torch.stack, whose gradient is unbind.

    torch's own takes it apart by T selections. Going back again, each of them fills a tensor of the
    whole stack's size with zeros: T^2 in all, up to a third of a Hessian-vector product at T = 50.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(*tensors: Tensor) -> Tensor:
        """Tensors (...) as one (T, ...)."""
        return torch.stack(tensors)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Nothing needs to be kept."""

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, ...]:
        """The gradient (T, ...) taken apart."""
        return gradient.unbind()

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor) -> Tensor:
        """The tangents as one (T, ...)."""
        return torch.stack(tangents)


@register("rnn")
@dataclass(frozen=True, kw_only=True)
class RecurrentNetwork(FromDataset, Network):
    """A recurrent network of tanh units that predicts each next character of a text.

        h_t = tanh(E[c_t] + W h_{t-1} + b),    z_t = V h_t + a,    h_0 = 0
        L(theta) = mean_{s, t} -log softmax(z_t)[c_{t+1}] + 1/2 weight_decay |theta|^2

    in nats a character.

    The text is cut into sequences s of T characters that do not overlap; each begins at h_0, and
    its last prediction is of the first character of the next. An example is a sequence.

    Fields: `dataset` any of text; `n_characters` how many of the training text's first characters,
    None for all; `n_units` the width of h; `length` T; `weight_decay` over all of theta, biases
    included.

    The start: W orthogonal, E and V normal of variance 1/fan-in, where E's fan-in is the alphabet,
    zero biases. theta holds, all by rows, E (n_symbols, n_units), W (n_units, n_units), b, V
    (n_symbols, n_units), a: 26,570 numbers for 120 units and 50 symbols. Cost of a loss: 2 n_units
    (n_units + n_symbols) flop a character.

    `bits_per_character` is the loss without weight decay in bits. The paper's network has 120 units
    on Penn Treebank (`penn_treebank`); its sequences' length is not stated there. References:
    Dauphin et al. 2014, section 6.3; Saxe, McClelland, Ganguli 2014, "Exact solutions to the
    nonlinear dynamics of learning in deep linear neural networks", for the start.

    >>> RecurrentNetwork(dataset="penn_treebank", n_characters=None, n_units=120, length=50).dim
    26570
    """

    measures = ("bits_per_character",)

    dataset: str = "text"
    n_characters: Count | None = 201
    n_units: Count = 4
    length: Count = 10
    weight_decay: NonNegative = 0.0

    def __post_init__(self) -> None:
        check_within(
            n_characters=(self.n_characters, self.source.n_characters["train"])
        )
        if self.n_units < 1:
            raise ValueError(f"n_units must be positive, got {self.n_units}")
        if not 1 <= self.length < self.n_used:
            there = f"the {self.n_used} characters of the text"
            raise ValueError(
                f"length must be positive and less than {there}, got {self.length}"
            )

    @functools.cached_property
    def source(self) -> TextDataset:
        """The dataset, before it is read."""
        return dataset_of(self.dataset, find_text)

    @property
    def n_used(self) -> int:
        """Number of characters."""
        return self.n_characters or self.source.n_characters["train"]

    @property
    def population(self) -> int:
        """Number of sequences; the rest at the end of the text is not used."""
        # the last prediction needs one more character
        return (self.n_used - 1) // self.length

    @property
    def n_symbols(self) -> int:
        """Number of characters in the alphabet."""
        return len(self.source.alphabet)

    @functools.cached_property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """The shapes of E, W, b, V, a."""
        k, h = self.n_symbols, self.n_units
        return (k, h), (h, h), (h,), (k, h), (k,)

    @functools.cached_property
    def dim(self) -> int:
        """Weights and biases."""
        return sum(map(math.prod, self.shapes))

    def start(self, rng: torch.Generator) -> Tensor:
        """An orthogonal recurrent matrix, other weights N(0, 1/fan-in), zero biases."""
        theta = torch.zeros(self.dim, dtype=torch.float64)
        embedding, recurrent, _, readout, _ = self.weights(theta)
        embedding.normal_(0.0, self.n_symbols**-0.5, generator=rng)
        torch.nn.init.orthogonal_(recurrent, generator=rng)
        readout.normal_(0.0, self.n_units**-0.5, generator=rng)
        return theta

    def weights(self, theta: Tensor) -> list[Tensor]:
        """Views of theta: E, W, b, V, a."""
        parts = theta.split([math.prod(shape) for shape in self.shapes])
        return [
            part.view(shape) for part, shape in zip(parts, self.shapes, strict=True)
        ]

    def tensors(self, theta: Tensor) -> dict[str, Tensor]:
        """E, W, b, V and a under the names that modules of torch have for them."""
        names = (
            "embedding.weight",
            "recurrent.weight",
            "recurrent.bias",
            "readout.weight",
            "readout.bias",
        )
        return dict(zip(names, self.weights(theta), strict=True))

    def outputs(self, theta: Tensor, batch: Tensor | None) -> Tensor:
        """The outputs z (n_symbols, T, n) for the sequences of a batch."""
        embedding, recurrent, biases, readout, out_biases = self.weights(theta)
        codes = self.chosen(theta, batch)[0]  # (T, n)
        # One look-up for all steps and one product for all outputs: only the recurrence itself goes
        # step by step.
        inputs = (embedding + biases).index_select(0, codes.reshape(-1))
        inputs = inputs.view(*codes.shape, self.n_units)
        # unbind, not inputs[t], for the reason that Stack gives
        first, *rest = inputs.unbind()
        h = [torch.tanh(first)]
        for x in rest:
            h.append(torch.tanh(torch.addmm(x, h[-1], recurrent.mT)))
        return functional.linear(Stack.apply(*h), readout, out_biases).permute(
            2, 0, 1
        )

    def fit(self, z: Tensor, batch: Tensor | None) -> Tensor:
        """The cross-entropy () of outputs z (n_symbols, T, n) in nats, mean over predictions."""
        z = z.permute(1, 2, 0)
        following = self.chosen(z, batch)[1]
        return (z.logsumexp(-1) - z.gather(-1, following[..., None])[..., 0]).mean()

    def linearised(
        self, theta: Tensor, batch: Tensor | None, kind: CurvatureKind
    ) -> Linearisation:
        """The loss to second order, by hand."""
        fit = linearised(self.weights, theta, *self.chosen(theta, batch), kind)
        return with_decay(fit, theta, self.weight_decay)

    def bits_per_character(self, theta: Tensor) -> Tensor:
        """The mean cross-entropy () of all predictions, in bits."""
        parts = self.parts(
            None, math.ceil(self.population * self.length / NUMBERS_A_BLOCK)
        )
        nats = theta.new_zeros(())
        for weight, batch in parts:
            nats = nats + weight * self.fit(self.outputs(theta, batch), batch)
        return nats / math.log(2)

    def chosen(self, like: Tensor, batch: Tensor | None) -> tuple[Tensor, Tensor]:
        """Codes (T, n) of a batch's characters and of those that follow each, where `like` is."""
        here, following = self.sequences(like)
        return (
            (here.mT, following.mT)
            if batch is None
            else (here[batch].mT, following[batch].mT)
        )

    @constant
    def sequences(self) -> tuple[Tensor, Tensor]:
        """Codes (n, T) of every sequence, and of the characters that follow each."""
        codes = torch.from_numpy(
            load_text(self.dataset, n_characters=self.n_characters).codes
        )
        n = self.population * self.length
        return codes[:n].view(-1, self.length), codes[1 : n + 1].view(
            -1, self.length
        )
