"""Induction: two attention layers that learn to go on with what they have read before."""

import math
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch
from annotated_types import Ge
from torch import Tensor

from sfnbench import Count, Index, Network, Positive, constant, register


@register("induction")
@dataclass(frozen=True, kw_only=True)
class Induction(Network):
    """A transformer of two attention-only layers on sequences that repeat themselves.

        tokens  t_1, ..., t_m, t_1, ..., t_m,  different ones from a vocabulary of V
        layer   X <- X + softmax(X W_Q (X W_K)^T / sqrt d, causal) X W_V
        f = mean cross-entropy of the next token, over the second half

    Its plateau lies near ln V, until the first layer looks at the token before and the second one
    finds where it stood. With V = 16, m = 8, d = 32 and 512 sequences (7,680 parameters), Adam at
    lr 3e-3 on minibatches of 32 leaves it within 250 steps, in seconds. It slopes, and no critical
    point is known. The sequences are a fixed sample.

    Fields: `n_tokens` V; `n_repeated` m; `width` d; `n_sequences` and `sample`, the number of
    sequences and their seed; `scale` of the normal weights at the start, in units of
    1/sqrt(fan-in).

    theta holds the embeddings of tokens (V, d) and places (2 m, d), W_Q, W_K and W_V (d, d) of both
    layers, and the output matrix (d, V): 576 parameters. Cost of a loss: O(m d (d + m)) for each
    sequence. Source: Olsson et al. 2022, "In-context learning and induction heads".

    >>> Induction().dim
    576
    """

    n_tokens: Annotated[int, Ge(2)] = 8
    n_repeated: Annotated[int, Ge(2)] = 4
    width: Count = 8
    n_sequences: Count = 64
    sample: Index = 0
    scale: Positive = 1.0

    def __post_init__(self) -> None:
        if self.n_repeated > self.n_tokens:
            raise ValueError(
                f"n_repeated must be at most n_tokens = {self.n_tokens}, got {self.n_repeated}"
            )

    @property
    def shapes(self) -> dict[str, tuple[int, int]]:
        """The shapes of the matrices in theta, by name."""
        V, d = self.n_tokens, self.width
        shapes = {"tokens": (V, d), "places": (2 * self.n_repeated, d)}
        for layer in (1, 2):
            shapes |= {f"W_{part}{layer}": (d, d) for part in "QKV"}
        return shapes | {"output": (d, V)}

    @property
    def dim(self) -> int:
        """The number of entries of all matrices."""
        return sum(rows * columns for rows, columns in self.shapes.values())

    @property
    def n_zero_modes(self) -> int:
        """3 d^2 + 3 d, of changes of basis and shifts that leave every output as it is.

        GL(d) acts on the rows X of all layers, and on the queries and keys of each. A vector goes
        from the tokens to the places; another one is added to all columns of the output matrix;
        the last place is seen by no output.
        """
        return 3 * self.width**2 + 3 * self.width

    @property
    def population(self) -> int:
        """As `n_sequences` says."""
        return self.n_sequences

    @property
    def lowest(self) -> float:
        """Zero, which is not attained."""
        return 0.0

    def start(self, rng: torch.Generator) -> Tensor:
        """Normal weights of variance scale^2 / d."""
        scale = self.scale / math.sqrt(self.width)
        return scale * torch.randn(self.dim, generator=rng, dtype=torch.float64)

    def tensors(self, theta: Tensor) -> dict[str, Tensor]:
        """The matrices by name."""
        sizes = [rows * columns for rows, columns in self.shapes.values()]
        parts = theta.split(sizes)
        named = zip(self.shapes.items(), parts, strict=True)
        return {name: part.view(shape) for (name, shape), part in named}

    def outputs(self, theta: Tensor, batch: Any) -> Tensor:
        """The logits (m, V, N) over the second half, sequences last."""
        W, tokens = self.tensors(theta), self._tokens(theta, batch)
        length = 2 * self.n_repeated
        ahead = torch.ones(length, length, dtype=torch.bool, device=theta.device)
        ahead = ahead.triu(1)
        X = W["tokens"][tokens] + W["places"]  # (N, 2m, d)
        for layer in (1, 2):
            scores = (X @ W[f"W_Q{layer}"]) @ (X @ W[f"W_K{layer}"]).mT
            scores = (scores / math.sqrt(self.width)).masked_fill(ahead, -math.inf)
            X = X + torch.softmax(scores, -1) @ (X @ W[f"W_V{layer}"])
        logits = X[:, self.n_repeated - 1 : -1] @ W["output"]
        return logits.permute(1, 2, 0)

    def fit(self, z: Tensor, batch: Any) -> Tensor:
        """The mean cross-entropy ()."""
        right = self._tokens(z, batch)[:, self.n_repeated :]
        at = z.gather(1, right.mT[:, None])[:, 0]
        return (torch.logsumexp(z, 1) - at).mean()

    def _tokens(self, like: Tensor, batch: Any) -> Tensor:
        tokens: Tensor = self.sequences(like)
        return tokens if batch is None else tokens[batch]

    @constant
    def sequences(self) -> Tensor:
        """All sequences (n_sequences, 2 m) of tokens."""
        tokens = np.tile(np.arange(self.n_tokens), (self.n_sequences, 1))
        shuffled = np.random.default_rng(self.sample).permuted(tokens, axis=1)
        return torch.from_numpy(np.tile(shuffled[:, : self.n_repeated], 2))
