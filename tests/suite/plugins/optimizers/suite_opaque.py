from dataclasses import dataclass

from sfnbench import Optimizer, register


class Opaque:
    pass


@register("suite_opaque")
@dataclass(frozen=True)
class SuiteOpaque(Optimizer):
    """For tests."""

    thing: Opaque | None = None

    def step(self, oracle, theta, state):
        return theta, state
