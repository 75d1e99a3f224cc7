"""Minimisation of the gradient's length."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import OptimizeResult, minimize
from torch import Tensor

from ..core.fields import Count
from ..core.finder import Equations, Finder, Iterate
from ..members.registry import register
from ._scipy import Array, one_by_one

ENOUGH = 1e-26  # of the squared norm
# a search has stalled where 300 iterations lower the square by under a tenth
PATIENCE, FALL = 300, 0.9


@register("gradient_norm")
@dataclass(frozen=True, kw_only=True)
class GradientNormMinimization(Finder):
    """The squared length of the gradient, minimised by L-BFGS with Hessian-vector products.

        min 1/2 |g|^2,    whose gradient is H g

    It converges slowly, because the squared length is as ill conditioned as H^2, and stops at
    gradient-flat points, where H g = 0 and g is not. Fields: `iterations` at most; `memory` of
    L-BFGS in pairs. One point at a time, each to its end. Cost of an iteration: about one gradient
    and one product. References: Liu, Nocedal 1989; Pennington, Bahri 2017; Frye et al. 2021.
    """

    iterations: Count = 25_000
    memory: Count = 20

    def step(self, equations: Equations, at: Iterate) -> Iterate:
        """The whole search."""
        return one_by_one(equations, at, self._solve)

    def _solve(
        self, equations: Equations, placed: Callable[[Array], Tensor], start: Array
    ) -> Array:
        # in units of the first value, so that no tolerance depends on the loss's own
        scale = 1 / np.square(equations.grad(placed(start)).cpu().numpy()).sum()
        seen: list[float] = []

        def value(x: Array) -> tuple[float, Array]:
            g, product = equations.products(placed(x))
            return scale * float(g @ g) / 2, scale * product(g).cpu().numpy()

        def stop(intermediate_result: OptimizeResult) -> None:
            seen.append(intermediate_result.fun)
            stalled = len(seen) > PATIENCE and seen[-1] > FALL * seen[-1 - PATIENCE]
            if seen[-1] < scale * ENOUGH or stalled:
                raise StopIteration

        options = {
            "maxiter": self.iterations,
            "maxfun": 2 * self.iterations,
            "maxcor": self.memory,
            "ftol": 0,
            "gtol": 0,
        }
        end = minimize(
            value,
            start,
            jac=True,
            method="L-BFGS-B",
            callback=stop,
            options=options,
        )  # type: ignore[call-overload]
        return np.asarray(end.x)
