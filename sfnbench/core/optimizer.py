"""An optimizer: a rule from one point to the next."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from .fields import Count
from .oracle import Oracle
from .problem import Problem, batch_misfit

State = Any  # a NamedTuple of tensors; () for an optimizer without memory


@dataclass(frozen=True, kw_only=True)
class Optimizer(ABC):
    """A rule from one point to the next.

    Subclass as a frozen, keyword-only dataclass: its fields are hyperparameters.

    `step` must be pure. A vmappable optimizer never branches on a tensor's value. One that has to
    says ``vmappable = False``, and is run seed by seed.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}
    # standard normal vectors wanted in each step, in oracle.noise
    n_noise: ClassVar[int] = 0
    vmappable: ClassVar[bool] = True
    # where tuning looks for values, where a suite says so: {"lr": {"loguniform": [1e-3, 1.0]}}
    tuning_ranges: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    # examples in the minibatch of each step, drawn with replacement; None: all of them
    batch_size: Count | None = None

    @property
    def batch_sizes(self) -> tuple[int | None, ...]:
        """Sizes of the batches wanted in each step; None: all examples.

        The first is for losses and gradients, and the last for curvature.
        """
        return (self.batch_size,)

    def misfit(self, problem: Problem) -> str | None:
        """Why this method with these settings cannot run on this problem; None where it can."""
        return batch_misfit(problem, self.batch_sizes)

    def init(self, theta: Tensor) -> State:
        """The memory before the first step: a NamedTuple of tensors."""
        return ()

    def carried(self, state: State) -> Any:
        """The part of the state that decides the next step; the rest is there to be reported."""
        return state

    @abstractmethod
    def step(
        self, oracle: Oracle, theta: Tensor, state: State
    ) -> tuple[Tensor, State]:
        """The next point (d,) and memory."""

    def report(self, state: State) -> Mapping[str, Tensor]:
        """Scalars () by name about the last step; the race keeps them beside its metrics."""
        return {}
