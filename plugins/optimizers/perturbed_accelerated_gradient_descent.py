"""Perturbed accelerated gradient descent: Nesterov's momentum, noise, and negative curvature."""

import math
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import torch
from annotated_types import Ge, Gt, Le, Lt
from torch import Tensor

from sfnbench import NonNegative, Optimizer, Oracle, Positive, register


class Memory(NamedTuple):
    """What the method carries from step to step."""

    velocity: Tensor  # (d,)
    since: (
        Tensor  # () steps since the last noise; more than `wait` before the first
    )


class Schedule(NamedTuple):
    """The numbers of the method."""

    lr: float  # eta
    friction: float  # theta
    convexity: float  # gamma
    length: float  # s
    radius: float  # r
    wait: int  # T, rounded up


@register("perturbed_accelerated_gradient_descent")
@dataclass(frozen=True, kw_only=True)
class PerturbedAcceleratedGradientDescent(Optimizer):
    """Nesterov's accelerated gradient descent with noise, and a step where the loss is nonconvex.

        theta += xi,  xi uniform in the ball of radius r,   if |grad f| <= epsilon, and no noise in
                                                            the last T steps
        y = theta + (1 - friction) v
        theta' = y - eta grad f(y),    v' = theta' - theta

    If f(theta) <= f(y) + grad f(y) . (theta - y) - gamma/2 |theta - y|^2, the loss is too
    nonconvex between theta and y: then v' = 0 and theta' is theta, if |v| >= s, or the better one
    of theta +- s v / |v|. The paper's parameters are, with kappa = l / sqrt(rho epsilon),

        eta = 1 / 4l,    friction = 1 / (4 sqrt kappa),    gamma = friction^2 / eta,
        s = gamma / 4 rho,    chi = max(1, log(d l gap / (rho epsilon delta))),
        r = eta epsilon chi^-5 c^-8,    T = sqrt(kappa) chi c

    Fields: `smoothness` l and `hessian_lipschitz` rho of the loss; `accuracy` epsilon; `gap` the
    start's loss over the lowest; `failure` delta; `c`; `lr`, `friction`, `length`, `radius` and
    `wait` take the place of eta, the friction, s, r and T; `exploits` false leaves negative
    curvature alone, and keeps the momentum.

    Cost of a step: two gradients and up to two losses. Reference: Jin, Netrapalli, Jordan 2018,
    "Accelerated gradient descent escapes saddle points faster than gradient descent" (arXiv
    1711.10456), algorithms 2 and 3.
    """

    vmappable = False
    n_noise = 2  # a direction, and a normal number that becomes the length
    tuning_ranges = {"smoothness": {"loguniform": [1.0, 1000.0]}}

    smoothness: Positive = 1.0
    hessian_lipschitz: Positive = 1.0
    accuracy: Positive = 0.1
    gap: Positive = 1.0
    failure: Annotated[float, Gt(0), Lt(1)] = 0.1
    c: Positive = 1.0
    lr: Positive | None = None
    friction: Annotated[float, Gt(0), Le(1)] | None = None
    length: Positive | None = None
    radius: NonNegative | None = None
    wait: Annotated[int, Ge(0)] | None = None
    exploits: bool = True

    def schedule(self, dim: int) -> Schedule:
        """The parameters in d dimensions, with those that are stated in their place."""
        rho, epsilon = self.hessian_lipschitz, self.accuracy
        kappa = self.smoothness / math.sqrt(rho * epsilon)
        inside = dim * self.smoothness * self.gap / (rho * epsilon * self.failure)
        chi = max(1.0, math.log(inside))
        lr = self.lr or 1 / (4 * self.smoothness)
        friction = self.friction or min(1.0, 1 / (4 * math.sqrt(kappa)))
        convexity = friction**2 / lr
        radius, wait = self.radius, self.wait
        if radius is None:
            radius = lr * epsilon / (chi**5 * self.c**8)
        if wait is None:
            wait = math.ceil(math.sqrt(kappa) * chi * self.c)
        length = self.length or convexity / (4 * rho)
        return Schedule(lr, friction, convexity, length, radius, wait)

    def init(self, theta: Tensor) -> Memory:
        """At rest, and no noise yet."""
        never = self.schedule(theta.shape[-1]).wait + 1
        since = torch.zeros_like(theta[..., 0], dtype=torch.int64) + never
        return Memory(torch.zeros_like(theta), since)

    def step(
        self, oracle: Oracle, theta: Tensor, state: Memory
    ) -> tuple[Tensor, Memory]:
        """One step, from where noise has moved the point."""
        now, v, since = self.schedule(len(theta)), state.velocity, state.since
        loss, g = oracle.loss_and_grad(theta)
        if (
            float(g.norm()) <= self.accuracy
            and int(since) > now.wait
            and now.radius
        ):
            theta = theta + now.radius * _in_ball(oracle.noise)
            since = torch.zeros_like(since)
            loss = oracle.loss(theta)
        y = theta + (1 - now.friction) * v
        loss_y, g_y = oracle.loss_and_grad(y)
        after = y - now.lr * g_y
        memory = Memory(after - theta, since + 1)
        back = theta - y
        bound = loss_y + g_y @ back - now.convexity / 2 * (back @ back)
        # Without the guard both sides are equal at rest, and it never moves.
        if self.exploits and v.any() and loss <= bound:
            return self._exploit(oracle, theta, v, now), memory._replace(
                velocity=torch.zeros_like(v)
            )
        return after, memory

    def _exploit(
        self, oracle: Oracle, theta: Tensor, v: Tensor, now: Schedule
    ) -> Tensor:
        """Algorithm 3: where the velocity leads, or as far back, if it is short."""
        length = float(v.norm())
        if length >= now.length:
            return theta
        ends = [theta + sign * now.length / length * v for sign in (1, -1)]
        losses = [float(oracle.loss(end)) for end in ends]
        return ends[0] if losses[0] <= losses[1] else ends[1]


def _in_ball(noise: Tensor | None) -> Tensor:
    """A point (d,) uniform in the unit ball, of length U^(1/d), from two normal vectors (2, d)."""
    assert noise is not None
    uniform = torch.special.ndtr(noise[1, 0])
    return noise[0] / noise[0].norm() * uniform ** (1 / noise.shape[-1])
