"""How steep the loss is."""

from dataclasses import dataclass

from torch import Tensor

from ..core.metric import Metric
from ..core.oracle import Oracle
from ..members.registry import register


@register("gradient_norm")
@dataclass(frozen=True, kw_only=True)
class GradientNorm(Metric):
    """Euclidean norm of the gradient of the whole loss."""

    def measure(self, oracle: Oracle, theta: Tensor) -> Tensor:
        """|grad f(theta)|."""
        return oracle.grad(theta).norm()
