"""Lee's example: a saddle whose stable manifold is a line, with a minimum on either side."""

import functools
from dataclasses import dataclass

import torch
from torch import Tensor

from sfnbench import CriticalPoint, Positive, Problem, register


@register("lee")
@dataclass(frozen=True, kw_only=True)
class Lee(Problem):
    """A strict saddle between two minima, which gradient descent meets from the x axis alone.

        f(x, y) = x^2 / 2 + y^4 / 4 - y^2 / 2,    Hessian diag(1, 3 y^2 - 1)

    Critical points: the saddle 0 with f = 0, the minima (0, 1) and (0, -1) with f = -1/4. Gradient
    descent from a random start ends at the saddle with probability 0, from y = 0 always.

    Fields: `radius` the distance of the start from the saddle, in a uniform direction; `start_at` a
    stated start instead; `escape_drop` the fall of the loss that counts as escaped, less than 1/4.
    Source: Lee et al. 2016, "Gradient descent only converges to minimizers", section 3.

    >>> Lee().loss(torch.tensor([0.0, 1.0]), None)
    tensor(-0.2500)
    """

    radius: Positive = 1e-3
    start_at: tuple[float, float] | None = None
    escape_drop: Positive = 0.1

    @property
    def dim(self) -> int:
        """Two: x and y."""
        return 2

    @functools.cached_property
    def critical_points(self) -> tuple[CriticalPoint, ...]:
        """The saddle and both minima."""
        points = torch.tensor(
            [[0.0, 0.0], [0.0, 1.0], [0.0, -1.0]], dtype=torch.float64
        )
        return tuple(
            CriticalPoint(p, *known)
            for p, known in zip(
                points, [(0.0, 1), (-0.25, 0), (-0.25, 0)], strict=True
            )
        )

    @functools.cached_property
    def saddle(self) -> CriticalPoint:
        """The origin."""
        return self.critical_points[0]

    @property
    def lowest(self) -> float:
        """The loss at either minimum."""
        return -0.25

    def start(self, rng: torch.Generator) -> Tensor:
        """A point at `radius` from the origin, or the stated one."""
        if self.start_at is not None:
            return torch.tensor(self.start_at, dtype=torch.float64)
        direction = torch.randn(2, generator=rng, dtype=torch.float64)
        return self.radius * direction / direction.norm()

    def loss(self, theta: Tensor, batch: None) -> Tensor:
        """f, ()."""
        x, y = theta.unbind()
        return (x**2 - y**2) / 2 + y**4 / 4
