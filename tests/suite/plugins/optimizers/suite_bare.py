from sfnbench import Optimizer, register


@register("suite_bare")
class SuiteBare(Optimizer):
    """For tests."""

    def step(self, oracle, theta, state):
        return theta, state
