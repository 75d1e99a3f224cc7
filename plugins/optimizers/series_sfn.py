"""Saddle-free Newton by a power series in H^2: products alone, no subspace."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple

import torch
from annotated_types import Ge
from torch import Tensor

from sfnbench import (
    BelowOne,
    Index,
    NonNegative,
    Optimizer,
    Oracle,
    Positive,
    register,
)


class Memory(NamedTuple):
    """What the method carries from step to step."""

    scale: Tensor  # () V, an estimate of the largest eigenvalue of H^2
    velocity: Tensor  # (d,)


@register("series_sfn")
@dataclass(frozen=True, kw_only=True)
class SeriesSaddleFreeNewton(Optimizer):
    """Saddle-free Newton, |H|^-1 being a power series of products with H^2, cut after K terms.

        (|H| + damping I)^-1 = V^-1/2 sum_n c_n (I - H^2 / V)^n,
        sum_n c_n x^n = 1 / (sqrt(1 - x) + damping / sqrt V)

    V has to be above half of the largest eigenvalue of H^2, or the series diverges. In an
    eigendirection with r = |lambda| / sqrt V the step is that of saddle-free Newton for r near 1,
    but 2 r sqrt(K / pi) of it for small r: with 20 terms a negative curvature a hundred times
    weaker than the largest is left at the rate 1.05, not 2.

    Fields: `lr`; `momentum`; `damping`; `terms` K; `shanks`, the order of Shanks' acceleration of
    the last partial sums, 0 for none; `first_scale` the V at the beginning, which
    `scale: lower_bound` raises to |H^2 g| / |g| where that is larger, as the authors do: a bound
    of the largest eigenvalue from below. `power` takes five more products with H^2 of the power
    method instead, a tenth above its last quotient.

    Cost of a step: a gradient and 2 (K - 1) products, 10 more with `power`. Reference: Oldewage,
    Clarke, Hernandez-Lobato 2023, "Series of Hessian-vector products for tractable saddle-free
    Newton optimisation of neural networks" (arXiv 2310.14901), which has a momentum of 0.5.
    """

    tuning_ranges = {"damping": {"loguniform": [1e-4, 1.0]}}

    lr: Positive = 1.0
    momentum: BelowOne = 0.0
    damping: NonNegative = 0.0
    terms: Annotated[int, Ge(2)] = 20
    shanks: Index = 1
    scale: Literal["lower_bound", "power"] = "lower_bound"
    first_scale: Positive = 100.0

    def __post_init__(self) -> None:
        if 2 * self.shanks >= self.terms:
            raise ValueError(
                f"shanks must be below terms / 2 = {self.terms / 2:g}, got {self.shanks}"
            )

    def init(self, theta: Tensor) -> Memory:
        """The stated scale, at rest."""
        first = torch.zeros_like(theta[..., 0]) + self.first_scale
        return Memory(first, torch.zeros_like(theta))

    def step(
        self, oracle: Oracle, theta: Tensor, state: Memory
    ) -> tuple[Tensor, Memory]:
        """One step of the series."""
        linear = oracle.curvature(theta)
        g = linear.grad

        def squared(v: Tensor) -> Tensor:
            return linear.hvp(linear.hvp(v))

        image = squared(g)
        quotient = image.norm() / g.norm().clamp_min(torch.finfo(g.dtype).tiny)
        V = torch.maximum(state.scale, quotient)
        if self.scale == "power":
            V = self._by_power(squared, image)
        sums = self._partial_sums(squared, g, image, V)
        p = -accelerated(sums[-2 * self.shanks - 1 :]) / V.sqrt()
        velocity = self.momentum * state.velocity + self.lr * p
        return theta + velocity, Memory(V, velocity)

    def _by_power(self, squared: Callable[[Tensor], Tensor], v: Tensor) -> Tensor:
        """The largest eigenvalue of H^2 as the power method has it, a tenth larger."""
        tiny = torch.finfo(v.dtype).tiny
        for _ in range(5):
            v = v / v.norm().clamp_min(tiny)
            v = squared(v)
        return (1.1 * v.norm()).clamp_min(tiny)

    def _partial_sums(
        self,
        squared: Callable[[Tensor], Tensor],
        g: Tensor,
        image: Tensor,
        V: Tensor,
    ) -> list[Tensor]:
        """The sums (d,) of 1, 2, ..., K terms, from g and H^2 g."""
        c = coefficients(self.damping / V.sqrt(), self.terms)
        v, total = g, c[0] * g
        sums = [total]
        for n in range(1, self.terms):
            v = v - (image if n == 1 else squared(v)) / V
            total = total + c[n] * v
            sums.append(total)
        return sums


def coefficients(damping: Tensor, n: int) -> list[Tensor]:
    """The first n coefficients () of 1 / (sqrt(1 - x) + damping), by division of power series.

    All terms are positive, so no digits are lost, whatever the damping.
    """
    root = [math.comb(2 * j, j) / (4**j * (2 * j - 1)) for j in range(1, n)]
    c = [1 / (1 + damping)]
    for k in range(1, n):
        terms = [root[j - 1] * c[k - j] for j in range(1, k + 1)]
        c.append(torch.stack(terms).sum(0) / (1 + damping))
    return c


def accelerated(sums: list[Tensor]) -> Tensor:
    """The limit (d,) of 2 s + 1 partial sums (d,) by the vector epsilon algorithm of order s.

    Differences that vanish are left out. Reference: Wynn 1962.
    """
    before, now = [torch.zeros_like(sums[0])] * (len(sums) + 1), sums
    while len(now) > 1:
        after = [
            before[n + 1] + _inverse(now[n + 1] - now[n])
            for n in range(len(now) - 1)
        ]
        before, now = now, after
    return now[0]


def _inverse(x: Tensor) -> Tensor:
    """Samelson's inverse x / |x|^2 (d,), zero for zero."""
    square = x @ x
    return x * torch.where(
        square > 0, 1 / torch.where(square > 0, square, 1.0), 0.0
    )
