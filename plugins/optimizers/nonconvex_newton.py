"""The nonconvex Newton method: absolute eigenvalues with a floor, and a step that is searched."""

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Gt, Lt
from torch import Tensor

from sfnbench import NonNegative, Optimizer, Oracle, Positive, State, register

MOST_HALVINGS = 40


@register("nonconvex_newton")
@dataclass(frozen=True, kw_only=True)
class NonconvexNewton(Optimizer):
    """Newton's method with the absolute values of the eigenvalues, none below a floor.

        d = -|H|_m^-1 g,    |H|_m: eigenvalues max(|lambda_i|, floor)
        theta <- theta + a d,    a = 1, 1/2, 1/4, ...: f(theta + a d) <= f + decrease a g . d

    Where the gradient is below `accuracy` and an eigenvalue negative, noise of standard deviation
    `noise` is added first. From a quadratic saddle full steps multiply the escaping coordinate by
    1 + |lambda| / max(|lambda|, floor); the paper proves an escape at the rate 3/2, whatever the
    problem's constants.

    Fields: `floor` m; `decrease` and `shrink` of the backtracking; `accuracy` of the gradient;
    `noise`.

    Cost of a step: a gradient, a Hessian, O(d^3), and a loss for each length. Reference: Paternain,
    Mokhtari, Ribeiro 2019, "A Newton-based method for nonconvex optimization with fast evasion of
    saddle points" (arXiv 1707.08028). The constants are ours.
    """

    vmappable = False
    n_noise = 1
    tuning_ranges = {"floor": {"loguniform": [1e-4, 1.0]}}

    floor: Positive = 1e-3
    decrease: Annotated[float, Gt(0), Lt(0.5)] = 1e-4
    shrink: Annotated[float, Gt(0), Lt(1)] = 0.5
    accuracy: NonNegative = 1e-8
    noise: NonNegative = 1e-4

    def step(
        self, oracle: Oracle, theta: Tensor, state: State
    ) -> tuple[Tensor, State]:
        """One step, from where noise has moved the point."""
        loss, g = oracle.loss_and_grad(theta)
        L, Q = torch.linalg.eigh(oracle.hessian(theta))
        if float(g.norm()) <= self.accuracy and float(L[0]) < 0:
            assert oracle.noise is not None
            return theta + self.noise * oracle.noise[0], state
        d = -Q @ ((Q.mT @ g) / L.abs().clamp_min(self.floor))
        length, slope = 1.0, float(g @ d)
        for _ in range(MOST_HALVINGS):
            end = theta + length * d
            if oracle.loss(end) <= loss + self.decrease * length * slope:
                return end, state
            length *= self.shrink
        return theta, state
