"""The oracle: all that one trajectory may ask, and the count of what it asked.

The optimizer asks, the oracle counts; loop, clock, budget, stop rule and randomness belong to the
harness.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .cost import KINDS
from .curvature import CurvatureKind, Linearisation
from .linearise import linearise
from .memory import Parts
from .problem import Problem


@dataclass
class Calls:
    """Questions asked of an oracle.

    A gradient brings its loss, a curvature its gradient, at no further count.

    By kind, in the order of `sfnbench.cost.KINDS`: `counts` (4,) how many; `passes` (4,) the same,
    each weighed by its batch's share of all examples, which is what it costs.
    """

    counts: np.ndarray = field(default_factory=lambda: np.zeros(len(KINDS), dtype=np.int64))
    passes: np.ndarray = field(default_factory=lambda: np.zeros(len(KINDS)))

    def add(self, kind: str, share: float = 1.0) -> None:
        """Count one question."""
        place = KINDS.index(kind)
        self.counts[place] += 1
        self.passes[place] += share


@dataclass(frozen=True)
class Curvature:
    """The loss to second order at one point, linearised once.

    Products reuse the same forward graph.
    """

    loss: Tensor  # ()
    grad: Tensor  # (d,)
    _product: Callable[[Tensor], Tensor]

    def hvp(self, vector: Tensor) -> Tensor:
        """The Hessian, or the matrix that was asked for in its place, times vector, (d,) -> (d,)."""
        return self._product(vector)


@dataclass
class Oracle:
    """All that one trajectory may ask in one step, on its batches; every question is counted.

    `batches` are as the optimizer's own `batch_sizes` say: losses and gradients are taken on the
    first, curvature and Hessians on the second where there is one. `noise` (n_noise, d) is standard
    normal, drawn outside with the seed's own generator. A batch that the device has no memory for
    is taken in `parts`.
    """

    problem: Problem
    batches: tuple[Any, ...] = (None,)
    noise: Tensor | None = None
    eager: bool = False  # plain autograd: faster than torch.func, but not inside its transforms
    theta: Tensor | None = None  # the point the step starts from ...
    loss_here: Tensor | None = (
        None  # ... and its loss, once the optimizer asked for it: spares the harness a call
    )
    calls: Calls = field(default_factory=Calls)
    memory: Parts = field(default_factory=Parts)

    def loss(self, theta: Tensor) -> Tensor:
        """The loss ()."""
        self._count("loss", self.batches[0])
        (loss,) = self.memory.sum(
            self.problem, self.batches[0], lambda batch: (self.problem.loss(theta, batch),)
        )
        return self._note(theta, loss)

    def grad(self, theta: Tensor) -> Tensor:
        """The gradient (d,)."""
        return self.loss_and_grad(theta)[1]

    def loss_and_grad(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """The loss () and the gradient (d,), counted as one gradient."""
        self._count("grad", self.batches[0])
        loss, grad = self.memory.sum(
            self.problem, self.batches[0], lambda batch: self._loss_and_grad(theta, batch)
        )
        return self._note(theta, loss), grad

    def curvature(self, theta: Tensor, kind: CurvatureKind = "hessian") -> Curvature:
        """Loss, gradient and products with a curvature matrix at theta.

        Making it counts as one gradient.

        In parts, the graph is made anew for each product, which then counts as one more gradient.
        """
        batch = self.batches[-1]
        whole: list[Linearisation] = []

        def part(batch: Any) -> Linearisation:
            return linearise(self.problem, theta, batch, kind, eager=self.eager)

        def first(batch: Any) -> tuple[Tensor, Tensor]:
            found = part(batch)
            whole[:] = [found] if self.memory.n == 1 else []
            return found.loss, found.grad

        def product(v: Tensor) -> Tensor:
            self._count("hvp", batch)
            if whole:
                try:
                    return whole[0].product(v)
                except (MemoryError, RuntimeError) as error:
                    whole.clear()
                    if not self.memory.halve(self.problem, batch, error):
                        raise
            self._count("grad", batch)
            return self.memory.sum(self.problem, batch, lambda batch: (part(batch).product(v),))[0]

        self._count("grad", batch)
        loss, grad = self.memory.sum(self.problem, batch, first)
        return Curvature(
            self._note(theta, loss) if batch is self.batches[0] else loss, grad, product
        )

    def hessian(self, theta: Tensor) -> Tensor:
        """The Hessian (d, d)."""
        batch = self.batches[-1]
        self._count("hessian", batch)
        return self.memory.sum(
            self.problem, batch, lambda batch: (self.problem.hessian(theta, batch),)
        )[0]

    def tensors(self, theta: Tensor) -> dict[str, Tensor]:
        """The tensors that theta, or a gradient (d,), is made of, by name, as views.

        It costs nothing.
        """
        return self.problem.tensors(theta)

    def _count(self, kind: str, batch: Any) -> None:
        self.calls.add(kind, self.problem.share(batch))

    def _loss_and_grad(self, theta: Tensor, batch: Any) -> tuple[Tensor, Tensor]:
        if not self.eager:
            grad, value = torch.func.grad_and_value(self.problem.loss)(theta, batch)
            return value, grad
        with torch.enable_grad():
            at = theta.detach().requires_grad_()
            value = self.problem.loss(at, batch)
        (grad,) = torch.autograd.grad(value, at)
        return value.detach(), grad

    def _note(self, theta: Tensor, loss: Tensor) -> Tensor:
        if theta is self.theta:
            self.loss_here = loss
        return loss
