"""Matrix sensing in the plane: a saddle of order four that every strict-saddle theory misses."""

import functools
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from sfnbench import CriticalPoint, Positive, Problem, register


@register("matrix_sensing")
@dataclass(frozen=True, kw_only=True)
class MatrixSensing(Problem):
    """A rank-one matrix x x^T, sensed by measurements that are just not good enough.

        f(x, y) = (x^2 + y^2 / 2 - 1)^2 + 3 x^2 y^2 + 3/4 y^4

    It is f = sum_i (<A_i, z z^T> - b_i)^2 for z = (x, y), with a restricted isometry constant of
    1/2: the bound at which spurious second-order points appear. Critical points: the minima
    (1, 0), (-1, 0) with f = 0; the origin, a maximum with f = 1 and curvatures -4 and -2; and
    (0, 1/sqrt 2), (0, -1/sqrt 2) with f = 3/4 and curvatures 0 and 4. The last two are second-order
    points but no minima: along y = 1/sqrt 2 - sqrt 2 x^2 the loss is 3/4 - 3 x^4.

    Fields: `radius` the distance of the start from (0, 1/sqrt 2), in a uniform direction;
    `escape_drop` the fall of the loss that counts as escaped, below 3/4.

    Cost of a loss: a few multiplications. Source: Zhang, Sojoudi, Lavaei 2019, "Sharp restricted
    isometry bounds for the inexistence of spurious local minima in nonconvex matrix recovery"
    (JMLR 20) has the bound; this example's facts are derived here, and tested.

    >>> MatrixSensing().saddle_kind
    'degenerate of order 4, with zero modes'
    """

    saddle_order = 4

    radius: Positive = 1e-1
    escape_drop: Positive = 0.05

    def __post_init__(self) -> None:
        if self.escape_drop >= 0.75:
            raise ValueError(
                f"escape_drop must be below 0.75, got {self.escape_drop:g}"
            )

    @property
    def dim(self) -> int:
        """Two: x and y."""
        return 2

    @functools.cached_property
    def critical_points(self) -> tuple[CriticalPoint, ...]:
        """All five: saddles, maximum, minima."""
        at = 1 / math.sqrt(2)
        known = [
            ((0.0, at), 0.75, 0, 1),
            ((0.0, -at), 0.75, 0, 1),
            ((0.0, 0.0), 1.0, 2, 0),
            ((1.0, 0.0), 0.0, 0, 0),
            ((-1.0, 0.0), 0.0, 0, 0),
        ]
        return tuple(
            CriticalPoint(
                torch.tensor(point, dtype=torch.float64), loss, index, n_zero
            )
            for point, loss, index, n_zero in known
        )

    @functools.cached_property
    def saddle(self) -> CriticalPoint:
        """(0, 1/sqrt 2)."""
        return self.critical_points[0]

    @property
    def lowest(self) -> float:
        """Zero."""
        return 0.0

    def start(self, rng: torch.Generator) -> Tensor:
        """A point at `radius` from the saddle in a uniform direction, not yet escaped."""
        direction = torch.randn(2, generator=rng, dtype=torch.float64)
        return self.saddle.point + self.radius * direction / direction.norm()

    def loss(self, theta: Tensor, batch: None) -> Tensor:
        """f, ()."""
        x, y = theta.square().unbind()
        return (x + y / 2 - 1) ** 2 + 3 * x * y + 0.75 * y**2
