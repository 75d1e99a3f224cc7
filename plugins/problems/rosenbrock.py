"""Rosenbrock's valley in n dimensions: from four on, a second minimum and a saddle before it."""

import functools
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from annotated_types import Ge
from torch import Tensor

from sfnbench import CriticalPoint, Positive, Problem, register

# The second minimum and the saddle on the way from it to the first, to six digits.
MINIMA = {
    4: (-0.775659, 0.613093, 0.382063, 0.145972),
    5: (-0.962051, 0.935739, 0.880714, 0.777878, 0.605094),
    6: (-0.986575, 0.983398, 0.972107, 0.947437, 0.898651, 0.807574),
    7: (-0.991723, 0.993555, 0.992173, 0.986899, 0.975165, 0.951432, 0.905223),
}
SADDLES = {
    4: (-0.656125, 0.443120, 0.204312, 0.041743),
    5: (-0.557468, 0.324740, 0.116567, 0.023354, 0.000545),
    6: (-0.555420, 0.322493, 0.115207, 0.023503, 0.010448, 0.000109),
    7: (-0.555377, 0.322446, 0.115179, 0.023506, 0.010657, 0.010013, 0.000100),
}


@register("rosenbrock")
@dataclass(frozen=True, kw_only=True)
class Rosenbrock(Problem):
    """A curved valley along which all descent is slow.

        f(x) = sum_i 100 (x_{i+1} - x_i^2)^2 + (1 - x_i)^2

    The minimum is (1, ..., 1) with f = 0. For n = 4 to 7 there is a second one, with f = 3.70143,
    3.93084, 3.97394 and 3.98360, and a saddle of index 1 between them, with f = 3.70824, 4.65737,
    5.64638 and 6.63626.

    Fields: `n`; `start_at` the `origin`, the `classic` (-1.2, 1, -1.2, 1, ...), or the `saddle`,
    for n = 4 to 7; `radius` the distance of the start from it, in a uniform direction;
    `escape_drop` the fall of the loss below the saddle that counts as escaped.

    Cost of a loss: O(n). Sources: Rosenbrock 1960; Kok, Sandrock 2009, "Locating and
    characterizing the stationary points of the extended Rosenbrock function". The points are found
    and tested here.

    >>> [point.index for point in Rosenbrock(n=4).critical_points]
    [0, 0, 1]
    """

    n: Annotated[int, Ge(2)] = 10
    start_at: Literal["origin", "classic", "saddle"] = "origin"
    radius: Positive = 1e-3
    escape_drop: Positive = 1e-3

    def __post_init__(self) -> None:
        if self.start_at == "saddle" and self.n not in SADDLES:
            raise ValueError(
                f"start_at: saddle needs n = 4, 5, 6 or 7, got {self.n}"
            )

    @property
    def dim(self) -> int:
        """As `n` says."""
        return self.n

    @functools.cached_property
    def critical_points(self) -> tuple[CriticalPoint, ...]:
        """The minimum, and the other two as far as they are known."""
        best = CriticalPoint(
            torch.ones(self.n, dtype=torch.float64), 0.0, 0, n_zero=0
        )
        if self.n not in SADDLES:
            return (best,)
        second = self._polished(MINIMA[self.n], 0)
        return best, second, self._polished(SADDLES[self.n], 1)

    @functools.cached_property
    def saddle(self) -> CriticalPoint | None:
        """The saddle between the minima, where a race starts there."""
        return self.critical_points[2] if self.start_at == "saddle" else None

    @property
    def lowest(self) -> float:
        """Zero."""
        return 0.0

    def _polished(self, at: tuple[float, ...], index: int) -> CriticalPoint:
        """The critical point that Newton's method finds next to its known digits."""
        point = torch.tensor(at, dtype=torch.float64)
        for _ in range(6):
            g = torch.func.grad(lambda t: self.loss(t, None))(point)
            point = point - torch.linalg.solve(self.hessian(point, None), g)
        return CriticalPoint(point, float(self.loss(point, None)), index, n_zero=0)

    def start(self, rng: torch.Generator) -> Tensor:
        """The origin, the classic start, or a point at `radius` from the saddle."""
        if self.saddle is not None:
            direction = torch.randn(self.n, generator=rng, dtype=torch.float64)
            return self.saddle.point + self.radius * direction / direction.norm()
        start = torch.zeros(self.n, dtype=torch.float64)
        if self.start_at == "classic":
            start[::2], start[1::2] = -1.2, 1.0
        return start

    def loss(self, theta: Tensor, batch: None) -> Tensor:
        """f, ()."""
        x, y = theta[:-1], theta[1:]
        return (100 * (y - x**2) ** 2 + (1 - x) ** 2).sum()
