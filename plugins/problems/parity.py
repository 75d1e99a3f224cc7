"""Parity, all inputs at once: a degenerate saddle at the zero of a small network."""

import functools
import itertools
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from annotated_types import Ge, Le
from torch import Tensor

from sfnbench import CriticalPoint, Network, Positive, constant, register


@register("parity")
@dataclass(frozen=True, kw_only=True)
class Parity(Network):
    """The product of k of n signs, learnt by a tanh network from all 2^n inputs.

        f = 1/2 mean over x in {-1, 1}^n of (v . tanh(W x + b) + c - x_1 ... x_k)^2

    For k >= 2 zero is critical with f = 1/2, and its only curvature that is not zero is 1, that of
    c: a saddle of order k + 1 for odd k, and k + 2 for even k, where a bias has to help as tanh has
    no second derivative at 0. From weights of size scale a gradient flow takes scale^-(k - 1) or
    scale^-k.

    Fields: `n`; `k`; `n_hidden` units; `scale` the standard deviation of all weights at the start;
    `escape_drop` the fall of the loss that counts as escaped, below 1/2.

    theta holds W (h, n) by rows, b, v and c. Cost of a loss: O(2^n h n). Source of the problem:
    Barak et al. 2022, "Hidden progress in deep learning: SGD learns parities near the computational
    limit"; the order is derived here, and tested.

    >>> Parity().saddle_kind, Parity(n=4, k=2).saddle_order
    ('degenerate of order 4, with zero modes', 4)
    """

    n: Annotated[int, Ge(2), Le(16)] = 3
    k: Annotated[int, Ge(2)] = 3
    n_hidden: Annotated[int, Ge(1), Le(100_000)] = 8
    scale: Positive = 0.2
    escape_drop: Positive = 0.25

    def __post_init__(self) -> None:
        if self.k > self.n:
            raise ValueError(f"k must be at most n = {self.n}, got {self.k}")
        if self.escape_drop >= 0.5:
            raise ValueError(
                f"escape_drop must be below 0.5, got {self.escape_drop:g}"
            )

    @property
    def dim(self) -> int:
        """H (n + 2) + 1."""
        return self.n_hidden * (self.n + 2) + 1

    @property
    def saddle_order(self) -> int:  # type: ignore[override]  # it depends on the fields
        """K + 1 for odd k, else k + 2."""
        return self.k + 1 if self.k % 2 else self.k + 2

    @property
    def population(self) -> int:
        """All 2^n inputs."""
        return int(2**self.n)

    @functools.cached_property
    def critical_points(self) -> tuple[CriticalPoint, ...]:
        """The zero network."""
        zero = torch.zeros(self.dim, dtype=torch.float64)
        return (CriticalPoint(zero, 0.5, 0, n_zero=self.dim - 1),)

    @functools.cached_property
    def saddle(self) -> CriticalPoint:
        """The zero network."""
        return self.critical_points[0]

    @property
    def lowest(self) -> float:
        """Zero."""
        return 0.0

    def start(self, rng: torch.Generator) -> Tensor:
        """Normal weights and biases of size `scale`."""
        return self.scale * torch.randn(
            self.dim, generator=rng, dtype=torch.float64
        )

    def tensors(self, theta: Tensor) -> dict[str, Tensor]:
        """W (h, n), b (h,), v (h,) and c (1,)."""
        h = self.n_hidden
        W, b, v, c = theta.split([h * self.n, h, h, 1])
        return {"W": W.view(h, self.n), "b": b, "v": v, "c": c}

    def outputs(self, theta: Tensor, batch: Any) -> Tensor:
        """The output (1, N) for each input."""
        W, b, v, c = self.tensors(theta).values()
        x, _ = self._examples(theta, batch)
        return (v @ torch.tanh(W @ x + b[:, None]) + c)[None]

    def fit(self, z: Tensor, batch: Any) -> Tensor:
        """Half of the mean squared error ()."""
        _, y = self._examples(z, batch)
        return (z[0] - y).square().mean() / 2

    def _examples(self, like: Tensor, batch: Any) -> tuple[Tensor, Tensor]:
        x, y = self.signs(like)
        return (x, y) if batch is None else (x[:, batch], y[batch])

    @constant
    def signs(self) -> tuple[Tensor, Tensor]:
        """All inputs (n, 2^n), and their parities (2^n,)."""
        inputs = list(itertools.product((1.0, -1.0), repeat=self.n))
        x = torch.tensor(inputs, dtype=torch.float64)
        return x.mT.contiguous(), x[:, : self.k].prod(1)
