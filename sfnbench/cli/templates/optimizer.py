"""My optimizer."""

from dataclasses import dataclass

from torch import Tensor

from sfnbench import Optimizer, Oracle, Positive, State, register


@register("my_optimizer")  # the name in suites; also this file's name
@dataclass(frozen=True, kw_only=True)
class MyOptimizer(Optimizer):
    """My optimizer: say in a line what it is.

        theta <- theta - lr grad f(theta)

    Then its cost, how it fails, and the paper it is from.
    """

    # fields are the YAML keys: `- {use: my_optimizer, lr: 0.1}`
    lr: Positive = 0.01

    def step(
        self, oracle: Oracle, theta: Tensor, state: State
    ) -> tuple[Tensor, State]:
        """The next point (d,).

        The oracle answers loss, grad, loss_and_grad, hessian and curvature(theta).hvp.
        """
        return theta - self.lr * oracle.grad(theta), state
