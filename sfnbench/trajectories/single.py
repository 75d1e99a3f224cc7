"""One trajectory, advanced by plain autograd."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.linalg import LinAlgError  # type: ignore[attr-defined]  # there, but not in the stubs
from torch.utils._pytree import tree_flatten, tree_map

from ..core.memory import Parts
from ..core.optimizer import Optimizer
from ..core.oracle import Oracle
from ..core.problem import Problem
from .taking import refuse_in_place, take
from .trajectories import Batches, Trajectories
from .vmapped import unchanged, unflattened


class Single(Trajectories):
    """One trajectory, so S is 1.

    Its optimizer is free to branch on values, to ask as often as it likes, and to stop by itself.
    """

    def __init__(self, problem: Problem, starts: Tensor) -> None:
        super().__init__(problem, starts)
        self._theta = starts[0]
        self._memory = Parts()

    @abstractmethod
    def advance(self, oracle: Oracle, theta: Tensor) -> Tensor:
        """The next point (d,)."""

    def step(self, batches: Sequence[Batches], noise: Tensor | None) -> None:
        """One step; the point becomes NaN where a linear-algebra routine gives up."""
        oracle = Oracle(
            self.problem,
            batches[0],
            None if noise is None else noise[0],
            eager=True,
            theta=self._theta,
            memory=self._memory,
        )
        try:
            self._theta = self.advance(oracle, self._theta)
        except LinAlgError:
            self._theta = torch.full_like(self._theta, torch.nan)
        self.theta = self._theta.unsqueeze(0)
        self.count(oracle.calls)
        if oracle.loss_here is None:
            self.loss_before = None
        else:
            self.loss_before = oracle.loss_here.unsqueeze(0)


class Looped(Single):
    """One trajectory of an optimizer of sfnbench; a race loops over its seeds."""

    def __init__(
        self, problem: Problem, optimizer: Optimizer, starts: Tensor
    ) -> None:
        super().__init__(problem, starts)
        self.optimizer = optimizer
        self._state = optimizer.init(starts[0])
        self._before: Any = None  # point and state before the last step

    def advance(self, oracle: Oracle, theta: Tensor) -> Tensor:
        """The optimizer's own step."""
        self._before = (theta, self._state)
        version = theta._version
        after, self._state = take(self.optimizer, oracle, theta, self._state)
        refuse_in_place(self.optimizer, theta, version)
        return after

    def memory(self) -> dict[str, Any] | None:
        """Point, state and counts; a state is a tree of tensors."""
        leaves = tree_flatten(self._state)[0]
        if not all(isinstance(leaf, Tensor) for leaf in leaves):
            return None
        return {"theta": self._theta, "state": leaves, **self.counts()}

    def recall(self, memory: dict[str, Any]) -> None:
        """Go on from there."""
        self._theta = memory["theta"].to(self._theta)
        self.theta = self._theta.unsqueeze(0)
        self._state = unflattened(memory["state"], self._state)
        self.recount(memory)

    def is_fixed(self) -> np.ndarray:
        """Whether the last step changed nothing."""
        if self._before is None:
            return super().is_fixed()
        (theta, state), carried = self._before, self.optimizer.carried
        trees = (theta, carried(state)), (self._theta, carried(self._state))
        before, after = tree_map(lambda t: t[None], trees)
        return unchanged(before, after)

    def reports(self) -> Mapping[str, Tensor]:
        """The optimizer's own numbers about the last step by name, (1,) each."""
        report = self.optimizer.report(self._state)
        return {name: value.unsqueeze(0) for name, value in report.items()}
