"""scipy's least squares."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.optimize import least_squares
from torch import Tensor

from ..core.fields import Count
from ..core.finder import Equations, Finder, Iterate
from ..members.registry import register
from ._scipy import Array, one_by_one

# all three tolerances: the gradient's length decides, not scipy's rules
EPS = 3e-16


@register("least_squares")
@dataclass(frozen=True, kw_only=True)
class LeastSquares(Finder):
    """`scipy.optimize.least_squares` on the gradient, with the Hessian for its Jacobian.

    Fields: `method` trf, a trust region by the singular values of H, or lm, MINPACK's
    Levenberg-Marquardt, slow beyond a hundred parameters; `evaluations` of the gradient at most.
    One point at a time, each to its end. Cost: a Hessian and O(d^3) for every accepted step.
    References: Branch, Coleman, Li 1999; More 1978.
    """

    method: Literal["trf", "lm"] = "trf"
    evaluations: Count = 200

    def step(self, equations: Equations, at: Iterate) -> Iterate:
        """The whole search."""
        return one_by_one(equations, at, self._solve)

    def _solve(
        self, equations: Equations, placed: Callable[[Array], Tensor], start: Array
    ) -> Array:
        def gradient(x: Array) -> Array:
            return np.asarray(equations.grad(placed(x))[0].cpu())

        def jacobian(x: Array) -> Array:
            return np.asarray(equations.hessian(placed(x))[0].cpu())

        return least_squares(
            gradient,
            start,
            jac=jacobian,
            method=self.method,
            xtol=EPS,
            ftol=EPS,
            gtol=EPS,
            max_nfev=self.evaluations,
        ).x
