"""Noisy gradient descent: the model of a plugin file. Copy it, rename it, write your own `step`."""

from dataclasses import dataclass

from torch import Tensor

from sfnbench import NonNegative, Optimizer, Oracle, Positive, State, register


@register("noisy_gradient_descent")  # the name in suites; also this file's name
@dataclass(frozen=True, kw_only=True)
class NoisyGradientDescent(Optimizer):
    """Gradient descent with noise of fixed length in every step.

        theta <- theta - lr (grad f(theta) + noise n),    n uniform on the unit sphere

    The noise leaves any strict saddle in polynomial time, at the price of a floor of order lr
    noise^2 round a minimum. Cost of a step: one gradient. Reference: Ge, Huang, Jin, Yuan 2015,
    "Escaping from saddle points: online stochastic gradient for tensor decomposition", algorithm 1.
    """

    # standard normal vectors wanted in each step; the harness draws them with the seed's own
    # generator
    n_noise = 1
    tuning_ranges = {
        "lr": {"loguniform": [1e-3, 1.0]},
        "noise": {"loguniform": [1e-3, 1.0]},
    }

    # fields are the YAML keys; the type says what a suite may give
    lr: Positive = 0.01
    noise: NonNegative = 1.0

    def step(
        self, oracle: Oracle, theta: Tensor, state: State
    ) -> tuple[Tensor, State]:
        """One noisy gradient step."""
        assert oracle.noise is not None
        n = oracle.noise[0] / oracle.noise[0].norm()
        return theta - self.lr * (oracle.grad(theta) + self.noise * n), state
