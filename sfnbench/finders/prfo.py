"""Partitioned rational function optimization: up along k eigenvectors, down along the others."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..core.fields import Count, Index, Positive
from ..core.finder import Equations, Iterate
from ..members.registry import register
from ._signed import FinderOfIndex, eigensystem, stepped


@register("prfo")
@dataclass(frozen=True, kw_only=True)
class PartitionedRationalFunction(FinderOfIndex):
    """A rational model of the loss is maximised along k eigenvectors and minimised along the rest.

        p_i = -h_i / (lambda_i - nu),    h = Q^T g

    nu is the largest eigenvalue of [[diag(lambda), h], [h^T, 0]] over the k lowest eigenvectors,
    and
    the lowest one of that over the others. Zero modes that the problem states are projected out.

    Fields: `index` k; `longest` step; `steps` at most. Cost of a step: a gradient, a Hessian,
    O(d^3). The gradient may grow on the way, so no search counts as stalled. References: Banerjee,
    Adams, Simons, Shepard 1985; Baker 1986, "An algorithm for the location of transition states".
    """

    descends_gradient = False

    index: Index = 1
    longest: Positive = 0.1
    steps: Count = 300

    def step(self, equations: Equations, at: Iterate) -> Iterate:
        """One step."""
        L, Q, h = eigensystem(equations, at)
        k = min(self.index, L.shape[1])
        parts = [
            _rational(L[:, :k], h[:, :k], place=-1),
            _rational(L[:, k:], h[:, k:], place=0),
        ]
        return stepped(equations, at, Q, torch.cat(parts, 1), self.longest)


def _rational(L: Tensor, h: Tensor, place: int) -> Tensor:
    """The steps (S, n) to the extremum of the rational model over some eigenvectors."""
    if not L.shape[1]:
        return torch.zeros_like(h)
    bordered = torch.diag_embed(torch.cat([L, torch.zeros_like(L[:, :1])], 1))
    bordered[:, -1, :-1] = h
    bordered[:, :-1, -1] = h
    finite = torch.isfinite(bordered).flatten(1).all(1)
    bordered = torch.where(finite[:, None, None], bordered, 0.0)
    nu = torch.linalg.eigvalsh(bordered)[:, place, None]
    apart = L - nu
    p = torch.where(apart != 0, -h / torch.where(apart != 0, apart, 1.0), 0.0)
    return torch.where(finite[:, None], p, torch.nan)
