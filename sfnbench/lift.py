"""S trajectories advanced at once: lifted over seeds by `torch.func.vmap`, or looped where the optimizer branches.

A lane is one trajectory of the batch. Lanes keep their place for good: one that has ended is parked on its starting
point, so that the shape of the batch, and with it the rounding of the other lanes, stays what it was.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.linalg import LinAlgError  # type: ignore[attr-defined]  # there, but not in the stubs
from torch.utils._pytree import tree_map

from .core import Optimizer, Oracle, Problem, State
from .cost import KINDS


class Trajectories(ABC):
    """S trajectories of one optimizer on one problem.

    After each `step`: `theta` (S, d) is where they stand, NaN where a lane has broken; `calls` (S, 4) what each has asked
    since the start, by kind; `loss_before` (S,) the loss at the points that the step started from, or None where the
    optimizer did not ask for it; `ended` says that the optimizer has stopped by itself.
    """

    def __init__(self, problem: Problem, starts: Tensor) -> None:
        n_lanes = starts.shape[0]
        self.problem, self.starts, self.theta = problem, starts, starts
        self.calls = np.zeros((n_lanes, len(KINDS)), dtype=np.int64)
        self.loss_before: Tensor | None = None
        self.parked = np.zeros(n_lanes, dtype=bool)
        self.ended = False

    @abstractmethod
    def step(self, batches: Sequence[Any], noise: Tensor | None) -> None:
        """Advance every lane that is not parked by one step, on its own batch and noise (S, n_noise, d)."""

    def park(self, lanes: np.ndarray) -> None:
        """Take lanes, a mask (S,), out of the race."""
        self.parked |= lanes

    def close(self) -> None:  # noqa: B027  # most hold nothing
        """Let go of what the lanes hold."""


def lift(problem: Problem, optimizer: Optimizer, starts: Tensor) -> Trajectories:
    """Trajectories from starts (S, d); S is 1 where the optimizer is not vmappable."""
    return Vmapped(problem, optimizer, starts) if starts.shape[0] > 1 else Looped(problem, optimizer, starts)


def stack(batches: Sequence[Any]) -> tuple[Any, int | None]:
    """Minibatches of all lanes as one tree of tensors, with the dimension that `vmap` maps; None stays None."""
    if batches[0] is None:
        return None, None
    return tree_map(lambda *leaves: torch.stack(leaves), *batches), 0


class Vmapped(Trajectories):
    """All lanes in one `torch.func.vmap` of the optimizer's step: one Python call serves every seed."""

    def __init__(self, problem: Problem, optimizer: Optimizer, starts: Tensor) -> None:
        super().__init__(problem, starts)
        self.optimizer = optimizer
        self.state: State = torch.func.vmap(optimizer.init)(starts)
        self._home = self.state
        self._held: Tensor | None = None  # parked lanes as a mask, made when the first lane is parked

    def step(self, batches: Sequence[Any], noise: Tensor | None) -> None:
        """One vmapped step; lane by lane where a linear-algebra routine refuses the whole batch for one broken lane."""
        start = self.theta if self._held is None else torch.where(self._held[:, None], self.starts, self.theta)
        batch, dim = stack(batches)
        try:
            theta, state, loss, calls = self._advance(start, self.state, batch, dim, noise)
        except LinAlgError:
            theta, state, loss, calls = self._advance_singly(start, batch, dim, noise)
        if (held := self._held) is not None:
            state = tree_map(lambda new, old: _where(held, old, new), state, self._home)
            theta = torch.where(held[:, None], torch.nan, theta)
        self.theta, self.state, self.loss_before = theta, state, loss
        self.calls[~self.parked] += calls

    def park(self, lanes: np.ndarray) -> None:
        """Hold the lanes at their starting points from now on."""
        super().park(lanes)
        if self.parked.any():
            self._held = torch.as_tensor(self.parked, device=self.starts.device)

    def _advance(
        self, theta: Tensor, state: State, batch: Any, dim: int | None, noise: Tensor | None
    ) -> tuple[Tensor, State, Tensor | None, np.ndarray]:
        asked: list[Oracle] = []

        def one(theta: Tensor, state: State, batch: Any, noise: Tensor | None) -> tuple[Tensor, State, Any]:
            oracle = Oracle(self.problem, batch, noise, theta=theta)
            asked.append(oracle)
            theta, state = self.optimizer.step(oracle, theta, state)
            return theta, state, () if oracle.loss_here is None else oracle.loss_here

        dims = (0, 0, dim, None if noise is None else 0)
        theta, state, loss = torch.func.vmap(one, in_dims=dims)(theta, state, batch, noise)
        # One trace serves all lanes, so its count is each lane's count.
        return theta, state, None if isinstance(loss, tuple) else loss, np.array(asked[0].calls.counts)

    def _advance_singly(
        self, start: Tensor, batch: Any, dim: int | None, noise: Tensor | None
    ) -> tuple[Tensor, State, Tensor | None, np.ndarray]:
        """The same step with batches of one; a lane that breaks becomes NaN, keeps its state and is parked."""
        parts, broken, calls = [], np.zeros_like(self.parked), np.zeros(len(KINDS), dtype=np.int64)
        for lane in range(start.shape[0]):
            here = slice(lane, lane + 1)
            state = tree_map(lambda t, here=here: t[here], self.state)
            own = batch if dim is None else tree_map(lambda t, here=here: t[here], batch)
            try:
                theta, state, loss, calls = self._advance(
                    start[here], state, own, dim, None if noise is None else noise[here]
                )
            except LinAlgError:
                theta, loss = torch.full_like(start[here], torch.nan), start.new_full((1,), torch.nan)
                broken[lane] = True
            parts.append((theta, state, loss))
        thetas, states, losses = zip(*parts, strict=True)
        asked = None if any(loss is None for loss in losses) else torch.cat(losses)
        self.park(broken)
        return torch.cat(thetas), tree_map(lambda *leaves: torch.cat(leaves), *states), asked, calls


class Single(Trajectories):
    """One lane, advanced by plain autograd; free to branch on values, to ask differently often and to stop by itself."""

    def __init__(self, problem: Problem, starts: Tensor) -> None:
        super().__init__(problem, starts)
        self._theta = starts[0]

    @abstractmethod
    def advance(self, oracle: Oracle, theta: Tensor) -> Tensor:
        """The next point (d,)."""

    def step(self, batches: Sequence[Any], noise: Tensor | None) -> None:
        """One step; a linear-algebra routine that gives up makes the point NaN."""
        oracle = Oracle(self.problem, batches[0], None if noise is None else noise[0], eager=True, theta=self._theta)
        try:
            self._theta = self.advance(oracle, self._theta)
        except LinAlgError:
            self._theta = torch.full_like(self._theta, torch.nan)
        self.theta = self._theta.unsqueeze(0)
        self.calls += oracle.calls.counts
        self.loss_before = None if oracle.loss_here is None else oracle.loss_here.unsqueeze(0)


class Looped(Single):
    """An optimizer that branches on values, or a single seed: the race loops over seeds."""

    def __init__(self, problem: Problem, optimizer: Optimizer, starts: Tensor) -> None:
        super().__init__(problem, starts)
        self.optimizer = optimizer
        self._state = optimizer.init(starts[0])

    def advance(self, oracle: Oracle, theta: Tensor) -> Tensor:
        """The optimizer's own step."""
        theta, self._state = self.optimizer.step(oracle, theta, self._state)
        return theta


def map_points(f: Callable[[Tensor], Tensor], points: Tensor, chunk: int) -> Tensor:
    """F (d,) -> () at every point (n, d), at most `chunk` of them in one vmapped call: (n,)."""
    if chunk > 1:
        return torch.func.vmap(f, chunk_size=chunk)(points)
    return torch.stack([f(point) for point in points])


def _where(mask: Tensor, held: Tensor, new: Tensor) -> Tensor:
    return torch.where(mask.reshape(-1, *[1] * (new.dim() - 1)), held, new)
