"""The most negative curvature."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ..core.metric import Metric
from ..core.oracle import Oracle
from ..members.registry import register
from ._hessian import eigenvalues, extremes, is_dense


@register("min_eigenvalue")
@dataclass(frozen=True, kw_only=True)
class MinEigenvalue(Metric):
    """Smallest eigenvalue of the Hessian, and the distance within which there surely is one.

    Exact up to `DENSE_LIMIT` parameters, if the Hessian is cheap. Beyond, the lowest Ritz value of
    at most `N_LANCZOS` products from a fixed random start, and of fewer where its residual is below
    a hundredth of its size. It is no eigenvalue's lower bound, so a negative one proves negative
    curvature, and a positive one that none was resolved.
    """

    companions: ClassVar[tuple[str, ...]] = ("min_eigenvalue_residual",)

    def measure(self, oracle: Oracle, theta: Tensor) -> dict[str, Tensor]:
        """The eigenvalue and its residual."""
        if is_dense(oracle.problem):
            lowest = eigenvalues(oracle, theta)[0]
            residual = torch.zeros_like(lowest)
        else:
            found = extremes(oracle, theta)
            lowest = found.lowest
            residual = found.lowest_residual
        return {"min_eigenvalue": lowest, "min_eigenvalue_residual": residual}
