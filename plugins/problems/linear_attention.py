"""In-context linear regression with linear attention: plateaus at known losses, one a component."""

import functools
import itertools
import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from sfnbench import (
    Count,
    CriticalPoint,
    Index,
    NonNegative,
    Positive,
    Problem,
    constant,
    register,
)


@register("linear_attention")
@dataclass(frozen=True, kw_only=True)
class LinearAttention(Problem):
    """Linear attention that learns to regress in context, by its exact loss over all prompts.

    A prompt has N pairs x_n ~ N(0, Lambda), y_n = w . x_n and a query x_q, with w ~ N(0, I). The
    heads predict y = b^T A x_q with b = 1/N sum_n y_n x_n and

        A = sum_i v_i U_i            (`merged`: key and query are one matrix U_i (D, D))
        A = sum_i v_i k_i q_i^T      (`separate`: vectors k_i and q_i)

        f = tr Lambda - 2 tr(Lambda A^T Lambda) + tr(Lambda A^T M A),
        M = (1 + 1/N) Lambda^2 + tr(Lambda) / N Lambda

    With Lambda = diag(l) and a_d = l_d / M_dd, every subset S of components makes a critical point
    A = sum_{d in S} a_d e_d e_d^T of the separate model, f = tr Lambda - sum_{d in S} g_d with the
    gains g_d = l_d^2 a_d, and, one head for each member of S and the others zero,

        index = #{(i, d): i not in S, d in S, g_i > g_d},    n_zero = dim - D^2 + (D - |S|)^2.

    Training meets S = the r largest, degenerate saddles of order 3: 1, .639437, .375216, .206795
    and the minimum .132377 by default. If the other heads have `spare` as their v, each adds a
    negative eigenvalue -2 spare l_i^2 for every i not in S, at the same loss. The merged model has
    two critical losses: zero, a strict saddle of index H with all negative eigenvalues
    -2 |Lambda^2|_F, and the minimum.

    Times of gradient flow, each asymptotic: a balanced head v = |k| = |q| = s takes 1 / (2 l^2 s)
    to half of its drop, the merged model ln(1/s) / (2 |Lambda^2|_F).

    Fields: `eigenvalues` l; `n_context` N; `n_heads` H; `heads` separate or merged; `saddle_at` the
    S where a race starts, as places in `eigenvalues`; `spare`; `radius` the distance of the start,
    in a uniform direction; `escape_drop` the fall of the loss that counts as escaped.

    Cost of a loss: O(H D^2 + D^3). Source: Zhang, Singh, Latham, Saxe 2025, "Training dynamics of
    in-context learning in linear attention" (arXiv 2501.16265); the loss over all prompts and the
    indices are derived here, and tested.

    >>> [round(LinearAttention().critical_point(tuple(range(r, 4))).loss, 6) for r in (4, 3, 2)]
    [1.0, 0.639437, 0.375216]
    """

    eigenvalues: tuple[Positive, ...] = (0.1, 0.2, 0.3, 0.4)
    n_context: Count = 32
    n_heads: Count = 5
    heads: Literal["separate", "merged"] = "separate"
    saddle_at: tuple[Index, ...] = ()
    spare: NonNegative = 0.0
    radius: Positive = 1e-2
    escape_drop: Positive = 0.05

    def __post_init__(self) -> None:
        places, n = self.saddle_at, len(self.eigenvalues)
        if not n:
            raise ValueError("eigenvalues must be positive numbers, got none")
        if len(set(places)) < len(places) or any(i >= n for i in places):
            raise ValueError(
                f"saddle_at must be different places in 0..{n - 1}, got {list(places)}"
            )
        if len(places) > self.n_heads:
            raise ValueError(
                f"saddle_at has {len(places)} components, but n_heads is {self.n_heads}"
            )
        if self.heads == "merged" and (places or self.spare):
            raise ValueError(
                "heads: merged starts at zero: leave saddle_at and spare out"
            )

    @property
    def dim(self) -> int:
        """H (1 + 2 D), or H (1 + D^2) where key and query are merged."""
        D = len(self.eigenvalues)
        return self.n_heads * (1 + (D**2 if self.heads == "merged" else 2 * D))

    @property
    def n_zero_modes(self) -> int:
        """The directions that leave A as it is, which has rank m = min(H, D) in separate heads.

        They are dim - m (2 D - m); dim - D^2 if merged.
        """
        D = len(self.eigenvalues)
        rank = D if self.heads == "merged" else min(self.n_heads, D)
        return self.dim - rank * (2 * D - rank)

    @property
    def saddle_order(self) -> int:  # type: ignore[override]  # it depends on the fields
        """2 for a strict saddle, else 3."""
        return 2 if self.saddle is None or self.saddle.index else 3

    @property
    def gains(self) -> tuple[float, ...]:
        """g_d: how much each component lowers the loss."""
        total, N = math.fsum(self.eigenvalues), self.n_context
        return tuple(lam / (1 + (1 + total / lam) / N) for lam in self.eigenvalues)

    @functools.cached_property
    def critical_points(self) -> tuple[CriticalPoint, ...]:
        """One for each subset that the heads suffice for; zero and the minimum if merged."""
        D = len(self.eigenvalues)
        if self.heads == "merged":
            return self._merged(is_minimum=False), self._merged(is_minimum=True)
        sizes = range(min(D, self.n_heads) + 1)
        subsets = (itertools.combinations(range(D), m) for m in sizes)
        return tuple(
            map(self.critical_point, itertools.chain.from_iterable(subsets))
        )

    @functools.cached_property
    def saddle(self) -> CriticalPoint | None:
        """That of `saddle_at`; None at the minimum."""
        if self.heads == "merged":
            return self.critical_points[0]
        if len(self.saddle_at) == len(self.eigenvalues):
            return None
        return self.critical_point(self.saddle_at)

    @property
    def lowest(self) -> float:
        """The loss with as many of the largest components as there are heads."""
        n = len(self.gains) if self.heads == "merged" else self.n_heads
        return math.fsum(self.eigenvalues) - math.fsum(sorted(self.gains)[::-1][:n])

    def critical_point(self, subset: tuple[int, ...]) -> CriticalPoint:
        """One balanced head for each component of the subset, all others at v = `spare`."""
        lam, g, D, H = (
            self.eigenvalues,
            self.gains,
            len(self.eigenvalues),
            self.n_heads,
        )
        v = torch.full((H,), self.spare, dtype=torch.float64)
        k = torch.zeros(H, D, dtype=torch.float64)
        for head, d in enumerate(subset):
            v[head] = k[head, d] = (g[d] / lam[d] ** 2) ** (1 / 3)
        outside = [i for i in range(D) if i not in subset]
        index = sum(g[i] > g[d] for i in outside for d in subset)
        n_zero = self.dim - D**2 + len(outside) ** 2
        if self.spare:
            n_open = (H - len(subset)) * len(outside)
            index, n_zero = index + n_open, n_zero - 2 * n_open
        loss = math.fsum(lam) - math.fsum(g[d] for d in subset)
        return CriticalPoint(
            torch.cat([v, k.ravel(), k.ravel()]), loss, index, n_zero
        )

    def _merged(self, *, is_minimum: bool) -> CriticalPoint:
        """The origin, or the minimum with all of A in the first head."""
        lam, g, D, H = (
            self.eigenvalues,
            self.gains,
            len(self.eigenvalues),
            self.n_heads,
        )
        v = torch.zeros(H, dtype=torch.float64)
        U = torch.zeros(H, D, D, dtype=torch.float64)
        loss, index, n_zero = math.fsum(lam), H, self.dim - 2 * H
        if is_minimum:
            best = [gain / each**2 for gain, each in zip(g, lam, strict=True)]
            A = torch.diag(torch.tensor(best, dtype=torch.float64))
            v[0] = A.norm().sqrt()
            U[0] = A / v[0]
            loss, index, n_zero = self.lowest, 0, self.dim - D**2
        return CriticalPoint(torch.cat([v, U.ravel()]), loss, index, n_zero)

    def start(self, rng: torch.Generator) -> Tensor:
        """A point at `radius` from the saddle in a uniform direction."""
        direction = torch.randn(self.dim, generator=rng, dtype=torch.float64)
        at = self.saddle or self.critical_point(self.saddle_at)
        return at.point + self.radius * direction / direction.norm()

    def tensors(self, theta: Tensor) -> dict[str, Tensor]:
        """V (H,), and U (H, D, D) or k and q (H, D)."""
        H, D = self.n_heads, len(self.eigenvalues)
        v, rest = theta[:H], theta[H:]
        if self.heads == "merged":
            return {"v": v, "U": rest.view(H, D, D)}
        k, q = rest.view(2, H, D).unbind()
        return {"v": v, "k": k, "q": q}

    def attention(self, theta: Tensor) -> Tensor:
        """A (D, D)."""
        parts = self.tensors(theta)
        if self.heads == "merged":
            return torch.einsum("h,hij->ij", parts["v"], parts["U"])
        return (parts["v"][:, None] * parts["k"]).mT @ parts["q"]

    def loss(self, theta: Tensor, batch: None) -> Tensor:
        """f, ()."""
        A, (lam, M) = self.attention(theta), self.moments(theta)
        quadratic = M[:, None] * A.square() * lam
        return lam.sum() - 2 * (lam.square() * A.diagonal()).sum() + quadratic.sum()

    @constant
    def moments(self) -> tuple[Tensor, Tensor]:
        """The diagonals of Lambda and M (D,)."""
        lam, N = torch.tensor(self.eigenvalues, dtype=torch.float64), self.n_context
        return lam, (1 + 1 / N) * lam**2 + lam.sum() / N * lam
