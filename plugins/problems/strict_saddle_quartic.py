"""A quartic with strict saddles of every index, and its coupled variant."""

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Le
from torch import Tensor

from sfnbench import CriticalPoint, Positive, Problem, register


@register("strict_saddle_quartic")
@dataclass(frozen=True, kw_only=True)
class StrictSaddleQuartic(Problem):
    """A double well in every coordinate, coupled if wanted.

        f(x) = sum_i (x_i^4 - x_i^2) + coupling sum_{i<j} x_i x_j

    Uncoupled it has 3^n critical points, x_i in {0, +-1/sqrt 2}: one with k zeros has index k and f
    = -(n - k) / 4, its Hessian's eigenvalues being -2 and 4. Here are, up to order and sign, those
    of each k. Coupled, three kinds are known in closed form: the origin; t (1, ..., 1) with 4 t^2 =
    2 - coupling (n - 1); and for even n the points t s, half of the signs s being minus, with 4 t^2
    = 2 + coupling. At each the Hessian is a I + coupling 1 1^T up to signs.

    Fields: `n` the dimension; `coupling`; `index` the number of zeros of the saddle that a race
    starts at, None for the origin, the one that is known of the coupled problem; `radius` the
    distance of the start from it, in a uniform direction; `escape_drop` the fall of the loss that
    counts as escaped: one coordinate gains 1/4.

    Cost of a loss: O(n). The strict saddle property: Ge et al. 2015, definition 2.

    >>> [(point.index, point.loss) for point in StrictSaddleQuartic(n=2).critical_points]
    [(0, -0.5), (1, -0.25), (2, 0.0)]
    """

    n: Annotated[int, Ge(1), Le(10**7)] = 4
    coupling: float = 0.0
    index: Annotated[int, Ge(1)] | None = None
    radius: Positive = 1e-3
    escape_drop: Positive = 0.1

    def __post_init__(self) -> None:
        if not math.isfinite(self.coupling):
            raise ValueError(f"coupling must be finite, got {self.coupling}")
        if self.index is not None and (self.index > self.n or self.coupling):
            is_large = self.index > self.n
            limit = (
                f"at most n = {self.n}"
                if is_large
                else "None where coupling is not 0"
            )
            raise ValueError(f"index must be {limit}, got {self.index}")
        if self.saddle.index == 0:
            raise ValueError(
                f"with coupling {self.coupling:g} the origin of {self.n} dimensions is no saddle"
            )

    @property
    def dim(self) -> int:
        """As `n` says."""
        return self.n

    @functools.cached_property
    def critical_points(self) -> tuple[CriticalPoint, ...]:
        """One point of every kind."""
        if self.coupling:
            return tuple(self._coupled())
        return tuple(self._with_zeros(k) for k in range(self.n + 1))

    @functools.cached_property
    def saddle(self) -> CriticalPoint:
        """The point with `index` zeros."""
        if self.coupling:
            return next(self._coupled())
        return self._with_zeros(self.n if self.index is None else self.index)

    @property
    def lowest(self) -> float:
        """-n (2 - a)^2 / 16: the coupling c adds at least a t^2 / 2 a coordinate.

        a is c (n - 1) where c is negative, else -c.
        """
        c = self.coupling
        added = c * (self.n - 1) if c < 0 else -c
        return -self.n * (2 - added) ** 2 / 16

    def start(self, rng: torch.Generator) -> Tensor:
        """A point at `radius` from the saddle, in a uniform direction."""
        direction = torch.randn(self.n, generator=rng, dtype=torch.float64)
        return self.saddle.point + self.radius * direction / direction.norm()

    def loss(self, theta: Tensor, batch: None) -> Tensor:
        """f, ()."""
        square = theta.square()
        f = (square * (square - 1)).sum()
        return (
            f + self.coupling / 2 * (theta.sum() ** 2 - square.sum())
            if self.coupling
            else f
        )

    def _with_zeros(self, k: int) -> CriticalPoint:
        point = torch.full((self.n,), math.sqrt(0.5), dtype=torch.float64)
        point[self.n - k :] = 0
        return CriticalPoint(point, -(self.n - k) / 4, k)

    def _coupled(self) -> Iterator[CriticalPoint]:
        """Points t s of signs s: the Hessian has a + c n along s, a across, a = 12 t^2 - 2 - c."""
        n, c = self.n, self.coupling
        kinds = [(0.0, 0), (2 - c * (n - 1), n)]  # 4 t^2, and the sum of the signs
        kinds += [(2 + c, 0)] if n % 2 == 0 else []
        for four_t_squared, sum_of_signs in kinds:
            if four_t_squared < 0 or (four_t_squared == 0 and sum_of_signs):
                continue
            t_squared = four_t_squared / 4
            signs = torch.ones(n, dtype=torch.float64)
            signs[: (n - sum_of_signs) // 2] = -1
            a = 12 * t_squared - 2 - c
            loss = n * (t_squared**2 - t_squared) + c / 2 * t_squared * (
                sum_of_signs**2 - n
            )
            index = (n - 1) * (a < 0) + (a + c * n < 0)
            yield CriticalPoint(math.sqrt(t_squared) * signs, loss, index)
