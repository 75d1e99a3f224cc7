"""CurveBall: momentum that is one step of a solver for Newton's step, with the best two weights."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from sfnbench import (
    Count,
    NonNegative,
    Optimizer,
    Oracle,
    Problem,
    register,
)

FACTOR = 0.999  # of the damping, for each step


class Memory(NamedTuple):
    """What the method carries from step to step."""

    z: Tensor  # (d,) the momentum
    damping: Tensor  # ()
    n_steps: Tensor  # ()


@register("curveball")
@dataclass(frozen=True, kw_only=True)
class CurveBall(Optimizer):
    """Momentum towards the Gauss-Newton step, its rates chosen by the quadratic model.

        D = H z + g,    H = G + damping I
        z <- rho z - beta D,    theta <- theta + z

    where rho and beta minimise g . z + z . H z / 2 over the plane of z and D: two numbers from a
    system of two equations. Every `every` steps the ratio of the loss's fall to the model's
    multiplies or divides the damping by .999^every, above 3/4 and below 1/4.

    Fields: `curvature`, the authors' `gauss_newton`, which needs a network and sees no negative
    curvature, or `hessian` in the place of G, for any problem: then (rho, beta) may be a saddle of
    the model; `damping` at the start; `every`.

    Cost of a step: a gradient and two products, and a loss every so many steps. Reference:
    Henriques, Ehrhardt, Albanie, Vedaldi 2019, "Small steps and giant leaps: minimal Newton solvers
    for deep learning" (arXiv 1805.08095).
    """

    vmappable = False
    tuning_ranges = {"damping": {"loguniform": [1e-2, 100.0]}}

    curvature: Literal["gauss_newton", "hessian"] = "hessian"
    damping: NonNegative = 1.0
    every: Count = 5

    def misfit(self, problem: Problem) -> str | None:
        """A problem without outputs."""
        if self.curvature == "gauss_newton" and not problem.knows_outputs:
            return "curvature gauss_newton needs a network: its outputs and criterion apart"
        return super().misfit(problem)

    def init(self, theta: Tensor) -> Memory:
        """At rest, with the stated damping."""
        none = torch.zeros_like(theta[..., 0])
        return Memory(torch.zeros_like(theta), none + self.damping, none)

    def step(
        self, oracle: Oracle, theta: Tensor, state: Memory
    ) -> tuple[Tensor, Memory]:
        """One step of the momentum."""
        linear, z = oracle.curvature(theta, self.curvature), state.z
        g = linear.grad
        Hz = linear.hvp(z) + state.damping * z
        D = Hz + g
        HD = linear.hvp(D) + state.damping * D
        system = torch.stack([D @ HD, z @ HD, z @ HD, z @ Hz]).view(2, 2)
        right = torch.stack([g @ D, g @ z])
        beta, minus_rho = torch.linalg.pinv(system, hermitian=True) @ right
        step = -minus_rho * z - beta * D
        image = -minus_rho * Hz - beta * HD
        end, damping = theta + step, state.damping
        n_steps = state.n_steps + 1
        if int(n_steps) % self.every == 0:
            model = float(g @ step + step @ image / 2)
            fall = float(oracle.loss(end) - linear.loss)
            ratio = fall / model if model else 1.0
            if ratio > 0.75:
                damping = damping * FACTOR**self.every
            elif not ratio >= 0.25:
                damping = damping / FACTOR**self.every
        return end, Memory(step, damping, n_steps)

    def carried(self, state: Memory) -> tuple[Tensor, Tensor]:
        """Momentum and damping; the count only says when to look at the damping."""
        return state.z, state.damping

    def report(self, state: Memory) -> Mapping[str, Tensor]:
        """The damping."""
        return {"damping": state.damping}
