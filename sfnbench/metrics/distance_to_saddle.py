"""How far the start's saddle is."""

import math
from dataclasses import dataclass

from torch import Tensor

from ..core.metric import Metric
from ..core.oracle import Oracle
from ..members.registry import register


@register("distance_to_saddle")
@dataclass(frozen=True, kw_only=True)
class DistanceToSaddle(Metric):
    """Euclidean distance from the saddle that the race starts at; NaN where there is none."""

    def measure(self, oracle: Oracle, theta: Tensor) -> Tensor:
        """|theta - saddle|."""
        saddle = oracle.problem.saddle
        if saddle is None:
            return theta.new_full((), math.nan)
        return (theta - saddle.point.to(theta)).norm()
