"""The vocabulary: Problem, Optimizer, Oracle, Curvature, CriticalPoint.

theta is one flat vector everywhere. The optimizer asks an oracle, the oracle counts; loop, clock, budget, stop rule and
randomness belong to the harness. Shapes: d parameters.
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, TypeVar, cast

import torch
from annotated_types import Ge, Gt, Le, Lt
from torch import Tensor
from torch.utils._pytree import tree_map_only

Positive = Annotated[float, Gt(0)]
NonNegative = Annotated[float, Ge(0)]
Fraction = Annotated[float, Ge(0), Le(1)]
BelowOne = Annotated[float, Ge(0), Lt(1)]
Count = Annotated[int, Ge(1)]
Index = Annotated[int, Ge(0)]

T = TypeVar("T")
State = Any  # a NamedTuple of tensors; () for an optimizer without memory
HVP_CHUNK = 32  # Hessian columns taken at once: larger chunks were slower and cost memory


@dataclass(frozen=True)
class CriticalPoint:
    """A point with zero gradient whose loss and index are known in closed form."""

    point: Tensor  # (d,)
    loss: float
    index: int  # number of negative Hessian eigenvalues


def constant(build: Callable[[Any], T]) -> Callable[[Any, Tensor], T]:
    """A method's tensors, built once in float64 on the CPU and kept for each device and dtype that asks.

    ``@constant def images(self)`` is called as ``self.images(theta)``: floating-point tensors get theta's dtype, all of
    them theta's device. For what a loss needs at every call: data sets, rotations, targets.
    """
    name = f"_{build.__name__}"

    @functools.wraps(build)
    def get(self: Any, like: Tensor) -> T:
        kept = self.__dict__.setdefault(name, {})
        key = (like.device, like.dtype)
        if key not in kept:

            def place(t: Tensor) -> Tensor:
                t = t.to(like.device, like.dtype if t.is_floating_point() else t.dtype)
                # The first call may come from inside a torch.func transform, which wraps even what does not depend on
                # its input: unwrapped, the tensor outlives the transform.
                return torch.func.debug_unwrap(t)

            kept[key] = tree_map_only(Tensor, place, build(self))
        return cast(T, kept[key])

    return get


class Problem(ABC):
    """A loss with what is known about it. Subclass as a frozen, keyword-only dataclass: its fields are its YAML keys.

    All methods are pure. `loss` must run under `torch.func.vmap` and `torch.func.grad`: no ``.item()``, no Python branch on
    a tensor's value.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}
    bounded_below: ClassVar[bool] = True  # False: a race stops a trajectory at its escape, for the loss has no floor
    measures: ClassVar[tuple[str, ...]] = ()  # methods theta (d,) -> scalar that suites may name among their metrics
    escape_drop: float = 0.0  # a trajectory has escaped once its loss is below the saddle's by more than this

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

    @abstractmethod
    def start(self, rng: torch.Generator) -> Tensor:
        """A starting point (d,), float64 on the CPU; all randomness from `rng`."""

    @abstractmethod
    def loss(self, theta: Tensor, batch: Any) -> Tensor:
        """The loss () at theta (d,) on a batch that `draw` gave; None is everything."""

    def draw(self, rng: torch.Generator) -> Any:
        """One minibatch, as indices into shared tensors; None makes the problem deterministic."""
        return None

    def hessian(self, theta: Tensor, batch: Any) -> Tensor:
        """The Hessian (d, d), by batched Hessian-vector products; override where a closed form is faster."""
        pull = torch.func.vjp(lambda t: torch.func.grad(self.loss)(t, batch), theta)[1]
        identity = torch.eye(theta.shape[-1], dtype=theta.dtype, device=theta.device)
        (rows,) = torch.func.vmap(pull, chunk_size=HVP_CHUNK)(identity)
        return (rows + rows.mT) / 2

    def escaped(self, theta: Tensor, loss: Tensor) -> Tensor:
        """Whether a trajectory at theta (d,) with this loss () has left the saddle; a boolean ()."""
        if self.saddle is None:
            return torch.zeros_like(loss, dtype=torch.bool)
        return loss < self.saddle.loss - self.escape_drop


@dataclass
class Calls:
    """Questions asked of an oracle, by kind. A gradient brings its loss, a curvature its gradient, at no further count."""

    loss: int = 0
    grad: int = 0
    hvp: int = 0
    hessian: int = 0

    @property
    def counts(self) -> tuple[int, int, int, int]:
        """The counts in the order of `sfnbench.cost.KINDS`."""
        return self.loss, self.grad, self.hvp, self.hessian


@dataclass(frozen=True)
class Curvature:
    """The loss to second order at one point, linearised once: products reuse the same forward graph."""

    loss: Tensor  # ()
    grad: Tensor  # (d,)
    _product: Callable[[Tensor], Tensor]
    _oracle: Oracle

    def hvp(self, vector: Tensor) -> Tensor:
        """Hessian times vector, (d,) -> (d,)."""
        self._oracle.calls.hvp += 1
        return self._product(vector)


@dataclass
class Oracle:
    """All that one trajectory may ask in one step, on one batch; every question is counted.

    `noise` (n_noise, d) is standard normal, drawn outside with the seed's own generator.
    """

    problem: Problem
    batch: Any = None
    noise: Tensor | None = None
    eager: bool = False  # plain autograd: faster than torch.func, but not inside its transforms
    theta: Tensor | None = None  # the point the step starts from ...
    loss_here: Tensor | None = None  # ... and its loss, once the optimizer asked for it: spares the harness a call
    calls: Calls = field(default_factory=Calls)

    def loss(self, theta: Tensor) -> Tensor:
        """The loss ()."""
        self.calls.loss += 1
        return self._note(theta, self.problem.loss(theta, self.batch))

    def grad(self, theta: Tensor) -> Tensor:
        """The gradient (d,)."""
        return self.loss_and_grad(theta)[1]

    def loss_and_grad(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """The loss () and the gradient (d,), counted as one gradient."""
        self.calls.grad += 1
        if self.eager:
            at, value = self._traced(theta)
            (grad,) = torch.autograd.grad(value, at)
            return self._note(theta, value.detach()), grad
        grad, value = torch.func.grad_and_value(self.problem.loss)(theta, self.batch)
        return self._note(theta, value), grad

    def curvature(self, theta: Tensor) -> Curvature:
        """Loss, gradient and Hessian-vector products at theta; making it counts as one gradient."""
        self.calls.grad += 1

        def gradient(t: Tensor) -> tuple[Tensor, Tensor]:
            return torch.func.grad_and_value(self.problem.loss)(t, self.batch)

        grad, pull, value = torch.func.vjp(gradient, theta, has_aux=True)  # type: ignore[misc]  # three, with an aux
        return Curvature(self._note(theta, value), grad, lambda v: pull(v)[0], self)

    def hessian(self, theta: Tensor) -> Tensor:
        """The Hessian (d, d)."""
        self.calls.hessian += 1
        return self.problem.hessian(theta, self.batch)

    def _traced(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            at = theta.detach().requires_grad_()
            return at, self.problem.loss(at, self.batch)

    def _note(self, theta: Tensor, loss: Tensor) -> Tensor:
        if theta is self.theta:
            self.loss_here = loss
        return loss


class Optimizer(ABC):
    """A rule from one point to the next. Subclass as a frozen, keyword-only dataclass: its fields are hyperparameters.

    `step` must be pure. A vmappable optimizer never branches on a tensor's value; one that needs to says
    ``vmappable = False`` and is run seed by seed.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}
    n_noise: ClassVar[int] = 0  # standard normal vectors wanted in each step, in oracle.noise
    vmappable: ClassVar[bool] = True

    def init(self, theta: Tensor) -> State:
        """The memory before the first step: a NamedTuple of tensors."""
        return ()

    @abstractmethod
    def step(self, oracle: Oracle, theta: Tensor, state: State) -> tuple[Tensor, State]:
        """The next point (d,) and memory."""
