"""A quadratic saddle of any dimension and spectrum."""

import functools
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..core.constant import constant
from ..core.fields import Index, Positive
from ..core.problem import CriticalPoint, Problem
from ..members.registry import register
from ._starts import check_start_at, on_sphere


@register("quadratic_saddle")
@dataclass(frozen=True, kw_only=True)
class QuadraticSaddle(Problem):
    """A quadratic with any eigenvalues, by default 5 x^2 - y^2, its axes rotated if wanted.

        f(x) = 1/2 sum_i eigenvalues_i (R^T x)_i^2,    Hessian R diag(eigenvalues) R^T everywhere

    Fields: `eigenvalues` in any order, each finite; `rotation` the seed of an R uniform over the
    orthogonal matrices, None for R = I; `radius` the distance of the start from the saddle, in a
    uniform direction; `start_at` a stated start instead, in unrotated coordinates: the race starts
    at R start_at; `escape_drop` the fall of the loss that counts as escaped.

    The origin is the only critical point unless some eigenvalue is zero, its index is the number of
    negative ones, and with any of those the loss has no floor. Exact laws along an axis with
    eigenvalue a, from a start at x: gradient descent multiplies x by 1 - lr a, Newton's method
    lands on 0 in one step, saddle-free Newton lands on 0 if a > 0 and doubles x if a < 0. Cost of a
    loss: O(d), rotated O(d^2). Reference: Dauphin et al. 2014, figure 2a.

    >>> problem = QuadraticSaddle()
    >>> problem.loss(torch.tensor([1.0, 2.0]), None)
    tensor(1.)
    >>> problem.saddle.index
    1
    """

    eigenvalues: tuple[float, ...] = (10.0, -2.0)
    rotation: Index | None = None
    radius: Positive = 1e-3
    start_at: tuple[float, ...] | None = None
    escape_drop: Positive = 1.0

    def __post_init__(self) -> None:
        if not self.eigenvalues:
            raise ValueError("eigenvalues must not be empty")
        if not all(map(math.isfinite, self.eigenvalues)):
            raise ValueError(
                f"eigenvalues must be finite, got {list(self.eigenvalues)}"
            )
        check_start_at(self.start_at, self.dim)

    @property
    def dim(self) -> int:
        """One parameter an eigenvalue."""
        return len(self.eigenvalues)

    @property
    def bounded_below(self) -> bool:  # type: ignore[override]  # it depends on the eigenvalues
        """Whether no eigenvalue is negative."""
        return min(self.eigenvalues) >= 0

    @functools.cached_property
    def critical_points(self) -> tuple[CriticalPoint, ...]:
        """The origin."""
        index = sum(value < 0 for value in self.eigenvalues)
        return (
            CriticalPoint(
                torch.zeros(self.dim, dtype=torch.float64), loss=0.0, index=index
            ),
        )

    @functools.cached_property
    def saddle(self) -> CriticalPoint | None:
        """The origin, if there is a way down from it."""
        return None if self.bounded_below else self.critical_points[0]

    def start(self, rng: torch.Generator) -> Tensor:
        """A point at `radius` from the origin, or the stated one."""
        if self.start_at is None:
            unrotated = on_sphere(self.dim, self.radius, rng)
        else:
            unrotated = torch.tensor(self.start_at, dtype=torch.float64)
        return (
            unrotated
            if self.rotation is None
            else unrotated @ self.axes(unrotated).mT
        )

    def loss(self, theta: Tensor, batch: None) -> Tensor:
        """The quadratic form ()."""
        # along: R^T x (d,)
        along: Tensor = theta if self.rotation is None else theta @ self.axes(theta)
        spectrum: Tensor = self.spectrum(theta)
        return spectrum @ along.square() / 2

    def hessian(self, theta: Tensor, batch: None) -> Tensor:
        """R diag(eigenvalues) R^T, the same at every theta."""
        spectrum: Tensor = self.spectrum(theta)
        if self.rotation is None:
            return torch.diag(spectrum)
        R: Tensor = self.axes(theta)
        return (R * spectrum) @ R.mT

    @constant
    def spectrum(self) -> Tensor:
        """The eigenvalues (d,)."""
        return torch.tensor(self.eigenvalues, dtype=torch.float64)

    @constant
    def axes(self) -> Tensor:
        """R (d, d), an eigenvector a column."""
        from scipy.stats import ortho_group  # slow to import

        R = ortho_group.rvs(self.dim, random_state=self.rotation)
        return torch.from_numpy(R).reshape(self.dim, self.dim)
