"""Saddle-free Newton in a Krylov subspace."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from ..core.fields import Count, NonNegative
from ..core.optimizer import Optimizer
from ..core.oracle import Oracle
from ..core.problem import Problem
from ..linalg.absolute import directions_in, eigenbasis
from ..linalg.lanczos import lanczos
from ..members.registry import register
from ._damping import Damping, dampings

Direction = Callable[[float | Tensor], Tensor]  # by its damping
N_VECTORS = 20  # by default, and at most as many as there are parameters


class Memory(NamedTuple):
    """The memory of the method, and its report."""

    update: Tensor  # (d,) the last step, whose direction the next subspace contains
    n_negative: Tensor  # () negative eigenvalues of the curvature matrix in the last subspace
    n_refused: Tensor  # () inner steps so far that no damping let through
    damping: Tensor  # () that of the last inner step; NaN if it was refused


@register("krylov_sfn")
@dataclass(frozen=True, kw_only=True)
class KrylovSaddleFreeNewton(Optimizer):
    """Saddle-free Newton in the Krylov subspace of the gradient: no Hessian is made.

        V        k Lanczos vectors: g, H g, ..., H^(k-2) g, and the direction of the last step
        theta <- theta - V^T (|V H V^T| + damping I)^-1 V g

    with `inner_steps` such steps in the same V and H.

    Fields: `k` vectors, by default 20, or all of them where the problem has fewer parameters;
    `inner_steps` m of the paper, each with a new gradient in the same subspace; `damping` a number,
    or `paper` or a list of them: then each inner step takes the one with the lowest loss, and stays
    where it is if none lowers it (the step is refused); `gradient_damping` c adds c |g| to each;
    `curvature_batch_size` examples for the products, None for the batch of the gradients;
    `reorthogonalise` false is the paper's own Lanczos recurrence, its Gram matrix accounted for.

    `curvature` puts another matrix in the place of |H|, to show whether it is |H| that
    helps: `absolute` |H|, `hessian` H itself (a damped Newton step: saddles attract it unless the
    damping exceeds |lambda_min|; give it a list that does), `gauss_newton`, and `fisher`, the outer
    products of the examples' gradients: see `sfnbench.core.curvature`.

    Deterministic and refused twice in a row, it is stuck for good; where the curvature is not a
    number, it diverges. Cost of a step: k products and a gradient, for each further inner step a
    gradient more, and with several dampings a loss for each in every inner step. Memory: k d
    numbers. References: Dauphin et al. 2014, algorithm 1, appendix E and F; Vinyals, Povey 2012,
    "Krylov subspace descent for deep learning".
    """

    tuning_ranges = {"damping": {"loguniform": [1e-4, 1.0]}}

    curvature: Literal["absolute", "hessian", "gauss_newton", "fisher"] = "absolute"
    k: Count | None = None
    inner_steps: Count = 1
    damping: Damping = "paper"
    gradient_damping: NonNegative = 0.0
    curvature_batch_size: Count | None = None
    reorthogonalise: bool = True

    @property
    def batch_sizes(self) -> tuple[int | None, ...]:
        """That of the gradients, and that of the products if it has a size of its own."""
        apart = self.curvature_batch_size is not None
        if apart:
            return (self.batch_size, self.curvature_batch_size)
        return (self.batch_size,)

    def misfit(self, problem: Problem) -> str | None:
        """A subspace larger than the space, or a matrix that the problem has no outputs for."""
        if self.k is not None and self.k > problem.dim:
            return (
                f"k = {self.k} Krylov vectors were asked for, but the problem has only "
                f"{problem.dim} parameters"
            )
        needs_outputs = self.curvature in ("gauss_newton", "fisher")
        if needs_outputs and not problem.knows_outputs:
            return (
                f"curvature {self.curvature} needs a network, whose outputs and criterion are "
                f"known apart"
            )
        return super().misfit(problem)

    def init(self, theta: Tensor) -> Memory:
        """No step yet."""
        none = torch.zeros_like(theta[..., 0])
        return Memory(torch.zeros_like(theta), none, none, none)

    def step(
        self, oracle: Oracle, theta: Tensor, state: Memory
    ) -> tuple[Tensor, Memory]:
        """The inner steps in one subspace."""
        kind = self.curvature
        linear = oracle.curvature(theta, "hessian" if kind == "absolute" else kind)
        apart = self.curvature_batch_size is not None
        loss, g = (
            oracle.loss_and_grad(theta) if apart else (linear.loss, linear.grad)
        )
        k = min(self.k or N_VECTORS, len(theta))
        space = lanczos(
            linear.hvp,
            g,
            k,
            last=state.update,
            reorthogonalise=self.reorthogonalise,
        )
        del linear  # and its graph, before the losses are taken
        finite = space.matrix.isfinite().all()
        basis = eigenbasis(torch.where(finite, space.matrix, 0.0).double())
        at = theta
        refused = state.n_refused
        damping = state.damping
        for i in range(self.inner_steps):
            if i:
                loss, g = oracle.loss_and_grad(at)
            in_space = (space.basis @ g).to(basis.eigenvalues.dtype)
            transform = torch.abs if kind == "absolute" else torch.clone
            direction = directions_in(basis, in_space, transform)
            direction = self._floored(direction, g)
            at, damping = self._best(oracle, at, loss, space.basis, direction)
            refused = refused + damping.isnan()
        # a trajectory that is not finite has diverged; others in its batch have not
        at = torch.where(finite, at, torch.nan)
        negative = basis.eigenvalues < -1e-6 * basis.eigenvalues.abs().amax()
        n_negative = negative.sum().to(theta.dtype)
        return at, Memory(at - theta, n_negative, refused, damping)

    def carried(self, state: Memory) -> Tensor:
        """The last step alone decides the next."""
        return state.update

    def report(self, state: Memory) -> Mapping[str, Tensor]:
        """Negative eigenvalues met, inner steps refused so far, and the last damping."""
        return {
            "n_negative": state.n_negative,
            "n_refused": state.n_refused,
            "damping": state.damping,
        }

    def _floored(self, direction: Direction, g: Tensor) -> Direction:
        """The direction with c |g| in addition to its damping."""
        if not self.gradient_damping:
            return direction
        extra = self.gradient_damping * g.norm()
        return lambda damping: direction(damping + extra)

    def _best(
        self,
        oracle: Oracle,
        at: Tensor,
        loss: Tensor,
        V: Tensor,
        direction: Direction,
    ) -> tuple[Tensor, Tensor]:
        """The best of the steps' ends and the point itself, and the damping that led there."""

        def end(damping: float) -> Tensor:
            return torch.addmv(at, V.mT, direction(damping).to(at.dtype))

        tried = dampings(self.damping)
        if len(tried) == 1:
            return end(tried[0]), torch.full_like(loss, tried[0])
        best = at
        lowest = loss
        chosen = torch.full_like(loss, torch.nan)
        for damping in tried:
            point = end(damping)
            value = oracle.loss(point)
            lower = value < lowest
            best = torch.where(lower, point, best)
            lowest = torch.where(lower, value, lowest)
            chosen = torch.where(lower, damping, chosen)
        return best, chosen
