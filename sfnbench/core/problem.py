"""A problem: a loss with what is known about it.

theta is one flat vector everywhere. Shapes: d parameters.
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar, cast

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

from .curvature import CurvatureKind, Linearisation

T = TypeVar("T")
HVP_CHUNK = 32  # Hessian columns taken at once: larger chunks were slower and cost memory


@dataclass(frozen=True)
class CriticalPoint:
    """A point with zero gradient whose loss and index are known in closed form."""

    point: Tensor  # (d,)
    loss: float
    index: int  # number of negative Hessian eigenvalues


@dataclass(frozen=True)
class CoordinateSubspace:
    """Coordinates in which a critical point of the loss on them alone is one of the whole, all others being zero."""

    name: str
    places: Tensor  # (n,) of the coordinates
    normal_index: Callable[
        [Tensor], int
    ]  # theta (d,) -> number of negative eigenvalues across it, in closed form
    narrower: Problem | None = (
        None  # the same loss of these coordinates in their order, where it is cheaper by itself
    )


def constant(build: Callable[[Any], T]) -> Callable[[Any, Tensor], T]:
    """A method's tensors, built once in float64 on the CPU and kept for each device and dtype that asks.

    ``@constant def images(self)`` is called as ``self.images(theta)``: floating-point tensors get
    theta's dtype, all of them theta's device. For what a loss needs at every call: data sets,
    rotations, targets.
    """
    name = f"_{build.__name__}"

    @functools.wraps(build)
    def get(self: Any, like: Tensor) -> T:
        kept = self.__dict__.setdefault(name, {})
        key = (like.device, like.dtype)
        if key not in kept:

            def place(t: Tensor) -> Tensor:
                t = t.to(like.device, like.dtype if t.is_floating_point() else t.dtype)
                # The first call may come from inside a torch.func transform, which wraps even what
                # does not depend on its input: unwrapped, the tensor outlives the transform.
                return torch.func.debug_unwrap(t)

            kept[key] = tree_map_only(Tensor, place, build(self))
        return cast(T, kept[key])

    return get


class Problem(ABC):
    """A loss with what is known about it.

    Subclass as a frozen, keyword-only dataclass: its fields are its YAML keys.

    All methods are pure. `loss` must run under `torch.func.vmap` and `torch.func.grad`: no
    ``.item()``, no Python branch on a tensor's value.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}
    bounded_below: ClassVar[bool] = (
        True  # False: a race stops a trajectory at its escape, for the loss has no floor
    )
    measures: ClassVar[
        tuple[str, ...]
    ] = ()  # methods theta (d,) -> scalar, low is good, that suites may name as metrics
    escape_drop: float = (
        0.0  # a trajectory has escaped once its loss is below the saddle's by more than this
    )

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
    def lowest(self) -> float | None:
        """What the loss is never below, where that is known.

        An escape must not be asked to fall deeper.
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

        A network's weights, biases and recurrent matrices: what a method for matrices, or for
        layers, has to see. A gradient (d,) comes apart in the same way.
        """
        return {"theta": theta}

    @property
    def population(self) -> int | None:
        """How many examples minibatches are drawn from; None where there are no minibatches."""
        return None

    @property
    def missing_data(self) -> str:
        """Which of its data are missing and cannot be fetched, and what to do; empty where all is well.

        Reads nothing.
        """
        return ""

    def draw(self, rng: torch.Generator, size: int) -> Any:
        """A minibatch of `size` examples, as indices into shared tensors.

        Asked of problems with a `population`.
        """
        raise NotImplementedError(f"{type(self).__name__} has no minibatches")

    def share(self, batch: Any) -> float:
        """Which share of all the examples a batch is: what its passes cost is weighed by it."""
        return 1.0

    def parts(self, batch: Any, n: int) -> list[tuple[float, Any]]:
        """The batch in at most n parts with each one's weight in the loss, for a device that cannot hold it whole."""
        return [(1.0, batch)]

    def linearised(self, theta: Tensor, batch: Any, kind: CurvatureKind) -> Linearisation | None:
        """The loss to second order at theta (d,) where there is a faster way than differentiating twice; None elsewhere.

        It is never asked for inside transforms.
        """
        return None

    def hessian(self, theta: Tensor, batch: Any) -> Tensor:
        """The Hessian (d, d), by batched Hessian-vector products.

        Override where a closed form is faster.
        """
        pull = torch.func.vjp(lambda t: torch.func.grad(self.loss)(t, batch), theta)[1]
        identity = torch.eye(theta.shape[-1], dtype=theta.dtype, device=theta.device)
        (rows,) = torch.func.vmap(pull, chunk_size=HVP_CHUNK)(identity)
        return (rows + rows.mT) / 2

    def tangent(self, theta: Tensor) -> Tensor | None:
        """Orthonormal directions (d, n) whose curvatures make the spectrum at theta (d,).

        None for all directions.
        """
        return None

    def invariants(self, theta: Tensor) -> Tensor:
        """Numbers (m,) by which critical points are told apart.

        The same for points that a symmetry of the loss joins.
        """
        return self.loss(theta, None).reshape(1)

    @property
    def subspaces(self) -> tuple[CoordinateSubspace, ...]:
        """Where critical points can be looked for in fewer dimensions.

        Their index in the whole is then foretold.
        """
        return ()

    def escaped(self, theta: Tensor, loss: Tensor) -> Tensor:
        """Whether a trajectory at theta (d,) with this loss () has left the saddle.

        A boolean ().
        """
        if self.saddle is None:
            return torch.zeros_like(loss, dtype=torch.bool)
        return loss < self.saddle.loss - self.escape_drop


class Network(Problem):
    """A problem whose loss is the mean over examples of a criterion of a network's outputs.

        L(theta) = fit(outputs(theta)) + 1/2 weight_decay |theta|^2

    Having the two apart is what Gauss-Newton and Fisher matrices are made from. A minibatch is
    indices (size,) of examples, drawn uniformly and with replacement; None is all of them.
    """

    weight_decay: float = 0.0

    @property
    @abstractmethod
    def population(self) -> int:
        """Number of training examples."""

    @abstractmethod
    def outputs(self, theta: Tensor, batch: Any) -> Tensor:
        """The outputs (..., n) at theta (d,) for the n examples of a batch, examples last."""

    @abstractmethod
    def fit(self, z: Tensor, batch: Any) -> Tensor:
        """The criterion () of outputs z (..., n), its mean over the examples of the batch."""

    def loss(self, theta: Tensor, batch: Any) -> Tensor:
        """The mean loss () over the batch's examples, plus the weight decay's share."""
        fit = self.fit(self.outputs(theta, batch), batch)
        return fit + self.weight_decay / 2 * (theta @ theta) if self.weight_decay else fit

    def draw(self, rng: torch.Generator, size: int) -> Tensor:
        """Places (size,) of a minibatch among the examples."""
        return torch.randint(self.population, (size,), generator=rng)

    def share(self, batch: Tensor | None) -> float:
        """The batch's examples over all of them."""
        return 1.0 if batch is None else batch.shape[-1] / self.population

    def parts(self, batch: Tensor | None, n: int) -> list[tuple[float, Any]]:
        """Equal parts, the last one shorter where the numbers do not divide."""
        places = torch.arange(self.population) if batch is None else batch
        return [(len(part) / len(places), part) for part in places.chunk(n)]


def batch_misfit(problem: Problem, sizes: Iterable[int | None]) -> str | None:
    """Why minibatches of these sizes cannot be drawn from the problem; None where they can."""
    for size in sizes:
        if size is not None and (problem.population is None or size > problem.population):
            there = (
                "no minibatches"
                if problem.population is None
                else f"only {problem.population} examples"
            )
            return f"a batch of {size} was asked for, but the problem has {there}"
    return None
