"""S trajectories advanced at once.

Lifted over seeds by `torch.func.vmap`, or looped where the optimizer branches.

A lane is one trajectory of the batch. Lanes keep their place for good: one that has ended is parked
on its starting point, so that the shape of the batch, and with it the rounding of the other lanes,
stays what it was.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.linalg import LinAlgError  # type: ignore[attr-defined]  # there, but not in the stubs
from torch.utils._pytree import tree_flatten, tree_map

from ..core.cost import KINDS
from ..core.memory import Parts
from ..core.optimizer import Optimizer, State
from ..core.oracle import Calls, Oracle
from ..core.problem import Problem

Batches = tuple[Any, ...]  # of one lane, in the places that its optimizer asked for


class Trajectories(ABC):
    """S trajectories of one optimizer on one problem.

    After each `step`: `theta` (S, d) is where they stand, NaN where a lane has broken; `calls` (S,
    4) what each has asked since the start, by kind, and `passes` (S, 4) the same in passes over all
    examples; `loss_before` (S,) the loss at the points that the step started from, or None where
    the optimizer did not ask for it; `ended` says that the optimizer has stopped by itself.
    """

    def __init__(self, problem: Problem, starts: Tensor) -> None:
        n_lanes = starts.shape[0]
        self.problem, self.starts, self.theta = problem, starts, starts
        self.calls = np.zeros((n_lanes, len(KINDS)), dtype=np.int64)
        self.passes = np.zeros((n_lanes, len(KINDS)))
        self.loss_before: Tensor | None = None
        self.parked = np.zeros(n_lanes, dtype=bool)
        self.ended = False

    @abstractmethod
    def step(self, batches: Sequence[Batches], noise: Tensor | None) -> None:
        """Advance every lane that is not parked by one step, on its own batches and noise (S, n_noise, d)."""

    def reports(self) -> Mapping[str, Tensor]:
        """What the optimizer tells of the last step, by name: (S,) each."""
        return {}

    def count(self, calls: Calls) -> None:
        """Charge every lane that is not parked with these questions."""
        self.calls[~self.parked] += calls.counts
        self.passes[~self.parked] += calls.passes

    def park(self, lanes: np.ndarray) -> None:
        """Take lanes, a mask (S,), out of the race."""
        self.parked |= lanes

    def close(self) -> None:  # noqa: B027  # most hold nothing
        """Let go of what the lanes hold."""


def lift(problem: Problem, optimizer: Optimizer, starts: Tensor) -> Trajectories:
    """Trajectories from starts (S, d); S is 1 where the optimizer is not vmappable."""
    return (
        Vmapped(problem, optimizer, starts)
        if starts.shape[0] > 1
        else Looped(problem, optimizer, starts)
    )


def stack(batches: Sequence[Batches]) -> tuple[Batches, tuple[int | None, ...]]:
    """The batches of all lanes, one tree of tensors for each place, with the dimensions that `vmap` maps; None stays."""
    dims = tuple(None if batch is None else 0 for batch in batches[0])
    if not any(dim == 0 for dim in dims):  # nothing to pay a lane
        return batches[0], dims
    places = zip(*batches, strict=True)
    stacked = (
        None if own[0] is None else tree_map(lambda *leaves: torch.stack(leaves), *own)
        for own in places
    )
    return tuple(stacked), dims


class Vmapped(Trajectories):
    """All lanes in one `torch.func.vmap` of the optimizer's step.

    One Python call serves every seed.
    """

    def __init__(self, problem: Problem, optimizer: Optimizer, starts: Tensor) -> None:
        super().__init__(problem, starts)
        self.optimizer = optimizer
        self.state: State = torch.func.vmap(optimizer.init)(starts)
        self._home = self.state
        self._held: Tensor | None = (
            None  # parked lanes as a mask, made when the first lane is parked
        )

    def step(self, batches: Sequence[Batches], noise: Tensor | None) -> None:
        """One vmapped step.

        Lane by lane where a linear-algebra routine refuses the whole batch for one broken lane.
        """
        start = (
            self.theta
            if self._held is None
            else torch.where(self._held[:, None], self.starts, self.theta)
        )
        stacked, dims = stack(batches)
        try:
            theta, state, loss, calls = self._advance(start, self.state, stacked, dims, noise)
        except LinAlgError:
            theta, state, loss, calls = self._advance_singly(start, stacked, dims, noise)
        if (held := self._held) is not None:
            state = tree_map(lambda new, old: _where(held, old, new), state, self._home)
            theta = torch.where(held[:, None], torch.nan, theta)
        self.theta, self.state, self.loss_before = theta, state, loss
        self.count(calls)

    def reports(self) -> Mapping[str, Tensor]:
        """The optimizer's own report of each lane's state."""
        return (
            torch.func.vmap(self.optimizer.report)(self.state)
            if tree_flatten(self.state)[0]
            else {}
        )

    def park(self, lanes: np.ndarray) -> None:
        """Hold the lanes at their starting points from now on."""
        super().park(lanes)
        if self.parked.any():
            self._held = torch.as_tensor(self.parked, device=self.starts.device)

    def _advance(
        self,
        theta: Tensor,
        state: State,
        batches: Batches,
        batch_dims: tuple[int | None, ...],
        noise: Tensor | None,
    ) -> tuple[Tensor, State, Tensor | None, Calls]:
        asked: list[Oracle] = []

        def one(
            theta: Tensor, state: State, batches: Batches, noise: Tensor | None
        ) -> tuple[Tensor, State, Any]:
            oracle = Oracle(self.problem, batches, noise, theta=theta)
            asked.append(oracle)
            theta, state = self.optimizer.step(oracle, theta, state)
            return theta, state, () if oracle.loss_here is None else oracle.loss_here

        dims = (0, 0, batch_dims, None if noise is None else 0)
        theta, state, loss = torch.func.vmap(one, in_dims=dims)(theta, state, batches, noise)
        # One trace serves all lanes, so its count is each lane's count.
        return theta, state, None if isinstance(loss, tuple) else loss, asked[0].calls

    def _advance_singly(
        self, start: Tensor, batches: Batches, dims: tuple[int | None, ...], noise: Tensor | None
    ) -> tuple[Tensor, State, Tensor | None, Calls]:
        """The same step with batches of one.

        A lane that breaks becomes NaN, keeps its state and is parked.
        """
        parts, broken, calls = [], np.zeros_like(self.parked), Calls()
        for lane in range(start.shape[0]):
            here = slice(lane, lane + 1)

            def of_lane(tree: Any, here: slice = here) -> Any:
                return tree_map(lambda t: t[here], tree)

            state = of_lane(self.state)
            own = tuple(
                batch if dim is None else of_lane(batch)
                for batch, dim in zip(batches, dims, strict=True)
            )
            try:
                theta, state, loss, calls = self._advance(
                    start[here], state, own, dims, None if noise is None else noise[here]
                )
            except LinAlgError:
                theta, loss = (
                    torch.full_like(start[here], torch.nan),
                    start.new_full((1,), torch.nan),
                )
                broken[lane] = True
            parts.append((theta, state, loss))
        thetas, states, losses = zip(*parts, strict=True)
        asked = None if any(loss is None for loss in losses) else torch.cat(losses)
        self.park(broken)
        return torch.cat(thetas), tree_map(lambda *leaves: torch.cat(leaves), *states), asked, calls


class Single(Trajectories):
    """One lane, advanced by plain autograd.

    Free to branch on values, to ask differently often and to stop by itself.
    """

    def __init__(self, problem: Problem, starts: Tensor) -> None:
        super().__init__(problem, starts)
        self._theta = starts[0]
        self._memory = Parts()

    @abstractmethod
    def advance(self, oracle: Oracle, theta: Tensor) -> Tensor:
        """The next point (d,)."""

    def step(self, batches: Sequence[Batches], noise: Tensor | None) -> None:
        """One step; a linear-algebra routine that gives up makes the point NaN."""
        own = None if noise is None else noise[0]
        oracle = Oracle(
            self.problem, batches[0], own, eager=True, theta=self._theta, memory=self._memory
        )
        try:
            self._theta = self.advance(oracle, self._theta)
        except LinAlgError:
            self._theta = torch.full_like(self._theta, torch.nan)
        self.theta = self._theta.unsqueeze(0)
        self.count(oracle.calls)
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

    def reports(self) -> Mapping[str, Tensor]:
        """The optimizer's own report of its state."""
        return {
            name: value.unsqueeze(0) for name, value in self.optimizer.report(self._state).items()
        }


def map_points(f: Callable[[Tensor], Any], points: Tensor, chunk: int) -> Any:
    """A tree of scalars f (d,) at every point (n, d), at most `chunk` of them in one vmapped call.

    Leaves (n,).
    """
    if chunk > 1:
        return torch.func.vmap(f, chunk_size=chunk)(points)
    return tree_map(lambda *leaves: torch.stack(leaves), *[f(point) for point in points])


def _where(mask: Tensor, held: Tensor, new: Tensor) -> Tensor:
    return torch.where(mask.reshape(-1, *[1] * (new.dim() - 1)), held, new)
