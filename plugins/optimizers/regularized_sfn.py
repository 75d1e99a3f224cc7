"""Regularised saddle-free Newton: a floor below |H| that vanishes with the gradient."""

from dataclasses import dataclass

import torch
from torch import Tensor

from sfnbench import (
    Count,
    NonNegative,
    Optimizer,
    Oracle,
    Positive,
    State,
    lanczos,
    register,
)

N_VECTORS = 20  # by default, and at most as many as there are parameters


@register("regularized_sfn")
@dataclass(frozen=True, kw_only=True)
class RegularizedSaddleFreeNewton(Optimizer):
    """Saddle-free Newton with a regularisation in proportion to the gradient.

        theta <- theta - lr (H^2 + M |g| I)^-1/2 g

    In a Krylov subspace of H from g: with V H V^T = T, the step is -|g| V^T (T^2 + M |g| I)^-1/2
    e_1, which takes half of the products that a Krylov subspace of H^2 does. On a quadratic an
    eigendirection shrinks or grows by 1 - lambda / sqrt(lambda^2 + M |g|): with M = 0, or near any
    critical point, it is saddle-free Newton.

    Fields: `lr`; `hessian_lipschitz` M; `k` vectors, by default 20, or all of them where the
    problem has fewer parameters.

    Cost of a step: a gradient and k products. Reference: Simpson, Becker, "Regularized saddle-free
    Newton" (the method; its authors integrate over shifts of H^2 instead).
    """

    tuning_ranges = {"hessian_lipschitz": {"loguniform": [1e-2, 100.0]}}

    lr: Positive = 1.0
    hessian_lipschitz: NonNegative = 1.0
    k: Count | None = None

    def step(
        self, oracle: Oracle, theta: Tensor, state: State
    ) -> tuple[Tensor, State]:
        """One step in the Krylov subspace."""
        linear = oracle.curvature(theta)
        g = linear.grad
        space = lanczos(linear.hvp, g, min(self.k or N_VECTORS, len(theta)))
        L, Q = torch.linalg.eigh(space.matrix)
        damped = (L.square() + self.hessian_lipschitz * g.norm()).sqrt()
        floor = torch.finfo(g.dtype).eps * L.abs().amax()
        solvable = damped > floor
        in_basis = Q.mT @ (space.basis @ g)
        scaled = torch.where(
            solvable, in_basis / torch.where(solvable, damped, 1.0), 0.0
        )
        return theta - self.lr * (space.basis.mT @ (Q @ scaled)), state
