"""S trajectories in one call: the optimizer's step, mapped over seeds by `torch.func.vmap`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.linalg import LinAlgError  # type: ignore[attr-defined]  # there, but not in the stubs
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

from ..core.cost import Calls
from ..core.optimizer import Optimizer, State
from ..core.oracle import Oracle
from ..core.problem import Problem
from .replay import Replayed
from .taking import refuse_in_place, take
from .trajectories import Batches, Trajectories

# the dimension of each batch that vmap maps; None: shared by all
Dims = tuple[int | None, ...]


class After(NamedTuple):
    """The outcome of a step for n trajectories."""

    theta: Tensor  # (n, d)
    state: State  # of tensors (n, ...)
    loss: Tensor | None  # (n,) where the step began, if the optimizer asked for it
    calls: Calls  # of each


class Vmapped(Trajectories):
    """All trajectories in one `torch.func.vmap` of the optimizer's step.

    One Python call serves every seed.
    """

    def __init__(
        self, problem: Problem, optimizer: Optimizer, starts: Tensor
    ) -> None:
        super().__init__(problem, starts)
        self.optimizer = optimizer
        self._state: State = torch.func.vmap(optimizer.init)(starts)
        self._first_state = self._state
        self._before: Any = None  # point and state before the last step
        self._mask: Tensor | None = None  # `parked` as a tensor, once one is
        self._dims: Dims = ()
        self._calls_each = Calls()  # of one step
        self._replayed = Replayed(self._mapped)

    def step(self, batches: Sequence[Batches], noise: Tensor | None) -> None:
        """One vmapped step.

        The step is made one by one where a linear-algebra routine refuses the whole batch because
        of one trajectory that is broken.
        """
        start = self.theta
        if self._mask is not None:
            start = torch.where(self._mask[:, None], self.starts, start)
        stacked, dims = stack(batches)
        version = start._version
        try:
            after = self._advance(start, self._state, stacked, dims, noise)
        except LinAlgError:
            after = self._advance_one_by_one(start, stacked, dims, noise)
        refuse_in_place(self.optimizer, start, version)
        self._before = (start, self._state)
        self.theta = after.theta
        self._state = after.state
        self.loss_before = after.loss
        if self._mask is not None:
            self.theta = torch.where(self._mask[:, None], torch.nan, after.theta)
            self._state = tree_map(self._kept, after.state, self._first_state)
        self.count(after.calls)

    def reports(self) -> Mapping[str, Tensor]:
        """The optimizer's own numbers about the last step by name, (S,) each."""
        if not tree_flatten(self._state)[0]:
            return {}
        return torch.func.vmap(self.optimizer.report)(self._state)

    def memory(self) -> dict[str, Any] | None:
        """Points, states and counts."""
        leaves = tree_flatten(self._state)[0]
        if not all(isinstance(leaf, Tensor) for leaf in leaves):
            return None
        return {"theta": self.theta, "state": leaves, **self.counts()}

    def recall(self, memory: dict[str, Any]) -> None:
        """Go on from there."""
        self.theta = memory["theta"].to(self.theta)
        self._state = unflattened(memory["state"], self._state)
        self.recount(memory)

    def is_fixed(self) -> np.ndarray:
        """Whether the last step of each (S,) changed nothing."""
        if self._before is None:
            return super().is_fixed()
        (theta, state), carried = self._before, self.optimizer.carried
        same = unchanged(
            (theta, carried(state)), (self.theta, carried(self._state))
        )
        return np.asarray(same & ~self.parked)

    def park(self, which: np.ndarray) -> None:
        """Hold some trajectories, a mask (S,), at their starting points from now on."""
        super().park(which)
        if self.parked.any():
            self._mask = torch.as_tensor(self.parked, device=self.starts.device)

    def _kept(self, new: Tensor, first: Tensor) -> Tensor:
        """A tensor (S, ...) of the state, as it was at first for those that are parked."""
        assert self._mask is not None
        mask = self._mask.reshape(-1, *[1] * (new.dim() - 1))
        return torch.where(mask, first, new)

    def _advance(
        self,
        theta: Tensor,
        state: State,
        batches: Batches,
        dims: Dims,
        noise: Tensor | None,
    ) -> After:
        """A step of all trajectories, from a tape once there is one."""
        self._dims = dims
        theta, state, loss = self._replayed(theta, state, batches, noise)
        return self._after(theta, state, loss)

    def _after(self, theta: Tensor, state: State, loss: Any) -> After:
        known = None if isinstance(loss, tuple) else loss
        return After(theta, state, known, self._calls_each)

    def _mapped(
        self, theta: Tensor, state: State, batches: Batches, noise: Tensor | None
    ) -> tuple[Tensor, State, Any]:
        """Theta (n, d), state, and loss (n,) or () of one vmapped step."""
        asked: list[Oracle] = []

        def one(
            theta: Tensor, state: State, batches: Batches, noise: Tensor | None
        ) -> tuple[Tensor, State, Any]:
            oracle = Oracle(self.problem, batches, noise, theta=theta)
            asked.append(oracle)
            theta, state = take(self.optimizer, oracle, theta, state)
            return (
                theta,
                state,
                () if oracle.loss_here is None else oracle.loss_here,
            )

        in_dims = (0, 0, self._dims, None if noise is None else 0)
        found = torch.func.vmap(one, in_dims=in_dims)(theta, state, batches, noise)
        # One trace serves all trajectories and all steps, so its count is that of each.
        self._calls_each = asked[0].calls
        return found

    def _advance_one_by_one(
        self, start: Tensor, batches: Batches, dims: Dims, noise: Tensor | None
    ) -> After:
        """The same step in batches of one.

        A trajectory that breaks becomes NaN, keeps its state and is parked.
        """
        steps: list[After] = []
        broken = np.zeros_like(self.parked)
        calls = Calls()
        for i in range(start.shape[0]):
            here = slice(i, i + 1)
            theta = start[here]
            state = _rows(self._state, here)
            own = _own_batches(batches, dims, here)
            own_noise = None if noise is None else noise[here]
            try:
                step = self._after(*self._mapped(theta, state, own, own_noise))
                calls = step.calls
            except LinAlgError:
                nothing = torch.full_like(theta, torch.nan)
                step = After(nothing, state, nothing[:, 0], calls)
                broken[i] = True
            steps.append(step)
        self.park(broken)
        return _merged(steps, calls)


def stack(batches: Sequence[Batches]) -> tuple[Batches, Dims]:
    """The batches of all trajectories, each a tree of stacked tensors, and what `vmap` maps.

    None, all examples, stays None and is shared.
    """
    dims = tuple(None if batch is None else 0 for batch in batches[0])
    # full batches are not stacked: they cost nothing for each trajectory
    if not any(dim == 0 for dim in dims):
        return batches[0], dims
    stacked: list[Any] = []
    for each in zip(*batches, strict=True):
        shared = each[0] is None
        stacked.append(
            None if shared else tree_map(lambda *leaves: torch.stack(leaves), *each)
        )
    return tuple(stacked), dims


def unchanged(before: Any, after: Any) -> np.ndarray:
    """Whether every tensor (S, ...) of two trees is the same, for each of the S."""
    pairs = zip(tree_flatten(before)[0], tree_flatten(after)[0], strict=True)
    same = [(old == new).reshape(len(new), -1).all(1) for old, new in pairs]
    return np.asarray(torch.stack(same).all(0).cpu().numpy())


def unflattened(leaves: Sequence[Tensor], like: Any) -> Any:
    """A tree of these tensors, of the shape of another whose tensors they take the place of."""
    old, shape = tree_flatten(like)
    placed = [new.to(each) for new, each in zip(leaves, old, strict=True)]
    return tree_unflatten(placed, shape)


def map_points(f: Callable[[Tensor], Any], points: Tensor, chunk: int) -> Any:
    """A tree of scalars f (d,) at every point (n, d), at most `chunk` of them in one vmapped call.

    Leaves are (n,).
    """
    if chunk > 1:
        return torch.func.vmap(f, chunk_size=chunk)(points)
    return tree_map(
        lambda *leaves: torch.stack(leaves), *[f(point) for point in points]
    )


def _rows(tree: Any, here: slice) -> Any:
    return tree_map(lambda t: t[here], tree)


def _own_batches(batches: Batches, dims: Dims, here: slice) -> Batches:
    """The rows of stacked batches; those that are shared stay whole."""
    pairs = zip(batches, dims, strict=True)
    return tuple(
        batch if dim is None else _rows(batch, here) for batch, dim in pairs
    )


def _merged(steps: Sequence[After], calls: Calls) -> After:
    """The steps of single trajectories as one, with the calls of each."""
    theta = torch.cat([step.theta for step in steps])
    states = [step.state for step in steps]
    state = tree_map(lambda *leaves: torch.cat(leaves), *states)
    losses = [step.loss for step in steps if step.loss is not None]
    loss = None
    if len(losses) == len(steps):
        loss = torch.cat(losses)
    return After(theta, state, loss, calls)
