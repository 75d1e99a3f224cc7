"""The monkey saddle: degenerate, with three ways down."""

import functools
from dataclasses import dataclass

import torch
from torch import Tensor

from ..core.fields import Positive
from ..core.problem import CriticalPoint, Problem
from ..members.registry import register
from ._starts import check_start_at, on_sphere


@register("monkey_saddle")
@dataclass(frozen=True, kw_only=True)
class MonkeySaddle(Problem):
    """The monkey saddle, whose Hessian vanishes at the saddle and is indefinite everywhere else.

        f(x, y) = x^3 - 3 x y^2 = r^3 cos 3 phi
        Hessian [[6x, -6y], [-6y, -6x]], eigenvalues 6r and -6r

    Fields: `radius` the distance of the start from the saddle, in a uniform direction; `start_at` a
    stated start instead; `escape_drop` the fall of the loss that counts as escaped.

    At the saddle the index is 0: no eigenvalue is negative, and no theory of strict saddles
    applies. Exact laws: Newton's method halves r from every start; undamped saddle-free Newton
    multiplies it by sqrt(5/4 - cos 3 phi), which is 3/2 along the three ways down and 1/2 along the
    three ridges, where the saddle attracts it, too. Unbounded below.

    Cost of a loss: a few multiplications. Reference: Dauphin et al. 2014, figure 2b.

    >>> problem = MonkeySaddle()
    >>> problem.loss(torch.tensor([2.0, 1.0]), None)
    tensor(2.)
    """

    bounded_below = False
    saddle_order = 3

    radius: Positive = 0.1
    start_at: tuple[float, ...] | None = None
    escape_drop: Positive = 1.0

    def __post_init__(self) -> None:
        check_start_at(self.start_at, self.dim)

    @property
    def dim(self) -> int:
        """Two: x and y."""
        return 2

    @functools.cached_property
    def critical_points(self) -> tuple[CriticalPoint, ...]:
        """The origin."""
        return (
            CriticalPoint(torch.zeros(2, dtype=torch.float64), 0.0, 0, n_zero=2),
        )

    @functools.cached_property
    def saddle(self) -> CriticalPoint:
        """The origin."""
        return self.critical_points[0]

    def start(self, rng: torch.Generator) -> Tensor:
        """A point at `radius` from the origin, or the stated one."""
        if self.start_at is None:
            return on_sphere(2, self.radius, rng)
        return torch.tensor(self.start_at, dtype=torch.float64)

    def loss(self, theta: Tensor, batch: None) -> Tensor:
        """x^3 - 3 x y^2, ()."""
        x, y = theta.unbind()
        return x * (x * x - 3 * y * y)

    def hessian(self, theta: Tensor, batch: None) -> Tensor:
        """The closed form (2, 2)."""
        x, y = (6 * theta).unbind()
        return torch.stack([torch.stack([x, -y]), torch.stack([-y, -x])])
