"""How many directions go down."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..core.metric import Metric
from ..core.oracle import Oracle
from ..core.symmetry import ZERO_EIGENVALUE
from ..members.registry import register
from ._hessian import eigenvalues


@register("index_fraction")
@dataclass(frozen=True, kw_only=True)
class IndexFraction(Metric):
    """Alpha, the fraction of Hessian eigenvalues that are negative.

    Those that count as zero, up to 1e-6 of the largest |eigenvalue|, are not negative. NaN where
    the Hessian is not taken whole: beyond `DENSE_LIMIT` parameters, or where it is not cheap.
    """

    def measure(self, oracle: Oracle, theta: Tensor) -> Tensor:
        """Alpha at theta."""
        found = eigenvalues(oracle, theta)
        zero = ZERO_EIGENVALUE * found.abs().amax()
        negative = (found < -zero).to(theta.dtype)
        return torch.where(found.isnan(), torch.nan, negative).mean()
