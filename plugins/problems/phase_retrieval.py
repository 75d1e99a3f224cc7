"""Phase retrieval: a sphere of saddles, which a finite sample breaks into many."""

import functools
import math
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from annotated_types import Ge
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

MOST_NUMBERS = 10**7  # of all measurements


@register("phase_retrieval")
@dataclass(frozen=True, kw_only=True)
class PhaseRetrieval(Problem):
    """A vector from the squares of its measurements, over all normal ones or over a sample.

        f(x) = 1/4 E ((a . x)^2 - (a . x*)^2)^2,    a ~ N(0, I_n), |x*| = 1
             = 3/4 |x|^4 + 3/4 - 1/2 |x|^2 - (x . x*)^2

    Critical points: 0, a maximum with f = 3/4; the minima x* and -x* with f = 0; and the sphere of
    all x orthogonal to x* with |x|^2 = 1/3, f = 2/3, curvatures -2 along x*, 2 along x, and 0 in
    the n - 2 directions of the sphere.

    Over a sample of m measurements, f = 1/4m sum_k ((a_k . x)^2 - y_k)^2, the origin still is a
    maximum and x* a minimum, but the sphere becomes isolated saddles of many indices; with few
    measurements some points are spurious minima. Then a race starts at the origin.

    Fields: `n`; `n_measurements` m, None for all; `sample` the seed of the measurements; `radius`
    the distance of the start from the saddle, in a uniform direction; `escape_drop` the fall of
    the loss that counts as escaped.

    x* is the first unit vector. Cost of a loss: O(n), or O(n m). Source: Sun, Qu, Wright 2018,
    "A geometric analysis of phase retrieval" (arXiv 1602.06664); the real case is derived here, and
    tested.

    >>> problem = PhaseRetrieval(n=6)
    >>> problem.saddle_kind, problem.saddle.index, problem.saddle.n_zero
    ('strict, with zero modes', 1, 4)
    """

    n: Annotated[int, Ge(2)] = 10
    n_measurements: Count | None = None
    sample: Index = 0
    radius: Positive = 1e-3
    escape_drop: Positive = 0.1

    def __post_init__(self) -> None:
        if self.n_measurements is not None and self.n_measurements < self.n:
            raise ValueError(
                f"n_measurements must be at least n = {self.n}, got {self.n_measurements}"
            )
        if self.n * (self.n_measurements or 0) > MOST_NUMBERS:
            raise ValueError(
                f"n_measurements = {self.n_measurements} of n = {self.n} numbers are "
                f"more than {MOST_NUMBERS} in all"
            )

    @property
    def dim(self) -> int:
        """As `n` says."""
        return self.n

    @property
    def n_zero_modes(self) -> int:
        """Rotations round x* move a point in n - 2 directions; a sample has no symmetry."""
        return self.n - 2 if self.n_measurements is None else 0

    @functools.cached_property
    def critical_points(self) -> tuple[CriticalPoint, ...]:
        """Saddle, maximum, minima; over a sample those that are left."""
        n, at = self.n, torch.eye(2, self.n, dtype=torch.float64)
        minima = [CriticalPoint(sign * at[0], 0.0, 0, 0) for sign in (1, -1)]
        origin = torch.zeros(n, dtype=torch.float64)
        if self.n_measurements is not None:
            loss = float(self.loss(origin, None))
            return CriticalPoint(origin, loss, n, 0), *minima
        saddle = CriticalPoint(at[1] / math.sqrt(3), 2 / 3, 1, n - 2)
        return saddle, CriticalPoint(origin, 0.75, n, 0), *minima

    @functools.cached_property
    def saddle(self) -> CriticalPoint:
        """A point of the sphere; over a sample the origin."""
        return self.critical_points[0]

    @property
    def lowest(self) -> float:
        """Zero."""
        return 0.0

    def start(self, rng: torch.Generator) -> Tensor:
        """A point at `radius` from the saddle in a uniform direction."""
        direction = torch.randn(self.n, generator=rng, dtype=torch.float64)
        return self.saddle.point + self.radius * direction / direction.norm()

    def loss(self, theta: Tensor, batch: None) -> Tensor:
        """f, ()."""
        if self.n_measurements is None:
            square = theta @ theta
            return 0.75 * (square**2 + 1) - square / 2 - theta[0] ** 2
        a = self.measurements(theta)
        return ((a @ theta) ** 2 - a[:, 0] ** 2).square().mean() / 4

    @constant
    def measurements(self) -> Tensor:
        """The vectors a_k (m, n)."""
        shape = (self.n_measurements or 0, self.n)
        normal = np.random.default_rng(self.sample).standard_normal(shape)
        return torch.from_numpy(normal)
