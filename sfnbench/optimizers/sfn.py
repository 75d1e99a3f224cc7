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

    It is the minimiser of the first-order model within the region where first- and second-order
    models agree, measured by d^T |H| d <= trust_radius; the paper absorbs the radius into the step.
    With `trust_radius` Delta the step d has exactly that length, d = -sqrt(Delta / (g^T A^-1 g))
    A^-1 g with A = |H| + damping I, and lr multiplies it.

    Undamped on a quadratic saddle, it annuls every direction of positive curvature in one step and
    doubles the negative ones in each. Where the gradient has no component along a negative
    direction, as exactly on the stable manifold, it is caught all the same, unless there is `noise`
    (off by default). `damping: paper` takes at every step that one of 1, 1e-1, ..., 1e-5 whose step
    has the lowest loss. Cost of a step: a gradient, a Hessian, O(d^3) for its eigendecomposition
    and, with the paper's rule, six losses. Reference: Dauphin et al. 2014, equation 6, section 5.
    """

    lr: Positive = 1.0
    damping: Damping = 0.0
    trust_radius: Positive | None = None
    noise: NonNegative = 0.0

    @property
    def n_noise(self) -> int:  # type: ignore[override]  # as many as this setting wants: none for a noise-free method
        """One normal vector a step where there is noise."""
        return 1 if self.noise else 0

    def step(self, oracle: Oracle, theta: Tensor, state: State) -> tuple[Tensor, State]:
        """One saddle-free Newton step, with the best of the dampings where there are several."""
        g = oracle.grad(theta)
        direction = directions(g, oracle.hessian(theta), spectrum=torch.abs)
        steps = [direction(damping) for damping in dampings(self.damping)]
        if self.trust_radius is not None:
            # A^-1 g = -step, so g^T A^-1 g = -(g . step); zero only where the gradient is, and then
            # so is the step
            steps = [
                torch.sqrt(self.trust_radius / (-(g @ s)).clamp_min(torch.finfo(s.dtype).tiny)) * s
                for s in steps
            ]
        points = [theta + self.lr * s for s in steps]
        theta = lowest(oracle, points) if len(points) > 1 else points[0]
        return (
            theta + self.noise * oracle.noise[0]
            if self.n_noise and oracle.noise is not None
            else theta
        ), state
