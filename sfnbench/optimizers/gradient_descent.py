"""Gradient descent."""

from dataclasses import dataclass

from torch import Tensor

from ..core.fields import Positive
from ..core.optimizer import Optimizer, State
from ..core.oracle import Oracle
from ..members.registry import register


@register("gradient_descent")
@dataclass(frozen=True, kw_only=True)
class GradientDescent(Optimizer):
    """Gradient descent with a fixed learning rate.

        theta <- theta - lr grad f(theta)

    Near a saddle a direction of curvature lambda < 0 grows by only 1 + lr |lambda| a step: slow
    where the curvature is weak. Diverges for lr > 2 / lambda_max. Cost of a step: one gradient.
    """

    tuning_ranges = {"lr": {"loguniform": [1e-3, 1.0]}}

    lr: Positive = 0.01

    def step(
        self, oracle: Oracle, theta: Tensor, state: State
    ) -> tuple[Tensor, State]:
        """One gradient step."""
        return theta - self.lr * oracle.grad(theta), state
