from dataclasses import dataclass

from sfnbench import Optimizer, register


@register("suite_picky")
@dataclass(frozen=True, kw_only=True)
class SuitePicky(Optimizer):
    """For tests."""

    low: float
    high: float = 1.0

    def __post_init__(self):
        if self.low > self.high:
            raise ValueError(
                f"low must not exceed high, but {self.low:g} > {self.high:g}"
            )
        1 / self.low

    def step(self, oracle, theta, state):
        return theta, state
