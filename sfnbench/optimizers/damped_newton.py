"""Damped Newton's method."""

from dataclasses import dataclass

from torch import Tensor

from ..core.fields import Positive
from ..core.optimizer import Optimizer, State
from ..core.oracle import Oracle
from ..linalg.absolute import newton_directions
from ..members.registry import register
from ._damping import Damping, dampings, lowest


@register("damped_newton")
@dataclass(frozen=True, kw_only=True)
class DampedNewton(Optimizer):
    """Newton's method with a damped Hessian.

        theta <- theta - lr (H + damping I)^-1 grad f(theta)

    Fields: `lr`; `damping` a number, or `paper` (the default): then each step takes that one of
    1, 1e-1, ..., 1e-5 whose step has the lowest loss, which a network needs; or a list of numbers
    to choose from. `damping: 0` is Newton's method.

    Along a negative eigenvalue lambda the step points up the slope unless damping > |lambda|:
    saddles attract it. On a quadratic saddle the undamped method lands on the saddle in one step.
    Cost of a step: a gradient, a Hessian, O(d^3) for a solve or, with several dampings, for its
    tridiagonal form, and with the paper's rule six losses. Reference: Dauphin et al. 2014, section
    4 and appendix F.1.
    """

    tuning_ranges = {"damping": {"loguniform": [1e-4, 10.0]}}

    lr: Positive = 1.0
    damping: Damping = "paper"

    def step(
        self, oracle: Oracle, theta: Tensor, state: State
    ) -> tuple[Tensor, State]:
        """One Newton step, with the best of the dampings where there are several."""
        g, H = oracle.grad(theta), oracle.hessian(theta)
        steps = newton_directions(g, H, dampings(self.damping))
        return lowest(oracle, [theta + self.lr * s for s in steps]), state
