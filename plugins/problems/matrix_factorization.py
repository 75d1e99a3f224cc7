"""Low-rank matrix factorization: every critical point is known, all but the best are saddles."""

import functools
import itertools
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from sfnbench import (
    Count,
    CriticalPoint,
    Index,
    Positive,
    Problem,
    constant,
    register,
)


@register("matrix_factorization")
@dataclass(frozen=True, kw_only=True)
class MatrixFactorization(Problem):
    """The factors of a matrix at a rank that is too low for it, fully observed.

        f(U, V) = 1/2 |U V^T - M|_F^2,    U and V (k, r), M = diag(s)

    with s_1, ..., s_k the singular values. theta holds U, then V, both by rows. The critical points
    are, up to (U, V) -> (U G, V G^-T), the best approximations on a subset S of m <= r singular
    triples, here with the first m columns of U and V at sqrt(s_i) e_i:

        f = 1/2 sum_{i not in S} s_i^2,
        index = #{(i, j): i not in S, j in S, s_i > s_j} + (r - m)(k - m),

    as exchanging i for j has curvatures s_j - s_i and s_j + s_i, and an empty column s_i and -s_i
    for every i outside. Only S = the r largest is a minimum; all others are strict saddles. The
    zero modes are those of GL(r): r^2 - (r - m)^2 eigenvalues are zero, and no others.

    Fields: `singular_values` s, positive and different; `rank` r, at most their number; `saddle_at`
    the S at whose critical point a race starts, as places in `singular_values`, () for the origin;
    `radius` the distance of the start from it, in a uniform direction; `escape_drop` the fall of
    the loss that counts as escaped.

    Cost of a loss: O(r k^2). Sources: Eckart, Young 1936; Ge, Jin, Zheng 2017, "No spurious local
    minima in nonconvex low rank problems"; the index as in Baldi, Hornik 1989.

    >>> problem = MatrixFactorization()
    >>> len(problem.critical_points), problem.saddle.loss, problem.saddle.index
    (11, 15.0, 8)
    """

    singular_values: tuple[Positive, ...] = (4.0, 3.0, 2.0, 1.0)
    rank: Count = 2
    saddle_at: tuple[Index, ...] = ()
    radius: Positive = 1e-3
    escape_drop: Positive = 0.1

    def __post_init__(self) -> None:
        s, k = self.singular_values, len(self.singular_values)
        if not s or len(set(s)) < k or not all(0 < value < math.inf for value in s):
            raise ValueError(
                f"singular_values must be different positive numbers, got {list(s)}"
            )
        if self.rank > k:
            raise ValueError(
                f"rank must be at most {k}, the number of singular_values, got {self.rank}"
            )
        places = self.saddle_at
        is_distinct = len(set(places)) == len(places) <= self.rank
        if not is_distinct or not all(0 <= i < k for i in places):
            raise ValueError(
                f"saddle_at must be at most rank = {self.rank} different places in 0..{k - 1}, "
                f"got {list(places)}"
            )

    @property
    def dim(self) -> int:
        """2 k r."""
        return 2 * len(self.singular_values) * self.rank

    @property
    def n_zero_modes(self) -> int:
        """Those of GL(r), which all move a point of full rank."""
        return self.rank**2

    @functools.cached_property
    def critical_points(self) -> tuple[CriticalPoint, ...]:
        """One point of every class."""
        k = len(self.singular_values)
        subsets = (
            itertools.combinations(range(k), m) for m in range(self.rank + 1)
        )
        return tuple(
            self.critical_point(subset)
            for subset in itertools.chain.from_iterable(subsets)
        )

    @functools.cached_property
    def saddle(self) -> CriticalPoint | None:
        """The critical point of `saddle_at`, unless it is the minimum."""
        point = self.critical_point(self.saddle_at)
        return point if point.index else None

    @property
    def lowest(self) -> float:
        """The loss of the best approximation of that rank."""
        left_out = sorted(self.singular_values, reverse=True)[self.rank :]
        return sum(value**2 for value in left_out) / 2

    def critical_point(self, subset: tuple[int, ...]) -> CriticalPoint:
        """The best approximation on these singular triples."""
        s, r, m = self.singular_values, self.rank, len(subset)
        outside = [i for i in range(len(s)) if i not in subset]
        U = torch.zeros(len(s), r, dtype=torch.float64)
        for column, i in enumerate(subset):
            U[i, column] = math.sqrt(s[i])
        better = sum(s[i] > s[j] for i in outside for j in subset)
        loss = math.fsum(s[i] ** 2 for i in outside) / 2
        index, n_zero = better + (r - m) * len(outside), r**2 - (r - m) ** 2
        return CriticalPoint(torch.cat([U, U]).ravel(), loss, index, n_zero)

    def start(self, rng: torch.Generator) -> Tensor:
        """A point at `radius` from the critical point of `saddle_at`, in a uniform direction."""
        direction = torch.randn(self.dim, generator=rng, dtype=torch.float64)
        point = self.critical_point(self.saddle_at).point
        return point + self.radius * direction / direction.norm()

    def tensors(self, theta: Tensor) -> dict[str, Tensor]:
        """The factors U and V (k, r)."""
        U, V = theta.view(2, len(self.singular_values), self.rank).unbind()
        return {"U": U, "V": V}

    def loss(self, theta: Tensor, batch: None) -> Tensor:
        """f, ()."""
        U, V = theta.view(2, len(self.singular_values), self.rank).unbind()
        M: Tensor = self.matrix(theta)
        return (U @ V.mT - M).square().sum() / 2

    @constant
    def matrix(self) -> Tensor:
        """M (k, k)."""
        return torch.diag(torch.tensor(self.singular_values, dtype=torch.float64))
