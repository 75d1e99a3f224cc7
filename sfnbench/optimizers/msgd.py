"""Momentum stochastic gradient descent."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ..core import BelowOne, Optimizer, Oracle, Positive
from ..registry import register


class Velocity(NamedTuple):
    """The memory of momentum."""

    velocity: Tensor  # (d,)


@register("msgd")
@dataclass(frozen=True, kw_only=True)
class MomentumSGD(Optimizer):
    """Stochastic gradient descent with momentum, classical or Nesterov's.

        v <- momentum v - lr grad f(theta)                  classical
        v <- momentum v - lr grad f(theta + momentum v)     Nesterov
        theta <- theta + v

    Whether it is stochastic is the problem's choice: its gradient is taken on whatever batch the problem draws. Cost of a
    step: one gradient. Reference: Sutskever, Martens, Dahl, Hinton 2013, "On the importance of initialization and
    momentum in deep learning", equations 1 to 4; the baseline MSGD of Dauphin et al. 2014.
    """

    lr: Positive = 0.01
    momentum: BelowOne = 0.9
    nesterov: bool = False

    def init(self, theta: Tensor) -> Velocity:
        """No velocity yet."""
        return Velocity(torch.zeros_like(theta))

    def step(self, oracle: Oracle, theta: Tensor, state: Velocity) -> tuple[Tensor, Velocity]:
        """One step along the velocity."""
        glide = self.momentum * state.velocity
        grad = oracle.grad(theta + glide if self.nesterov else theta)
        velocity = glide - self.lr * grad
        return theta + velocity, Velocity(velocity)
