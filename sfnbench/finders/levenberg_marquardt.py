"""Levenberg and Marquardt's method on the gradient."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ..core.fields import Count, Positive
from ..core.finder import Equations, Finder, Iterate
from ..members.registry import register

TRIES = 14  # dampings tried in a step before it is given up


class DampingState(NamedTuple):
    """The memory of the method."""

    damping: Tensor  # (S,), 0 before the first step


@register("levenberg_marquardt")
@dataclass(frozen=True, kw_only=True)
class LevenbergMarquardt(Finder):
    """Levenberg and Marquardt's method on the gradient, in the eigenbasis of the Hessian.

        theta <- theta - (H^2 + damping I)^-1 H g

    A step that does not shorten the gradient is tried again with eight times the damping, without
    another Hessian. After one that does, the damping follows the gain, the fall of |g|^2 over the
    fall that the linear model predicts: a tenth for a gain above 1/2, half above 1/10, twice
    otherwise. It reaches critical points of every kind and index, singular Hessians included, and
    stalls where |g| has a local minimum, as at gradient-flat points.

    Fields: `steps` at most, a Hessian each; `damping` of the first step, in units of the largest
    squared eigenvalue. Cost of a step: a Hessian, O(d^3) for its eigenbasis, and a gradient a try.
    References: Marquardt 1963; Nocedal, Wright 2006, section 10.3.
    """

    steps: Count = 150
    damping: Positive = 1e-3

    def init(self, theta: Tensor) -> DampingState:
        """No damping yet: the first Hessian sets its scale."""
        return DampingState(torch.zeros_like(theta[:, 0]))

    def step(self, equations: Equations, at: Iterate) -> Iterate:
        """One accepted step, or none after so many tries."""
        eigenvalues, Q = equations.eigh(at.theta)
        # unit: (S,)
        unit = eigenvalues.square().amax(1).clamp_min(torch.finfo(Q.dtype).tiny)
        damping = torch.where(
            at.memory.damping > 0, at.memory.damping, self.damping * unit
        )
        in_basis = (Q.mT @ at.grad[..., None])[..., 0]
        before = at.grad.square().sum(1)
        theta = at.theta.clone()
        grad = at.grad.clone()
        trying = torch.arange(len(theta), device=theta.device)
        for _ in range(TRIES):
            L = eigenvalues[trying]
            g = in_basis[trying]
            lam = damping[trying, None]
            reach = Q if len(trying) == len(Q) else Q[trying]
            tried = (
                at.theta[trying]
                - (reach @ (L * g / (L.square() + lam))[..., None])[..., 0]
            )
            new = equations.of(trying).grad(tried)
            predicted = (g * lam / (L.square() + lam)).square().sum(1)
            after = new.square().sum(1)
            fell = after < before[trying]
            gain = (before[trying] - after) / (before[trying] - predicted)
            following = lam[:, 0] * _factor(fell, gain)
            damping[trying] = torch.maximum(following, 1e-18 * unit[trying])
            theta[trying[fell]] = tried[fell]
            grad[trying[fell]] = new[fell]
            trying = trying[~fell]
            if not len(trying):
                break
        return Iterate(theta, grad, DampingState(damping))


def _factor(fell: Tensor, gain: Tensor) -> Tensor:
    """The factor (S,) of the damping: eight after a try in vain, else by its gain."""
    accepted = torch.where(gain > 0.5, 0.1, torch.where(gain > 0.1, 0.5, 2.0))
    return torch.where(fell, accepted, 8.0)
