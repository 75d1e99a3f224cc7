"""A problem seen in another way: upside down, or on some of its coordinates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...core.curvature import CurvatureKind, Linearisation
from ...core.problem import CoordinateSubspace, Problem


@dataclass(frozen=True)
class View(Problem):
    """A problem seen in another way; its examples are its own."""

    problem: Problem

    @property
    def dim(self) -> int:
        """As many as the problem has."""
        return self.problem.dim

    @property
    def population(self) -> int | None:
        """The problem's own."""
        return self.problem.population

    def start(self, rng: torch.Generator) -> Tensor:
        """The problem's own."""
        return self.problem.start(rng)

    def draw(self, rng: torch.Generator, size: int) -> Any:
        """The problem's own."""
        return self.problem.draw(rng, size)

    def share(self, batch: Any) -> float:
        """The problem's own."""
        return self.problem.share(batch)


@dataclass(frozen=True)
class UpsideDown(View):
    """A problem turned over: an optimizer climbs on it."""

    def tensors(self, theta: Tensor) -> dict[str, Tensor]:
        """The problem's own."""
        return self.problem.tensors(theta)

    def loss(self, theta: Tensor, batch: Any) -> Tensor:
        """Minus the problem's loss."""
        return -self.problem.loss(theta, batch)


@dataclass(frozen=True)
class Restricted(View):
    """A problem on the coordinates of one of its subspaces."""

    subspace: CoordinateSubspace

    @property
    def dim(self) -> int:
        """As many as the subspace has."""
        return len(self.subspace.places)

    def start(self, rng: torch.Generator) -> Tensor:
        """The problem's own, without the other coordinates."""
        return self.problem.start(rng)[self.subspace.places]

    def loss(self, theta: Tensor, batch: Any) -> Tensor:
        """The problem's loss at `embedded`."""
        if self.subspace.narrower is not None:
            return self.subspace.narrower.loss(theta, batch)
        return self.problem.loss(self.embedded(theta), batch)

    def linearised(
        self, theta: Tensor, batch: Any, kind: CurvatureKind
    ) -> Linearisation | None:
        """The narrower problem's own, where there is one."""
        if self.subspace.narrower is None:
            return None
        return self.subspace.narrower.linearised(theta, batch, kind)

    def hessian(self, theta: Tensor, batch: Any) -> Tensor:
        """The problem's own, without the other rows and columns."""
        if self.subspace.narrower is not None:
            return self.subspace.narrower.hessian(theta, batch)
        places = self.subspace.places.to(theta.device)
        return self.problem.hessian(self.embedded(theta), batch)[
            places[:, None], places
        ]

    def embedded(self, theta: Tensor) -> Tensor:
        """The point (d,) of the whole problem, zero in all other coordinates.

        Theta is (n,), or (S, n) for points (S, d).
        """
        whole = theta.new_zeros(*theta.shape[:-1], self.problem.dim)
        return whole.index_copy(-1, self.subspace.places.to(theta.device), theta)
