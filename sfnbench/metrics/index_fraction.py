"""How many directions go down."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..core.metric import Metric
from ..core.oracle import Oracle
from ..members.registry import register
from ._hessian import eigenvalues, zero


@register("index_fraction")
@dataclass(frozen=True, kw_only=True)
class IndexFraction(Metric):
    """Alpha, the fraction of Hessian eigenvalues that are negative.

    Those that count as zero are not negative. NaN beyond `DENSE_LIMIT` parameters.
    """

    def measure(self, oracle: Oracle, theta: Tensor) -> Tensor:
        """Alpha at theta."""
        found = eigenvalues(oracle, theta)
        negative = (found < -zero(found)).to(theta.dtype)
        return torch.where(found.isnan(), torch.nan, negative).mean()
