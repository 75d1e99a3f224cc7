"""The whole loss."""

from dataclasses import dataclass

from torch import Tensor

from ..core.metric import Metric
from ..core.oracle import Oracle
from ..members.registry import register


@register("loss")
@dataclass(frozen=True, kw_only=True)
class Loss(Metric):
    """The whole loss."""

    def measure(self, oracle: Oracle, theta: Tensor) -> Tensor:
        """f(theta)."""
        return oracle.loss(theta)
