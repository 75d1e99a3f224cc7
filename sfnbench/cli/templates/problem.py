"""My problem."""

from dataclasses import dataclass

import torch
from torch import Tensor

from sfnbench import CriticalPoint, Positive, Problem, register


@register("my_problem")  # the name in suites; also this file's name
@dataclass(frozen=True, kw_only=True)
class MyProblem(Problem):
    """My problem: say in a line what it is.

        f(x, y) = x^2 / 2 + y^4 / 4 - y^2 / 2

    A saddle at 0 between minima at (0, 1) and (0, -1), where f = -1/4. Then the paper it is from.
    """

    dim = 2

    # fields are the YAML keys: `- {use: my_problem, radius: 1e-6}`
    radius: Positive = 1e-3
    # escaped once the loss is below the saddle's by more than this
    escape_drop: Positive = 0.1

    @property
    def critical_points(self) -> tuple[CriticalPoint, ...]:
        """Points known in closed form; `sfnbench check` tests them."""
        at = torch.tensor(
            [[0.0, 0.0], [0.0, 1.0], [0.0, -1.0]], dtype=torch.float64
        )
        return (
            CriticalPoint(at[0], 0.0, 1),
            CriticalPoint(at[1], -0.25, 0),
            CriticalPoint(at[2], -0.25, 0),
        )

    @property
    def saddle(self) -> CriticalPoint:
        """The saddle that races start at."""
        return self.critical_points[0]

    def start(self, rng: torch.Generator) -> Tensor:
        """A point at `radius` from the saddle; all randomness comes from rng."""
        direction = torch.randn(2, generator=rng, dtype=torch.float64)
        return self.radius * direction / direction.norm()

    def loss(self, theta: Tensor, batch: None) -> Tensor:
        """The loss ()."""
        x, y = theta
        return x**2 / 2 + y**4 / 4 - y**2 / 2
