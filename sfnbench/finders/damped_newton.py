"""Damped Newton's method, as the paper searched with it."""

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import MinLen

from ..core.fields import Count, NonNegative, Positive
from ..core.finder import Equations, Finder, Iterate
from ..members.registry import register


@register("damped_newton")
@dataclass(frozen=True, kw_only=True)
class DampedNewtonSearch(Finder):
    """Damped Newton's method; each step takes the damping and length of the shortest gradient.

        theta <- theta - t (H + damping I)^-1 g,    damping in `dampings`, t in `lengths`

    A step that no choice makes shorter is not taken, and ends the search. Directions in which H +
    damping I vanishes are left out. Fields: `steps` at most; `dampings`, by default the paper's;
    `lengths` t.

    Cost of a step: a Hessian, O(d^3) for its eigenbasis and a gradient for every choice.
    References: Dauphin et al. 2014, appendix C, which reports neither a stop rule nor a cut-off;
    Frye et al. 2021.
    """

    steps: Count = 150
    dampings: Annotated[tuple[NonNegative, ...], MinLen(1)] = (
        1.0,
        1e-1,
        1e-2,
        1e-3,
        1e-4,
        1e-5,
    )
    lengths: Annotated[tuple[Positive, ...], MinLen(1)] = (1.0, 0.5, 0.1, 0.01)

    def step(self, equations: Equations, at: Iterate) -> Iterate:
        """The best of all choices."""
        eigenvalues, Q = equations.eigh(at.theta)
        in_basis = (Q.mT @ at.grad[..., None])[..., 0]
        floor = torch.finfo(Q.dtype).eps * eigenvalues.abs().amax(1, keepdim=True)
        theta = at.theta.clone()
        grad = at.grad.clone()
        best = at.grad.square().sum(1)
        for damping in self.dampings:
            damped = eigenvalues + damping
            solvable = damped.abs() > floor
            p = torch.where(
                solvable, -in_basis / torch.where(solvable, damped, 1.0), 0.0
            )
            direction = (Q @ p[..., None])[..., 0]
            for length in self.lengths:
                tried = at.theta + length * direction
                new = equations.grad(tried)
                shorter = new.square().sum(1) < best
                best = torch.where(shorter, new.square().sum(1), best)
                theta = torch.where(shorter[:, None], tried, theta)
                grad = torch.where(shorter[:, None], new, grad)
        return Iterate(theta, grad)
