"""The vocabulary of root finding: Finder, Equations, Iterate.

Critical points are the roots of the gradient. A finder moves many points at once, S lanes of d
parameters, and asks the equations, which count; loop, budget and stop rule belong to the harness,
as they do with optimizers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .cost import KINDS
from .optimizer import State
from .problem import Problem

GRAD, HVP, HESSIAN = (KINDS.index(kind) for kind in ("grad", "hvp", "hessian"))


class Iterate(NamedTuple):
    """Where the lanes stand."""

    theta: Tensor  # (S, d)
    grad: Tensor  # (S, d), the gradient there
    memory: State = ()  # a NamedTuple of tensors (S, ...)


class Equations:
    """grad f(theta) = 0, for S lanes at once; every question is counted, lane by lane.

    Points are (S, d), a row for each lane. One lane at a time where ``batched`` is false: beyond
    some hundred parameters a batch gains nothing and costs memory.
    """

    def __init__(self, problem: Problem, n_lanes: int, batched: bool = True) -> None:
        self.problem, self.batched = problem, batched
        self.calls = np.zeros((n_lanes, len(KINDS)), dtype=np.int64)
        self.lanes = np.arange(n_lanes)

    def of(self, lanes: Tensor) -> Equations:
        """The same equations for some of the lanes, a mask or places (n,).

        They count into the same calls.
        """
        some = Equations.__new__(Equations)
        some.problem, some.batched, some.calls = self.problem, self.batched, self.calls
        some.lanes = self.lanes[lanes.cpu().numpy()]
        return some

    def grad(self, theta: Tensor) -> Tensor:
        """The gradients (S, d)."""
        self._count(GRAD)
        if self.batched and len(theta) > 1:
            return self._map(torch.func.grad(lambda point: self.problem.loss(point, None)), theta)
        return torch.stack([self._traced(point)[1].detach() for point in theta])

    def hessian(self, theta: Tensor) -> Tensor:
        """The Hessians (S, d, d)."""
        self._count(HESSIAN)
        return self._map(lambda point: self.problem.hessian(point, None), theta)

    def eigh(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Eigenvalues (S, d), ascending, and eigenvectors (S, d, d) of the Hessians.

        NaN for one that is not finite.
        """
        H = self.hessian(theta)
        broken = ~torch.isfinite(H).flatten(1).all(1)
        eigenvalues, Q = torch.linalg.eigh(torch.where(broken[:, None, None], 0.0, H))
        return torch.where(broken[:, None], torch.nan, eigenvalues), Q

    def products(self, theta: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """One lane's gradient (d,) at theta (1, d), and products of its Hessian with vectors, (d,) -> (d,).

        Linearisation once: every product reuses the gradient's graph.
        """
        self._count(GRAD)
        at, g = self._traced(theta[0], graph=True)

        def product(vector: Tensor) -> Tensor:
            self._count(HVP)
            return torch.autograd.grad(g, at, vector, retain_graph=True)[0]

        return g.detach(), product

    def _traced(self, point: Tensor, graph: bool = False) -> tuple[Tensor, Tensor]:
        """A point and its gradient, by plain autograd, which is faster than torch.func on one point."""
        with torch.enable_grad():
            at = point.detach().requires_grad_()
            return at, torch.autograd.grad(self.problem.loss(at, None), at, create_graph=graph)[0]

    def _count(self, kind: int) -> None:
        self.calls[self.lanes, kind] += 1

    def _map(self, f: Callable[[Tensor], Tensor], theta: Tensor) -> Tensor:
        if self.batched and len(theta) > 1:
            return torch.func.vmap(f)(theta)
        return torch.stack([f(point) for point in theta])


class Finder(ABC):
    """A way to find roots of the gradient.

    Subclass as a frozen, keyword-only dataclass: its fields are its parameters.

    `step` must be pure and treat every lane as if it were alone. A finder that wraps a whole solver
    has ``steps = 1``.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}
    steps: int = (
        1  # at most so many; the harness stops a lane earlier where it is done, broken or stalled
    )

    def init(self, theta: Tensor) -> State:
        """The memory before the first step, of lanes that start at theta (S, d).

        A NamedTuple of tensors (S, ...).
        """
        return ()

    @abstractmethod
    def step(self, equations: Equations, at: Iterate) -> Iterate:
        """Where the lanes stand after one step."""
