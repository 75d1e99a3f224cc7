"""The octopus: a row of saddles that gradient descent leaves in exponential time."""

import functools
import math
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Le
from torch import Tensor

from sfnbench import Count, CriticalPoint, Positive, Problem, register


@register("octopus")
@dataclass(frozen=True, kw_only=True)
class Octopus(Problem):
    """A chain of d strict saddles that each have to be left before the next one is met.

    With s = |x|, and i the first coordinate with s_i <= 2 tau,

        f(x) = sum_{j<i} [L (s_j - 4 tau)^2 - nu]
             + { -gamma x_i^2 + L sum_{j>i} x_j^2                                if s_i <= tau
               { g1(s_i) + g2(s_i) x_{i+1}^2 + L sum_{j>=i+2} x_j^2              otherwise

        g1(s) = -gamma s^2 + (10 gamma - 14 L) (s - tau)^3 / (3 tau)
                + (5 L - 3 gamma) (s - tau)^4 / (2 tau^2)
        g2(s) = -gamma - (L + gamma) [10 t^3 + 15 t^4 + 6 t^5],    t = (s - 2 tau) / tau
        nu = (37 L + 13 gamma) tau^2 / 6

    Twice continuously differentiable along the chain. While x_i leaves its saddle, all later
    coordinates shrink, and each has to grow again from where it is then: gradient descent with lr =
    1 / 4L leaves the next saddle after about kappa = 1 + ln 2 / ln(1 + gamma / 2L) times the steps
    that the last one took. Undamped saddle-free Newton annuls all coordinates of positive curvature
    in its first step, and so leaves the first saddle alone.

    Fields: `n` the dimension d; `smoothness` L; `gamma` the negative curvature, at most L; `tau`
    the length; `half_width` of the cube round the origin where a race starts, uniformly; `n_left`
    how many saddles have to be left behind to count as escaped, None for all d.

    `critical_points` are those with signs +: 0, (4 tau, 0, ...), ..., and the minimum (4 tau, ...,
    4 tau); k of the coordinates at 4 tau give f = -k nu, and index 1 but at the minimum. Cost of a
    loss: O(d). Source: Du et al. 2017, "Gradient descent can take exponential time to escape saddle
    points", section 4 and appendix.

    >>> Octopus().critical_points[-1].loss / Octopus().nu
    -5.0
    """

    n: Annotated[int, Ge(1), Le(1000)] = 5
    smoothness: Positive = 1.0
    gamma: Positive = 1.0
    tau: Positive = math.e
    half_width: Positive = 1.0
    n_left: Count | None = None

    def __post_init__(self) -> None:
        if self.gamma > self.smoothness:
            raise ValueError(
                f"gamma must be at most smoothness = {self.smoothness:g}, got {self.gamma:g}"
            )
        if self.half_width > self.tau:
            raise ValueError(
                f"half_width must be at most tau = {self.tau:g}, got {self.half_width:g}"
            )
        if self.n_left is not None and self.n_left > self.n:
            raise ValueError(
                f"n_left must be at most n = {self.n}, got {self.n_left}"
            )

    @property
    def dim(self) -> int:
        """As `n` says."""
        return self.n

    @property
    def nu(self) -> float:
        """How much lower each saddle is than the one before."""
        return (37 * self.smoothness + 13 * self.gamma) * self.tau**2 / 6

    @property
    def escape_drop(self) -> float:  # type: ignore[override]  # it depends on the other fields
        """Half way down from the last of the `n_left` saddles."""
        return ((self.n_left or self.n) - 0.5) * self.nu

    @functools.cached_property
    def critical_points(self) -> tuple[CriticalPoint, ...]:
        """The chain of saddles, and the minimum at its end."""
        points = (
            4
            * self.tau
            * torch.ones(self.n + 1, self.n, dtype=torch.float64).tril(-1)
        )
        return tuple(
            CriticalPoint(points[k], -k * self.nu, int(k < self.n))
            for k in range(self.n + 1)
        )

    @functools.cached_property
    def saddle(self) -> CriticalPoint:
        """The first one, at the origin."""
        return self.critical_points[0]

    def start(self, rng: torch.Generator) -> Tensor:
        """A point uniform in the cube round the origin."""
        return self.half_width * (
            2 * torch.rand(self.n, generator=rng, dtype=torch.float64) - 1
        )

    def loss(self, theta: Tensor, batch: None) -> Tensor:
        """f, ()."""
        L, gamma, tau = self.smoothness, self.gamma, self.tau
        square = theta.square()
        s = theta.abs()  # without a second derivative at 0: used only where s > tau
        n_low = (s <= 2 * tau).cumsum(0)
        left, leaving = n_low == 0, (s <= 2 * tau) & (n_low == 1)
        u, t = s - tau, (s - 2 * tau) / tau
        g1 = (
            -gamma * square
            + (10 * gamma - 14 * L) / (3 * tau) * u**3
            + (5 * L - 3 * gamma) / (2 * tau**2) * u**4
        )
        g2 = -gamma - (L + gamma) * t**3 * (10 + 15 * t + 6 * t**2)
        far = leaving & (s > tau)
        behind = L * (s - 4 * tau) ** 2 - self.nu
        own = torch.where(far, g1, -gamma * square)
        bend = torch.where(far, g2, L)  # of the next coordinate
        ahead = torch.cat([theta.new_full((1,), L), bend[:-1]]) * square
        return torch.where(left, behind, torch.where(leaving, own, ahead)).sum()
