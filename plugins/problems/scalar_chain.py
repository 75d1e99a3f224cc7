"""A chain of scalars: the smallest degenerate saddle, of any order."""

import functools
import math
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor

from sfnbench import CriticalPoint, NonNegative, Positive, Problem, register


@register("scalar_chain")
@dataclass(frozen=True, kw_only=True)
class ScalarChain(Problem):
    """A product of L numbers that is to be s: at the origin all derivatives below the L-th vanish.

        f(w) = 1/2 (w_1 w_2 ... w_L - s)^2

    Critical points are the minima, where the product is s, and all points where two or more of the
    numbers are zero, with f = s^2 / 2. The origin is a saddle of order L, strict for L = 2 alone.
    Where exactly two are zero, the saddle is strict, of index 1, at the same loss.

    Exact law: near the origin an undamped step of saddle-free Newton multiplies w by L / (L - 1)
    where all w_i are equal, so that ln(1/scale) / ln(L / (L - 1)) steps lead away, whatever s. A
    damping far above s scale^(L - 2) undoes this, as it is all of |H| there. The gradient flow
    takes scale^-(L - 2) / ((L - 2) s), or ln(1/scale) / s for L = 2.

    Fields: `layers` L; `target` s; `scale` of a start w_i = scale (1 + spread z_i), z_i ~ N(0, 1);
    `spread`; `escape_drop` the fall of the loss that counts as escaped, below s^2 / 2.

    The L - 1 zero modes make one number larger and the next one smaller. Cost of a loss: O(L).
    Source: the scalar case of Saxe, McClelland, Ganguli 2013, "Exact solutions to the nonlinear
    dynamics of learning in deep linear neural networks".

    >>> problem = ScalarChain(layers=3)
    >>> problem.saddle_kind, round(problem.n_steps_of_sfn(1e-3, 1.0))
    ('degenerate of order 3, with zero modes', 17)
    """

    layers: Annotated[int, Ge(2)] = 4
    target: Positive = 1.0
    scale: Positive = 1e-2
    spread: NonNegative = 0.3
    escape_drop: Positive = 0.375

    def __post_init__(self) -> None:
        if self.escape_drop >= self.target**2 / 2:
            raise ValueError(
                f"escape_drop must be below target^2 / 2 = {self.target**2 / 2:g}, "
                f"got {self.escape_drop:g}"
            )

    @property
    def dim(self) -> int:
        """As many as `layers`."""
        return self.layers

    @property
    def saddle_order(self) -> int:  # type: ignore[override]  # it depends on the fields
        """L."""
        return self.layers

    @functools.cached_property
    def critical_points(self) -> tuple[CriticalPoint, ...]:
        """The origin, the strict saddle (0, 0, 1, ..., 1), and the minimum of equal numbers."""
        L, loss = self.layers, self.target**2 / 2
        zero, one = torch.zeros(L, dtype=torch.float64), torch.ones(L).double()
        strict = one.clone()
        strict[:2] = 0
        origin = CriticalPoint(zero, loss, int(L == 2), n_zero=L if L > 2 else 0)
        between = (CriticalPoint(strict, loss, 1, n_zero=L - 2),) if L > 2 else ()
        minimum = CriticalPoint(self.target ** (1 / L) * one, 0.0, 0, n_zero=L - 1)
        return origin, *between, minimum

    @functools.cached_property
    def saddle(self) -> CriticalPoint:
        """The origin."""
        return self.critical_points[0]

    @property
    def lowest(self) -> float:
        """Zero."""
        return 0.0

    def n_steps_of_sfn(self, start: float, end: float) -> float:
        """How many undamped steps of saddle-free Newton lead equal numbers from start to end."""
        return math.log(end / start) / math.log(self.layers / (self.layers - 1))

    def zero_modes(self, theta: Tensor) -> Tensor:
        """One number up and the next one down, so that the product stays (L - 1, L)."""
        signs = torch.diag(theta)
        return signs[:-1] - signs[1:]

    def start(self, rng: torch.Generator) -> Tensor:
        """Numbers near `scale`."""
        z = torch.randn(self.layers, generator=rng, dtype=torch.float64)
        return self.scale * (1 + self.spread * z)

    def loss(self, theta: Tensor, batch: None) -> Tensor:
        """f, ()."""
        product = theta[0]
        for factor in theta[1:].unbind():  # prod has no second derivative at zero
            product = product * factor
        return (product - self.target).square() / 2
