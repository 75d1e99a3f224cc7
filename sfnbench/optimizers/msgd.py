"""Momentum stochastic gradient descent."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from ..core.fields import BelowOne, Positive
from ..core.optimizer import Optimizer
from ..core.oracle import Oracle
from ..members.registry import register


class Velocity(NamedTuple):
    """The memory of momentum."""

    velocity: Tensor  # (d,)
    n_steps: Tensor  # () steps made so far, for the schedule


@register("msgd")
@dataclass(frozen=True, kw_only=True)
class MomentumSGD(Optimizer):
    """Stochastic gradient descent with momentum, classical or Nesterov's.

        v <- mu v - lr grad f(theta)           classical
        v <- mu v - lr grad f(theta + mu v)    Nesterov
        theta <- theta + v

    Fields: `lr`; `momentum` mu; `nesterov`; `schedule` constant, or sutskever: mu grows with the
    step t from 1/2 to `momentum` as min(1 - 2^(-1 - log2(floor(t / 250) + 1)), momentum); `clip`
    the longest gradient that is taken as it is, a longer one being scaled down to it.

    It is stochastic with a `batch_size`. Cost of a step: one gradient on the batch. Reference:
    Sutskever, Martens, Dahl, Hinton 2013, "On the importance of initialization and momentum in deep
    learning", equations 1 to 5; the baseline MSGD of Dauphin et al. 2014. Clipping: Pascanu,
    Mikolov, Bengio 2013, algorithm 1.
    """

    tuning_ranges = {
        "lr": {"loguniform": [1e-3, 1.0]},
        "momentum": {"choice": [0.5, 0.9, 0.99]},
    }

    lr: Positive = 0.01
    momentum: BelowOne = 0.9
    nesterov: bool = False
    schedule: Literal["constant", "sutskever"] = "constant"
    clip: Positive | None = None

    def init(self, theta: Tensor) -> Velocity:
        """No velocity yet."""
        return Velocity(torch.zeros_like(theta), torch.zeros_like(theta[..., 0]))

    def step(
        self, oracle: Oracle, theta: Tensor, state: Velocity
    ) -> tuple[Tensor, Velocity]:
        """One step along the velocity."""
        glide = self._momentum(state.n_steps) * state.velocity
        grad = oracle.grad(theta + glide if self.nesterov else theta)
        if self.clip is not None:
            grad = grad * (self.clip / grad.norm().clamp_min(self.clip))
        velocity = glide - self.lr * grad
        return theta + velocity, Velocity(velocity, state.n_steps + 1)

    def _momentum(self, n_steps: Tensor) -> Tensor | float:
        if self.schedule == "constant":
            return self.momentum
        # 2^(-1 - log2 x) is 1 / (2 x)
        growing: Tensor = 1 - 0.5 / (torch.floor(n_steps / 250) + 1)
        return growing.clamp_max(self.momentum)
