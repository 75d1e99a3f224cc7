"""Perturbed gradient descent: noise only where the gradient is small, and seldom."""

import math
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import torch
from annotated_types import Ge, Gt, Lt
from torch import Tensor

from sfnbench import NonNegative, Optimizer, Oracle, Positive, register


class Memory(NamedTuple):
    """What the method knows of its last perturbation."""

    since: Tensor  # () steps that have passed; more than `wait` before the first
    anchor: Tensor  # (d,) where it was made
    anchor_loss: Tensor  # ()
    returned: Tensor  # () whether the method has ended


class Schedule(NamedTuple):
    """The numbers that decide when and how far to perturb."""

    lr: float  # eta
    radius: float  # r
    gradient: float  # g_thres
    wait: int  # t_thres, rounded up
    decrease: float  # f_thres


@register("perturbed_gradient_descent")
@dataclass(frozen=True, kw_only=True)
class PerturbedGradientDescent(Optimizer):
    """Gradient descent that adds a point of a small ball where the gradient is small, but seldom.

        theta <- theta + xi                   if |grad f| <= g_thres, t_thres steps after the last
        theta <- theta - eta grad f(theta)    otherwise

    with xi uniform in the ball of radius r.

    It returns to where it last perturbed, and stays there, if that has gained less than f_thres
    after t_thres steps: by the theory an epsilon-second-order stationary point, with probability 1
    - delta. The paper's parameters are

        chi = 3 max(ln(d l gap / (c epsilon^2 delta)), 4),
        eta = c / l,    r = sqrt(c) / chi^2 epsilon / l,
        g_thres = sqrt(c) / chi^2 epsilon,    f_thres = c / chi^3 sqrt(epsilon^3 / rho),
        t_thres = chi / c^2 l / sqrt(rho epsilon)

    Fields: `smoothness` l and `hessian_lipschitz` rho of the loss; `accuracy` epsilon; `gap` the
    start's loss over the lowest; `failure` delta; `c`, by the theory small enough. `lr`, `radius`,
    `gradient_threshold` and `wait` take the place of eta, r, g_thres and t_thres; `returns` false
    never ends it, as in experiments. Cost of a step: one gradient; a perturbation, which the
    paper makes part of the next step, is one of its own. Source: Jin et al. 2017, "How to escape
    saddle points efficiently", algorithms 1 and 2; experiments as in Du et al. 2017.
    """

    n_noise = 2  # a direction, and a normal number that becomes the length
    tuning_ranges = {"smoothness": {"loguniform": [1.0, 1000.0]}}

    smoothness: Positive = 1.0
    hessian_lipschitz: Positive = 1.0
    accuracy: Positive = 0.1
    gap: Positive = 1.0
    failure: Annotated[float, Gt(0), Lt(1)] = 0.1
    c: Positive = 1.0
    lr: Positive | None = None
    radius: Positive | None = None
    gradient_threshold: NonNegative | None = None
    wait: Annotated[int, Ge(0)] | None = None
    returns: bool = True

    def schedule(self, dim: int) -> Schedule:
        """Algorithm 1's parameters in d dimensions, with those that are stated in their place."""
        c, smoothness, epsilon = self.c, self.smoothness, self.accuracy
        chi = 3 * max(
            math.log(dim * smoothness * self.gap / (c * epsilon**2 * self.failure)),
            4,
        )
        threshold = math.sqrt(c) / chi**2 * epsilon
        wait = math.ceil(
            chi / c**2 * smoothness / math.sqrt(self.hessian_lipschitz * epsilon)
        )
        return Schedule(
            lr=c / smoothness if self.lr is None else self.lr,
            radius=threshold / smoothness if self.radius is None else self.radius,
            gradient=threshold
            if self.gradient_threshold is None
            else self.gradient_threshold,
            wait=wait if self.wait is None else self.wait,
            decrease=c / chi**3 * math.sqrt(epsilon**3 / self.hessian_lipschitz),
        )

    def init(self, theta: Tensor) -> Memory:
        """Nothing perturbed yet."""
        never = theta.new_full(
            (), self.schedule(theta.shape[-1]).wait + 1, dtype=torch.int64
        )
        return Memory(
            never,
            theta,
            theta.new_full((), math.inf),
            torch.zeros_like(never, dtype=torch.bool),
        )

    def step(
        self, oracle: Oracle, theta: Tensor, state: Memory
    ) -> tuple[Tensor, Memory]:
        """A gradient step, or a perturbation."""
        now = self.schedule(theta.shape[-1])
        loss, g = oracle.loss_and_grad(theta)
        returned = state.returned
        if self.returns:
            gained = state.anchor_loss - loss
            returned = returned | (
                (state.since == now.wait) & (gained < now.decrease)
            )
        perturbs = (g.norm() <= now.gradient) & (state.since > now.wait) & ~returned
        after = torch.where(
            perturbs,
            theta + now.radius * _in_ball(oracle.noise),
            theta - now.lr * g,
        )
        after = torch.where(returned, state.anchor, after)
        memory = Memory(
            torch.where(perturbs, 0, state.since + 1),
            torch.where(perturbs, theta, state.anchor),
            torch.where(perturbs, loss, state.anchor_loss),
            returned,
        )
        return after, memory


def _in_ball(noise: Tensor | None) -> Tensor:
    """A point (d,) uniform in the unit ball, of length U^(1/d), from two normal vectors (2, d)."""
    assert noise is not None
    uniform = torch.special.ndtr(noise[1, 0])
    return noise[0] / noise[0].norm() * uniform ** (1 / noise.shape[-1])
