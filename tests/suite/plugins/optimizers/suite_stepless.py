from dataclasses import dataclass

from sfnbench import Optimizer, register


@register("suite_stepless")
@dataclass(frozen=True)
class SuiteStepless(Optimizer):
    """For tests."""
