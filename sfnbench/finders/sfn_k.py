"""Saddle-free Newton with k signs turned: critical points of index k attract it."""

from dataclasses import dataclass

import torch

from ..core.fields import Count, Index, Positive
from ..core.finder import Equations, Iterate
from ..members.registry import register
from ._signed import FinderOfIndex, eigensystem, stepped


@register("sfn_k")
@dataclass(frozen=True, kw_only=True)
class SaddleFreeNewtonOfIndex(FinderOfIndex):
    """Saddle-free Newton that climbs along the k lowest eigenvectors and descends along all others.

        theta <- theta - sum_i s_i / max(|lambda_i|, floor) v_i (v_i . g)

    with s_i = -1 for i <= k, and 1 for the others.

    With `index: 0` it is saddle-free Newton, and Newton's method wherever the index is k already.
    Near a critical point of index j the distance doubles in |j - k| directions in each step, so
    that points of index k attract it. So may a point whose k-th and next eigenvalue are equal by a
    symmetry, as they are for a seventh atom on a corner of six: its lowest eigenvectors turn with
    the direction that it is met from. Zero modes that the problem states are projected out.

    Fields: `index` k; `longest` step; `floor` of |lambda|; `steps` at most. Cost of a step: a
    gradient, a Hessian, O(d^3). The gradient may grow on the way, so no search counts as stalled.
    Source: the "quasi-Newton" step of Sella (Hermes et al. 2022) with absolute eigenvalues.
    """

    descends_gradient = False

    index: Index = 1
    longest: Positive = 0.1
    floor: Positive = 1e-6
    steps: Count = 300

    def step(self, equations: Equations, at: Iterate) -> Iterate:
        """One step."""
        L, Q, g = eigensystem(equations, at)
        sign = torch.ones_like(L)
        sign[:, : self.index] = -1
        p = -sign * g / L.abs().clamp_min(self.floor)
        return stepped(equations, at, Q, p, self.longest)
