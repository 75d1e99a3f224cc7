"""Damped Newton's method."""

from dataclasses import dataclass

from torch import Tensor

from ..core.fields import Positive
from ..core.optimizer import Optimizer, State
from ..core.oracle import Oracle
from ..linalg.absolute import directions
from ..members.registry import register
from ._damping import Damping, dampings, lowest


@register("damped_newton")
@dataclass(frozen=True, kw_only=True)
class DampedNewton(Optimizer):
    """Newton's method with a damped Hessian; undamped by default.

        theta <- theta - lr (H + damping I)^-1 grad f(theta)

    Along a negative eigenvalue lambda the step points up the slope unless damping > |lambda|:
    saddles attract it. On a quadratic saddle the undamped method lands on the saddle in one step.
    `damping: paper` takes at every step that one of 1, 1e-1, ..., 1e-5 whose step has the lowest
    loss. Cost of a step: a gradient, a Hessian, O(d^3) for its eigendecomposition and, with the
    paper's rule, six losses. Reference: Dauphin et al. 2014, section 4 and appendix F.1.
    """

    lr: Positive = 1.0
    damping: Damping = 0.0

    def step(self, oracle: Oracle, theta: Tensor, state: State) -> tuple[Tensor, State]:
        """One Newton step, with the best of the dampings where there are several."""
        direction = directions(
            oracle.grad(theta), oracle.hessian(theta), spectrum=lambda eigenvalues: eigenvalues
        )
        points = [theta + self.lr * direction(damping) for damping in dampings(self.damping)]
        return (lowest(oracle, points) if len(points) > 1 else points[0]), state
