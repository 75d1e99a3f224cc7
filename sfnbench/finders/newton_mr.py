"""Newton's method of minimum residual."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator, minres
from torch import Tensor

from ..core.fields import BelowOne, Count
from ..core.finder import Equations, Finder, Iterate
from ..linalg.lanczos import Product
from ..members.registry import register
from ._descent import backtracked
from ._scipy import Array


@register("newton_mr")
@dataclass(frozen=True, kw_only=True)
class NewtonMR(Finder):
    """Newton's method by minimum residuals, which needs no invertible Hessian.

        theta <- theta + t p,    p = argmin |H p + g|

    with t the first of 1, 1/2, ... that has Armijo's fall of |g|^2.

    Fields: `steps` at most; `solver` dense, by the eigenbasis, or minres, which asks for
    Hessian-vector products alone and suits larger networks; `cut` below which eigenvalues count as
    zero, in units of the largest (dense), or the relative residual at which MINRES stops;
    `iterations` of MINRES at most. Where H is nearly singular a small cut makes steps of no use, a
    large one leaves the search at points whose gradient lies in the kernel: gradient-flat points.

    Cost of a step: a Hessian and O(d^3), or up to `iterations` products; and a gradient for each t.
    References: Roosta, Liu, Xu, Mahoney 2018, "Newton-MR"; Paige, Saunders 1975; Frye et al. 2021.
    """

    steps: Count = 150
    solver: Literal["dense", "minres"] = "dense"
    cut: BelowOne = 1e-6
    iterations: Count = 200

    def step(self, equations: Equations, at: Iterate) -> Iterate:
        """One step, or none where no t is good enough."""
        if self.solver == "dense":
            solve = self._dense
        else:
            solve = self._matrix_free
        direction, slope = solve(equations, at)
        return backtracked(equations, at, direction, slope)

    def _dense(self, equations: Equations, at: Iterate) -> tuple[Tensor, Tensor]:
        """Directions (S, d) and g . H p (S,), by the pseudo-inverse."""
        eigenvalues, Q = equations.eigh(at.theta)
        seen = eigenvalues.abs() > self.cut * eigenvalues.abs().amax(
            1, keepdim=True
        )
        in_basis = (Q.mT @ at.grad[..., None])[..., 0]
        p = torch.where(seen, -in_basis / torch.where(seen, eigenvalues, 1.0), 0.0)
        return (Q @ p[..., None])[..., 0], -torch.where(
            seen, in_basis, 0.0
        ).square().sum(1)

    def _matrix_free(
        self, equations: Equations, at: Iterate
    ) -> tuple[Tensor, Tensor]:
        """The same by MINRES, one search at a time."""
        directions = torch.zeros_like(at.theta)
        slopes = at.theta.new_zeros(len(at.theta))
        for i, g in enumerate(at.grad):
            _, product = equations.of(torch.tensor([i])).products(
                at.theta[i : i + 1]
            )

            def times(v: Array, product: Product = product, g: Tensor = g) -> Array:
                return np.asarray(
                    product(torch.as_tensor(v).to(g).reshape(-1)).cpu()
                )

            H = LinearOperator((len(g), len(g)), matvec=times, dtype="float64")
            solved = minres(
                H, -g.cpu().numpy(), rtol=self.cut, maxiter=self.iterations
            )[0]
            directions[i] = torch.as_tensor(solved).to(g)
            slopes[i] = g @ product(directions[i])
        return directions, slopes
