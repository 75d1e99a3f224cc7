from sfnbench import Optimizer, register

BROKEN = 1 / 0


@register("suite_broken")
class SuiteBroken(Optimizer):
    """For tests."""
