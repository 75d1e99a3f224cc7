"""High-index saddle dynamics: gradient descent that climbs along the k lowest eigenvectors."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..core.fields import Count, Index, Positive
from ..core.finder import Equations, Iterate
from ..members.registry import register
from ._signed import FinderOfIndex, eigensystem, largest_curvature, stepped


@register("hisd")
@dataclass(frozen=True, kw_only=True)
class HighIndexSaddleDynamics(FinderOfIndex):
    """Gradient descent with the gradient reflected along the k lowest eigenvectors V.

        theta <- theta - lr (I - 2 V V^T) g

    Near a critical point a coordinate shrinks by 1 - lr s_i lambda_i a step, with s_i = -1 for
    i <= k and 1 for the others: points of index k attract where lr < 2 / max |lambda|. V is exact
    here, from the Hessian of every step. Zero modes that the problem states are projected out.

    A search may be held where the k-th eigenvalue and the next are equal, as V turns there (Levitt,
    Ortner 2017). Far from critical points such places are many: start near a minimum.

    Fields: `index` k; `lr`, in units of 1 / curvature, or, with `by_curvature`, of 1 / max |lambda|
    of each step, where it must be below 2; `longest` step; `steps` at most. Cost of a step: a
    gradient, a Hessian, O(d^3). The gradient may grow on the way, so no search counts as stalled.
    Source: Yin, Zhang, Zhang 2019, "High-index optimization-based shrinking dimer method for
    finding high-index saddle points".
    """

    descends_gradient = False

    index: Index = 1
    lr: Positive = 0.1
    by_curvature: bool = False
    longest: Positive = 0.1
    steps: Count = 3000

    def __post_init__(self) -> None:
        if self.by_curvature and self.lr >= 2:
            raise ValueError(
                f"by_curvature needs an lr below 2, got {self.lr:g}: no point attracts"
            )

    def step(self, equations: Equations, at: Iterate) -> Iterate:
        """One step."""
        L, Q, g = eigensystem(equations, at)
        sign = torch.ones_like(L)
        sign[:, : self.index] = -1
        lr: float | Tensor = self.lr
        if self.by_curvature:
            lr = self.lr / largest_curvature(L)[:, None]
        p = torch.where(torch.isnan(L), L, -lr * sign * g)
        return stepped(equations, at, Q, p, self.longest)
