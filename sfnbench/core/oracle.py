"""The oracle: all that one trajectory may ask, and the count of what it asked.

The optimizer asks, the oracle counts; loop, clock, budget, stop rule and randomness belong to the
harness.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from .cost import Calls
from .curvature import CurvatureKind, Linearisation
from .derivatives import loss_and_grad
from .linearise import linearise
from .memory import Parts
from .problem import Problem
from .ranks import current_ranks


@dataclass(frozen=True)
class Curvature:
    """The loss to second order at one point, linearised once.

    Products reuse the same forward graph.
    """

    loss: Tensor  # ()
    grad: Tensor  # (d,)
    _product: Callable[[Tensor], Tensor]

    def hvp(self, vector: Tensor) -> Tensor:
        """The Hessian, or the matrix asked for in its place, times a vector, (d,) -> (d,)."""
        return self._product(vector)


@dataclass
class Oracle:
    """All that one trajectory may ask in one step, on its batches; every question is counted.

    `batches` has the sizes that the optimizer's `batch_sizes` ask for: losses and gradients are
    taken on the first, curvature and Hessians on the last. `noise` (n_noise, d) is standard normal
    and drawn outside, with the seed's own generator. A batch that the device has no memory for is
    taken in the parts that `memory` says.
    """

    problem: Problem
    batches: tuple[Any, ...] = (None,)
    noise: Tensor | None = None
    eager: bool = False  # plain autograd: faster than torch.func, but not inside its transforms
    theta: Tensor | None = None  # the point that the step starts from ...
    # ... and its loss, once the optimizer has asked for it: it spares the harness a call
    loss_here: Tensor | None = None
    calls: Calls = field(default_factory=Calls)
    memory: Parts = field(default_factory=Parts)

    def loss(self, theta: Tensor) -> Tensor:
        """The loss ()."""
        batch = self.batches[0]
        self._count("loss", batch)
        (loss,) = self.memory.sum(
            self.problem, batch, lambda part: (self.problem.loss(theta, part),)
        )
        return self._note(theta, loss)

    def grad(self, theta: Tensor) -> Tensor:
        """The gradient (d,)."""
        return self.loss_and_grad(theta)[1]

    def loss_and_grad(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """The loss () and the gradient (d,), counted as one gradient."""
        batch = self.batches[0]
        self._count("grad", batch)
        loss, grad = self.memory.sum(
            self.problem, batch, lambda part: self._loss_and_grad(theta, part)
        )
        return self._note(theta, loss), grad

    def differentiable_grad(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """The loss () and the gradient (d,) as a function of theta, which requires gradients.

        It counts as one gradient, and each pass back through it as a Hessian-vector product. It
        needs plain autograd, and all of the batch at once.
        """
        batch = self.batches[0]
        self._count("grad", batch)
        with torch.enable_grad():
            loss = self.problem.loss(theta, batch)
            (grad,) = torch.autograd.grad(loss, theta, create_graph=True)
        if grad.requires_grad:
            grad.register_hook(lambda _: self._count("hvp", batch))
        return loss.detach(), grad

    def curvature(
        self, theta: Tensor, kind: CurvatureKind = "hessian"
    ) -> Curvature:
        """Loss, gradient and products with a curvature matrix at theta.

        Making it counts as one gradient. A batch in parts has its graph built again for each
        product, which then counts as one more gradient.
        """
        batch = self.batches[-1]
        whole: list[Linearisation] = []  # the batch's, as long as it is in one part

        def linear(part: Any) -> Linearisation:
            return linearise(self.problem, theta, part, kind, eager=self.eager)

        def first(part: Any) -> tuple[Tensor, Tensor]:
            found = linear(part)
            whole[:] = [found] if self.memory.n == 1 else []
            return found.loss, found.grad

        def product(v: Tensor) -> Tensor:
            self._count("hvp", batch)
            if whole:
                try:
                    return self._summed(batch, whole[0].product(v))
                except (MemoryError, RuntimeError) as error:
                    whole.clear()
                    if not self.memory.halve(self.problem, batch, error):
                        raise
            self._count("grad", batch)
            (total,) = self.memory.sum(
                self.problem, batch, lambda part: (linear(part).product(v),)
            )
            return total

        self._count("grad", batch)
        loss, grad = self.memory.sum(self.problem, batch, first)
        if batch is self.batches[0]:
            loss = self._note(theta, loss)
        return Curvature(loss, grad, product)

    def hessian(self, theta: Tensor) -> Tensor:
        """The Hessian (d, d)."""
        batch = self.batches[-1]
        self._count("hessian", batch)
        (H,) = self.memory.sum(
            self.problem, batch, lambda part: (self.problem.hessian(theta, part),)
        )
        return H

    def tensors(self, theta: Tensor) -> dict[str, Tensor]:
        """The tensors that theta, or a gradient (d,), is made of, by name, as views.

        It costs nothing.
        """
        return self.problem.tensors(theta)

    def _summed(self, batch: Any, own: Tensor) -> Tensor:
        """The sum over the processes that share the run of what each has of its part."""
        ranks = current_ranks()
        if ranks is None:
            return own
        return ranks.sum(ranks.own(self.problem, batch)[0], (own,))[0]

    def _count(self, kind: str, batch: Any) -> None:
        self.calls.add(kind, self.problem.share(batch))

    def _loss_and_grad(self, theta: Tensor, batch: Any) -> tuple[Tensor, Tensor]:
        return loss_and_grad(
            lambda t: self.problem.loss(t, batch), theta, eager=self.eager
        )

    def _note(self, theta: Tensor, loss: Tensor) -> Tensor:
        if theta is self.theta:
            self.loss_here = loss
        return loss
