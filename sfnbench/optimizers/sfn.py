"""Saddle-free Newton, dense."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..core.fields import NonNegative, Positive
from ..core.optimizer import Optimizer, State
from ..core.oracle import Oracle
from ..linalg.absolute import directions
from ..members.registry import register
from ._damping import Damping, dampings, lowest


@register("sfn")
@dataclass(frozen=True, kw_only=True)
class SaddleFreeNewton(Optimizer):
    """Saddle-free Newton: the Hessian's eigenvalues replaced by their absolute values.

        theta <- theta - lr (|H| + damping I)^-1 grad f(theta) + noise z,    z ~ N(0, I)

    Fields: `lr`; `damping` a number, or `paper` (the default): then each step takes that one of
    1, 1e-1, ..., 1e-5 whose step has the lowest loss, which a network needs; or a list of numbers
    to choose from. `gradient_damping` c adds c |grad f| to each: it vanishes at a critical point,
    where an absolute damping undoes the escape from a saddle of high order. `trust_radius` Delta
    gives the step d that length, d^T A d = Delta with A = |H| + damping I: d = -sqrt(Delta / (g^T
    A^-1 g)) A^-1 g, and lr multiplies it. `noise` is the standard deviation of what is added to
    every step, 0 by default.

    The step minimises the first-order model within the region where first- and second-order models
    agree, measured by d^T |H| d; the paper absorbs the region's radius into the step. Undamped
    (`damping: 0`) on a quadratic saddle, it annuls every direction of positive curvature in one
    step and doubles the negative ones in each. On a network eigenvalues near zero make undamped
    steps of any length. Where the gradient has no component along a negative direction, as exactly
    on the stable manifold, the saddle holds it unless there is `noise`.

    Cost of a step: a gradient, a Hessian, O(d^3) for its eigendecomposition and, with the paper's
    rule, six losses. Reference: Dauphin et al. 2014, equation 6, section 5, appendix F.1.
    """

    tuning_ranges = {"damping": {"loguniform": [1e-4, 1.0]}}

    lr: Positive = 1.0
    damping: Damping = "paper"
    gradient_damping: NonNegative = 0.0
    trust_radius: Positive | None = None
    noise: NonNegative = 0.0

    @property
    def n_noise(self) -> int:  # type: ignore[override]  # by this setting: none without noise
        """One normal vector a step where there is noise."""
        return 1 if self.noise else 0

    def step(
        self, oracle: Oracle, theta: Tensor, state: State
    ) -> tuple[Tensor, State]:
        """One saddle-free Newton step, with the best of the dampings where there are several."""
        g = oracle.grad(theta)
        direction = directions(g, oracle.hessian(theta), spectrum=torch.abs)
        extra: float | Tensor = 0.0
        if self.gradient_damping:
            extra = self.gradient_damping * g.norm()
        steps = [direction(damping + extra) for damping in dampings(self.damping)]
        if self.trust_radius is not None:
            steps = [_stretched(s, g, self.trust_radius) for s in steps]
        theta = lowest(oracle, [theta + self.lr * s for s in steps])
        if self.n_noise and oracle.noise is not None:
            theta = theta + self.noise * oracle.noise[0]
        return theta, state


def _stretched(step: Tensor, g: Tensor, radius: float) -> Tensor:
    """The step -A^-1 g (d,) at the length at which its square, measured by A, is the radius."""
    # squared is g^T A^-1 g: zero only where the gradient is, and the step with it
    squared = -(g @ step)
    return (
        torch.sqrt(radius / squared.clamp_min(torch.finfo(step.dtype).tiny)) * step
    )
