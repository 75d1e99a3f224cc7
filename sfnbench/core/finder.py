"""The vocabulary of root finding: Finder, Equations, Iterate.

Critical points are the roots of the gradient. A finder moves S points of d parameters at once, each
a search of its own, and asks the equations, which count. Loop, budget and stop rule belong to the
harness, as they do with optimizers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .cost import QUESTIONS
from .derivatives import loss_and_grad
from .linearise import linearise
from .optimizer import State
from .problem import Problem


class Iterate(NamedTuple):
    """Where the searches stand."""

    theta: Tensor  # (S, d)
    grad: Tensor  # (S, d), the gradient there
    memory: State = ()  # a NamedTuple of tensors (S, ...)


class Equations:
    """grad f(theta) = 0, for S searches at once; every question is counted, search by search.

    Points are (S, d), a row for each search. They are taken one at a time where ``batched`` is
    false: beyond some hundred parameters a batch gains nothing and costs memory. `calls` (S, 4) is
    the count by kind, in the order of `cost.QUESTIONS`.
    """

    def __init__(
        self, problem: Problem, n_searches: int, batched: bool = True
    ) -> None:
        self.problem = problem
        self.batched = batched
        self.calls = np.zeros((n_searches, len(QUESTIONS)), dtype=np.int64)
        # the rows of `calls` that questions count into
        self._rows = np.arange(n_searches)

    def of(self, searches: Tensor) -> Equations:
        """The same equations for some of the searches, a mask or places (n,).

        They count into the same calls.
        """
        some = Equations.__new__(Equations)
        some.problem = self.problem
        some.batched = self.batched
        some.calls = self.calls
        some._rows = self._rows[searches.cpu().numpy()]
        return some

    def grad(self, theta: Tensor) -> Tensor:
        """The gradients (S, d)."""
        self._count("grad")
        if self.batched and len(theta) > 1:
            return torch.func.vmap(torch.func.grad(self._loss))(theta)
        return torch.stack(
            [loss_and_grad(self._loss, point, eager=True)[1] for point in theta]
        )

    def hessian(self, theta: Tensor) -> Tensor:
        """The Hessians (S, d, d)."""
        self._count("hessian")
        if self.batched and len(theta) > 1:
            return torch.func.vmap(lambda point: self.problem.hessian(point, None))(
                theta
            )
        return torch.stack([self.problem.hessian(point, None) for point in theta])

    def eigh(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Eigenvalues (S, d), ascending, and eigenvectors (S, d, d) of the Hessians.

        The eigenvalues of a Hessian that is not finite are NaN.
        """
        H = self.hessian(theta)
        broken = ~torch.isfinite(H).flatten(1).all(1)
        eigenvalues, Q = torch.linalg.eigh(
            torch.where(broken[:, None, None], 0.0, H)
        )
        return torch.where(broken[:, None], torch.nan, eigenvalues), Q

    def products(self, theta: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """One search's gradient (d,) at theta (1, d), and products of its Hessian, (d,) -> (d,).

        The loss is linearised once: every product reuses the gradient's graph.
        """
        self._count("grad")
        linear = linearise(self.problem, theta[0], None, eager=True)

        def product(vector: Tensor) -> Tensor:
            self._count("hvp")
            return linear.product(vector)

        return linear.grad, product

    def _loss(self, theta: Tensor) -> Tensor:
        return self.problem.loss(theta, None)

    def _count(self, kind: str) -> None:
        self.calls[self._rows, QUESTIONS.index(kind)] += 1


class Finder(ABC):
    """A way to find roots of the gradient.

    Subclass as a frozen, keyword-only dataclass: its fields are its parameters.

    `step` must be pure and treat every search as if it were alone. A finder that wraps a whole
    solver has ``steps = 1``.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}
    # False: the gradient may grow on the way, and no search is stopped as stalled
    descends_gradient: ClassVar[bool] = True
    # at most so many; the harness stops a search earlier where it is done, broken or stalled
    steps: int = 1

    def misfit(self, problem: Problem) -> str | None:
        """Why these settings make no sense on this problem; None where they do."""
        return None

    def init(self, theta: Tensor) -> State:
        """The memory before the first step, of searches that start at theta (S, d).

        A NamedTuple of tensors (S, ...).
        """
        return ()

    @abstractmethod
    def step(self, equations: Equations, at: Iterate) -> Iterate:
        """Where the searches stand after one step."""
