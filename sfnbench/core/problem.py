"""A problem: a loss with all that is known about it.

theta is one flat vector (d,) everywhere.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from .curvature import CurvatureKind, Linearisation
from .derivatives import columns_at_once, linearise_in_transforms


@dataclass(frozen=True)
class CriticalPoint:
    """A point with zero gradient whose loss and index are known in closed form."""

    point: Tensor  # (d,)
    loss: float
    index: int  # number of negative Hessian eigenvalues
    # number of eigenvalues that are zero; None where that is not known
    n_zero: int | None = None


@dataclass(frozen=True)
class CoordinateSubspace:
    """Coordinates that hold critical points of the whole loss.

    A critical point of the loss on these coordinates alone, with zero in all others, is a critical
    point of the whole.
    """

    name: str
    places: Tensor  # (n,) of the coordinates
    # theta (d,) -> number of negative eigenvalues across the subspace, in closed form
    normal_index: Callable[[Tensor], int]
    # the same loss of these coordinates in their order, where it is cheaper by itself
    narrower: Problem | None = None


class Problem(ABC):
    """A loss with all that is known about it.

    Subclass as a frozen, keyword-only dataclass: its fields are its YAML keys.

    All methods are pure. `loss` must run under `torch.func.vmap` and `torch.func.grad`: no
    ``.item()``, no Python branch on a tensor's value.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}
    # False: the loss has no floor, and a race stops a trajectory at its escape
    bounded_below: ClassVar[bool] = True
    # False: the loss branches on values, so that no `torch.func.vmap` takes several points
    vmappable: ClassVar[bool] = True
    # False: all of the Hessian costs too much for an end point, which Lanczos then measures
    has_cheap_hessian: ClassVar[bool] = True
    # True: outputs and criterion are known apart, as the Gauss-Newton matrix needs them
    knows_outputs: ClassVar[bool] = False
    # methods theta (d,) -> scalar, low is good, that suites may name as metrics
    measures: ClassVar[tuple[str, ...]] = ()
    # a trajectory has escaped once its loss is below the saddle's by more than this
    escape_drop: float = 0.0
    # p, where the loss falls from the saddle as the p-th power of the distance at first: 2 at a
    # strict saddle, more at a degenerate one, whose Hessian has no negative eigenvalue
    saddle_order: int = 2

    @property
    @abstractmethod
    def dim(self) -> int:
        """Number of parameters d."""

    @property
    def critical_points(self) -> tuple[CriticalPoint, ...]:
        """Known answers, each tested by the contract: gradient zero, loss, index."""
        return ()

    @property
    def saddle(self) -> CriticalPoint | None:
        """The saddle that a race starts at; None where there is none to escape from."""
        return None

    @property
    def saddle_kind(self) -> str:
        """Strict, or degenerate and of what order, and whether it has zero modes.

        Empty where there is no saddle.
        """
        if self.saddle is None:
            return ""
        kind = "strict"
        if self.saddle_order > 2:
            kind = f"degenerate of order {self.saddle_order}"
        if self.saddle.n_zero:
            return f"{kind}, with zero modes"
        return kind

    @property
    def lowest(self) -> float | None:
        """A lower bound of the loss, or None where none is known.

        No escape_drop may ask for a loss below it.
        """
        return None

    @abstractmethod
    def start(self, rng: torch.Generator) -> Tensor:
        """A starting point (d,), float64 on the CPU; all randomness from `rng`."""

    @abstractmethod
    def loss(self, theta: Tensor, batch: Any) -> Tensor:
        """The loss () at theta (d,) on a batch that `draw` gave; None is everything."""

    def tensors(self, theta: Tensor) -> dict[str, Tensor]:
        """The tensors that theta (d,) is made of, by name, as views in their own shapes.

        They are a network's weights, biases and recurrent matrices, which methods for matrices or
        for layers have to see. A gradient (d,) comes apart in the same way.
        """
        return {"theta": theta}

    @property
    def population(self) -> int | None:
        """How many examples minibatches are drawn from; None where there are no minibatches."""
        return None

    @property
    def missing_data(self) -> str:
        """Which of its data are missing and cannot be fetched, and what to do; else empty.

        Reads nothing.
        """
        return ""

    @property
    def needs_download(self) -> bool:
        """Whether some of its data are not on this machine yet, and may be fetched."""
        return False

    def fetch_data(self) -> None:
        """Put its data on this machine; DataError where they cannot be had.

        Asked only of a problem that `needs_download`.
        """
        raise NotImplementedError(f"{type(self).__name__} has no data to fetch")

    def draw(self, rng: torch.Generator, size: int) -> Any:
        """A minibatch of `size` examples, as indices into shared tensors.

        Only problems with a `population` are asked.
        """
        raise NotImplementedError(f"{type(self).__name__} has no minibatches")

    def share(self, batch: Any) -> float:
        """The share of all examples that a batch is; it weighs the cost of the batch's passes."""
        return 1.0

    def parts(self, batch: Any, n: int) -> list[tuple[float, Any]]:
        """The batch in at most n parts, each with its weight in the loss.

        A device that cannot hold the whole batch takes it in parts.
        """
        return [(1.0, batch)]

    def linearised(
        self, theta: Tensor, batch: Any, kind: CurvatureKind
    ) -> Linearisation | None:
        """The loss to second order at theta (d,), written by hand.

        None, the default, where differentiating twice is as fast. It is never called inside
        transforms.
        """
        return None

    def hessian(self, theta: Tensor, batch: Any) -> Tensor:
        """The Hessian (d, d), by batched Hessian-vector products.

        Override where a closed form is faster.
        """
        product = linearise_in_transforms(
            lambda t: self.loss(t, batch), theta
        ).product
        identity = torch.eye(
            theta.shape[-1], dtype=theta.dtype, device=theta.device
        )
        rows = torch.func.vmap(product, chunk_size=columns_at_once(theta))(identity)
        return (rows + rows.mT) / 2

    def tangent(self, theta: Tensor) -> Tensor | None:
        """Orthonormal directions (d, n) whose curvatures make the spectrum at theta (d,).

        None stands for all directions.
        """
        return None

    def zero_modes(self, theta: Tensor) -> Tensor | None:
        """Directions (n, d) in which the continuous symmetries of the loss move theta (d,).

        One for each symmetry, of any length: the translations and rotations of a cluster of atoms,
        say. The loss is constant along them, so at a critical point their curvatures are zero. They
        count neither in its index nor as degenerate. None, the default, where there are none.
        """
        return None

    @property
    def n_zero_modes(self) -> int:
        """How many continuous symmetries the loss has, where `zero_modes` does not give them.

        At a critical point up to so many of the curvatures that are zero do not count.
        """
        return 0

    def invariants(self, theta: Tensor) -> Tensor:
        """Numbers (m,) that differ from one critical point to another.

        They are equal at points that a symmetry of the loss maps to each other.
        """
        return self.loss(theta, None).reshape(1)

    @property
    def subspaces(self) -> tuple[CoordinateSubspace, ...]:
        """Subspaces in which critical points can be searched in fewer dimensions.

        The index that such a point has in the whole is then known in closed form.
        """
        return ()

    def escaped(self, theta: Tensor, loss: Tensor) -> Tensor:
        """Whether a trajectory at theta (d,) with this loss () has left the saddle, a boolean."""
        if self.saddle is None:
            return torch.zeros_like(loss, dtype=torch.bool)
        return loss < self.saddle.loss - self.escape_drop


def batch_misfit(problem: Problem, sizes: Iterable[int | None]) -> str | None:
    """Why minibatches of these sizes cannot be drawn from the problem; None where they can."""
    population = problem.population
    for size in sizes:
        if size is None:
            continue
        asked = f"a batch of {size} was asked for, but the problem has"
        if population is None:
            return f"{asked} no minibatches"
        if size > population:
            return f"{asked} only {population} examples"
    return None
