"""The Mueller-Brown surface: three minima and two transition states between them."""

import functools
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from sfnbench import CriticalPoint, Index, Positive, Problem, constant, register

# Coordinates to six digits, loss and index; Newton's method gives the others.
KNOWN = (
    ((-0.822002, 0.624313), -40.66484, 1),
    ((0.212487, 0.292988), -72.24894, 1),
    ((-0.558224, 1.441726), -146.69952, 0),
    ((0.623499, 0.028038), -108.16672, 0),
    ((-0.050011, 0.466694), -80.76782, 0),
)


@register("mueller_brown")
@dataclass(frozen=True, kw_only=True)
class MuellerBrown(Problem):
    """A potential in the plane on which finders of transition states are tried.

        f(x, y) = sum_k A_k exp(a_k (x - X_k)^2 + b_k (x - X_k) (y - Y_k) + c_k (y - Y_k)^2)

        A (-200, -100, -170, 15)   a (-1, -1, -6.5, .7)    b (0, 0, 11, .6)
        c (-10, -10, -6.5, .7)     X (1, 0, -.5, -1)       Y (0, .5, 1.5, 1)

    Minima: (-.558224, 1.441726) with f = -146.69952, (.623499, .028038) with -108.16672 and
    (-.050011, .466694) with -80.76782. Saddles: (-.822002, .624313) with -40.66484 and
    (.212487, .292988) with -72.24894. Curvatures go up to 4,068.

    Fields: `start_at` a `saddle`, or the `box` -1.5 < x < 1.2, -.2 < y < 2, uniformly; `saddle_at`
    0 or 1 by the order above; `radius` the distance of the start from the saddle, in a uniform
    direction; `escape_drop` the fall of the loss that counts as escaped.

    Cost of a loss: four exponentials. Source: Mueller, Brown 1979, "Location of saddle points and
    minimum energy paths by a constrained simplex optimization procedure".

    >>> [point.index for point in MuellerBrown().critical_points]
    [1, 1, 0, 0, 0]
    """

    start_at: Literal["saddle", "box"] = "saddle"
    saddle_at: Index = 0
    radius: Positive = 1e-3
    escape_drop: Positive = 5.0

    def __post_init__(self) -> None:
        if self.saddle_at > 1:
            raise ValueError(f"saddle_at must be 0 or 1, got {self.saddle_at}")

    @property
    def dim(self) -> int:
        """Two: x and y."""
        return 2

    @functools.cached_property
    def critical_points(self) -> tuple[CriticalPoint, ...]:
        """All five, saddles first."""
        return tuple(self._polished(at, index) for at, _, index in KNOWN)

    @functools.cached_property
    def saddle(self) -> CriticalPoint | None:
        """The one of `saddle_at`; None where starts are in the box."""
        if self.start_at == "box":
            return None
        return self.critical_points[self.saddle_at]

    def _polished(self, at: tuple[float, float], index: int) -> CriticalPoint:
        """The critical point that Newton's method finds next to its known digits."""
        point = torch.tensor(at, dtype=torch.float64)
        for _ in range(6):
            g = torch.func.grad(lambda t: self.loss(t, None))(point)
            point = point - torch.linalg.solve(self.hessian(point, None), g)
        return CriticalPoint(point, float(self.loss(point, None)), index, n_zero=0)

    def start(self, rng: torch.Generator) -> Tensor:
        """A point at `radius` from the saddle, or one of the box."""
        if self.saddle is None:
            low = torch.tensor([-1.5, -0.2], dtype=torch.float64)
            high = torch.tensor([1.2, 2.0], dtype=torch.float64)
            return low + (high - low) * torch.rand(
                2, generator=rng, dtype=torch.float64
            )
        direction = torch.randn(2, generator=rng, dtype=torch.float64)
        return self.saddle.point + self.radius * direction / direction.norm()

    def loss(self, theta: Tensor, batch: None) -> Tensor:
        """f, ()."""
        A, a, b, c, X, Y = self.terms(theta).unbind()
        x, y = theta[0] - X, theta[1] - Y
        return (A * torch.exp(a * x**2 + b * x * y + c * y**2)).sum()

    @constant
    def terms(self) -> Tensor:
        """A, a, b, c, X and Y of the four terms (6, 4)."""
        return torch.tensor(
            [
                [-200, -100, -170, 15],
                [-1, -1, -6.5, 0.7],
                [0, 0, 11, 0.6],
                [-10, -10, -6.5, 0.7],
                [1, 0, -0.5, -1],
                [0, 0.5, 1.5, 1],
            ],
            dtype=torch.float64,
        )
