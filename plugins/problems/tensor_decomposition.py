"""Orthogonal tensor decomposition, one component at a time or all at once."""

import functools
import math
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from annotated_types import Ge
from torch import Tensor

from sfnbench import Count, CriticalPoint, Positive, Problem, register


@register("tensor_decomposition")
@dataclass(frozen=True, kw_only=True)
class TensorDecomposition(Problem):
    """The components of the tensor T = sum_k e_k^(x 4), as points of the unit sphere.

        one    f(v) = -T(u, u, u, u) = -sum_k u_k^4
        all    f(v_1, ..., v_n) = sum_{i != j} T(u_i, u_i, u_j, u_j)
                                = sum_{i != j} sum_k u_ik^2 u_jk^2

    with n orthonormal e_k and u = v / |v|. The loss knows directions alone, so every critical point
    has its lengths as zero modes; at those given here they are 1.

    Known of `one`, up to sign and order all there is: u = (1, ..., 1, 0, ..., 0) / sqrt m for m = 1
    to n, with f = -1/m and index m - 1, the components for m = 1. Known of `all`: the components
    (index 0, f = 0), and every u_i at (1, ..., 1) / sqrt n, with f = n - 1 and index (n - 1)^2: to
    second order f changes by the tangent vectors' sum over columns squared less their squares,
    which has one positive and n - 1 negative curvatures a tangent direction.

    Fields: `n`; `objective`; `support` the m of the saddle that a race of `one` starts at, None for
    n; `radius` the distance of the start from the saddle, in a uniform direction; `escape_drop` the
    fall of the loss that counts as escaped. Cost of a loss: O(n), and O(n^2) for all. Source: Ge et
    al. 2015, equations 3 and 5.

    >>> points = TensorDecomposition(n=3, objective="one").critical_points
    >>> [(point.index, round(point.loss, 3)) for point in points]
    [(0, -1.0), (1, -0.5), (2, -0.333)]
    """

    n: Annotated[int, Ge(2)] = 4
    objective: Literal["all", "one"] = "all"
    support: Count | None = None
    radius: Positive = 1e-3
    escape_drop: Positive = 0.1

    def __post_init__(self) -> None:
        if self.support is None:
            return
        if self.objective == "all" or not 2 <= self.support <= self.n:
            seeks_all = self.objective == "all"
            limit = (
                "None where all components are sought"
                if seeks_all
                else f"in 2..{self.n}"
            )
            raise ValueError(f"support must be {limit}, got {self.support}")

    @property
    def dim(self) -> int:
        """n, and n^2 for all."""
        return self.n if self.objective == "one" else self.n**2

    @functools.cached_property
    def critical_points(self) -> tuple[CriticalPoint, ...]:
        """One point of every known kind."""
        n = self.n
        if self.objective == "one":
            return tuple(
                CriticalPoint(self._flat(m), -1 / m, m - 1, n_zero=1)
                for m in range(1, n + 1)
            )
        components = torch.eye(n, dtype=torch.float64).ravel()
        flat = CriticalPoint(
            self._flat(n).repeat(n), n - 1.0, (n - 1) ** 2, n_zero=n
        )
        return CriticalPoint(components, 0.0, 0, n_zero=n), flat

    @functools.cached_property
    def saddle(self) -> CriticalPoint:
        """The point of that support; for all components, the one that favours none."""
        return self.critical_points[
            -1 if self.support is None else self.support - 1
        ]

    @property
    def lowest(self) -> float:
        """The loss at the components."""
        return -1.0 if self.objective == "one" else 0.0

    def zero_modes(self, theta: Tensor) -> Tensor:
        """The length of each vector (1 or n, dim)."""
        return torch.block_diag(*theta.view(-1, self.n))

    def start(self, rng: torch.Generator) -> Tensor:
        """A point at `radius` from the saddle, in a uniform direction."""
        direction = torch.randn(self.dim, generator=rng, dtype=torch.float64)
        return self.saddle.point + self.radius * direction / direction.norm()

    def tensors(self, theta: Tensor) -> dict[str, Tensor]:
        """One vector v (n,), or all n of them as the rows of a matrix."""
        return {
            "v": theta if self.objective == "one" else theta.view(self.n, self.n)
        }

    def loss(self, theta: Tensor, batch: None) -> Tensor:
        """f, ()."""
        v = theta.view(-1, self.n)
        squares = v.square()
        u = squares / squares.sum(1, keepdim=True)  # (1 or n, n), u_ik^2
        own = u.square().sum()
        return -own if self.objective == "one" else u.sum(0).square().sum() - own

    def _flat(self, m: int) -> Tensor:
        point = torch.zeros(self.n, dtype=torch.float64)
        point[:m] = 1 / math.sqrt(m)
        return point
