import math
from dataclasses import dataclass
from typing import Literal

from sfnbench import BelowOne, Count, NonNegative, Optimizer, Positive, register


@register("suite_probe")
@dataclass(frozen=True, kw_only=True)
class SuiteProbe(Optimizer):
    """For tests."""

    lr: Positive = 1
    momentum: BelowOne = 0.9
    damping: NonNegative | Literal["paper", "none"] = 0.0
    radius: Positive | None = None
    limit: float = math.inf
    n_inner: Count = 1
    restart: bool = False
    shape: tuple[Count, ...] = (1, 2)
    window: tuple[float, float] = (0.0, 1.0)
    colour: Literal["red", "green"] = "red"
    word: str = "on"

    def step(self, oracle, theta, state):
        return theta, state
