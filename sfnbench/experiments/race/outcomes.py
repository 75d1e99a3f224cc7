"""How each trajectory of a race goes on: when it escapes, where it is, and how it ends."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from ...core.problem import Problem
from ...records import Status
from ..checkpoints import Kept
from .limits import Limits

# A trajectory is near the saddle within so many times the distance that it started at, so no
# problem has to give a length.
NEAR_STARTS = 2.0

# limits that may end a trajectory, besides steps, epochs and seconds
COST, DIVERGENCE, ESCAPE, ITSELF = "cost", "divergence", "escape", "itself"

_ARRAYS = ("end", "escape", "steps_near", "is_fixed")  # (S,) each


class Outcomes:
    """When S trajectories escaped, where they are, and when and how they ended.

    A trajectory ends at the very step at which it diverges or escapes a loss without a floor, and
    at the last step that its budget of cost pays for. Whatever it did beyond is dropped, so the
    size of blocks decides nothing. `end` and `escape` (S,) are steps, -1 where there is none yet.
    `status` (S,) is the status of each and `limit` (S,) what ended it: steps, epochs, seconds,
    cost, divergence, escape or itself. `last` and `before_last` (S, d) are its last two points, and
    `steps_near` (S,) counts the steps before the escape that ended near the saddle.
    """

    def __init__(
        self,
        problem: Problem,
        starts: Tensor,
        start_losses: np.ndarray,
        limits: Limits,
    ) -> None:
        n = starts.shape[0]
        self.limits = limits
        self._problem = problem
        self.end = np.full(n, -1)
        self.escape = np.full(n, -1)
        self.status = np.full(n, str(Status.OK), dtype=object)
        self.limit = np.full(n, "", dtype=object)
        self.last = starts.clone()
        self.before_last = torch.full_like(starts, torch.nan)
        self.steps_near = np.zeros(n, dtype=np.int64)
        self.message = ""  # of the method, where it stopped by itself
        # whether a trajectory can no longer move, and knows it
        self.is_fixed = np.zeros(n, dtype=bool)
        self._near = NEAR_STARTS * self._from_saddle(starts)  # (S,)
        broken = ~np.isfinite(start_losses)
        self.end[broken] = 0
        self.status[broken] = str(Status.DIVERGED)
        self.limit[broken] = DIVERGENCE

    @property
    def going(self) -> np.ndarray:
        """Whether each trajectory (S,) goes on."""
        return self.end < 0

    def is_used_up(self, passes: np.ndarray) -> bool:
        """Whether passes (S, 4) leave no cost to any trajectory that goes on."""
        if self.limits.cost == math.inf:  # asked after each step
            return False
        used_up = self.limits.is_used_up(self.limits.costs(passes))
        return bool((used_up | ~self.going).all())

    def add(
        self,
        first: int,
        points: Tensor,
        costs: np.ndarray,
        losses: np.ndarray,
        due: np.ndarray,
    ) -> None:
        """Take in a block of n steps from step `first` on, and end trajectories where they end.

        It has points (n, S, d) and costs (n, S) so far, and losses (n, S) at the steps (n,) where
        they were due.
        """
        n = points.shape[0]
        loss_due = due[:, None]  # (n, 1)
        finite = torch.isfinite(points).all(2).cpu().numpy()  # (n, S)
        measured = loss_due & np.isfinite(losses)
        is_broken = ~finite | (loss_due & ~measured)
        has_escaped = measured & self._escaped(points, losses)
        # steps (S,) into the block; n: not in this block
        broken = _first_true(is_broken)
        escaped = _first_true(has_escaped)
        stop = np.minimum(broken, self._last_paid(costs))

        going = self.going
        in_time = (escaped < n) & (escaped < broken) & (escaped <= stop)
        newly = going & (self.escape < 0) & in_time
        self.escape[newly] = first + escaped[newly]
        leaves = newly & (not self._problem.bounded_below)
        stop = np.where(leaves, escaped, stop)
        self._count_near(first, points, going, stop)
        ends = going & (stop < n)
        self.end[ends] = first + stop[ends]
        self.limit[ends] = COST
        self.limit[ends & leaves] = ESCAPE
        diverged = ends & (broken == stop)
        self.status[diverged] = str(Status.DIVERGED)
        self.limit[diverged] = DIVERGENCE
        self._move(first, points)

    def finish(self, n_steps: int, limit: str, status: Status = Status.OK) -> None:
        """End every trajectory that still goes on, at the last step of the race."""
        going = self.going
        self.limit[going] = limit
        self.status[going] = str(status)
        self.end[going] = n_steps

    def kept(self) -> Kept:
        """How each trajectory stands, for a checkpoint."""
        kept: Kept = {name: getattr(self, name).copy() for name in _ARRAYS}
        for name in ("status", "limit"):
            kept[name] = getattr(self, name).tolist()
        return {
            **kept,
            "last": self.last,
            "before_last": self.before_last,
            "message": self.message,
        }

    def restore(self, kept: Kept) -> None:
        """Go on from what `kept` gave."""
        for name in _ARRAYS:
            setattr(self, name, np.array(kept[name]))
        for name in ("status", "limit"):
            getattr(self, name)[:] = kept[name]
        self.last = kept["last"].to(self.last)
        self.message = kept["message"]
        self.before_last = kept["before_last"].to(self.last)

    def _last_paid(self, costs: np.ndarray) -> np.ndarray:
        """The step (S,) into a block with costs (n, S) that uses up the budget.

        -1 where the first step of the block already costs too much, n where the budget lasts.
        """
        step = _first_true(self.limits.is_used_up(costs))
        exceeded = _first_true(self.limits.is_exceeded(costs))
        return np.where((step == exceeded) & (step < len(costs)), step - 1, step)

    def _count_near(
        self, first: int, points: Tensor, going: np.ndarray, stop: np.ndarray
    ) -> None:
        within = self._from_saddle(points) <= self._near  # (n, S)
        # one that starts at the saddle itself is near it at any distance
        near = (within | (self._near == 0)).cpu().numpy()
        step = first + np.arange(points.shape[0])[:, None]  # (n, 1)
        before_end = step <= first + stop
        before_escape = (self.escape < 0) | (step < self.escape)
        counted = near & going & before_end & before_escape
        self.steps_near += counted.sum(0)

    def _move(self, first: int, points: Tensor) -> None:
        """Set the last two points of every trajectory that was alive in this block."""
        n = points.shape[0]
        device = points.device
        was_alive = (self.end < 0) | (self.end >= first)
        alive = torch.as_tensor(np.flatnonzero(was_alive), device=device)
        end = torch.as_tensor(self.end, device=device)[alive]
        stop = torch.where(end < 0, n - 1, end - first)
        # whether the point before the stop is in this block, not in the one before
        before_is_here = (stop > 0)[:, None]
        before = torch.where(
            before_is_here, points[stop - 1, alive], self.last[alive]
        )
        self.before_last[alive] = before
        self.last[alive] = points[stop, alive]

    def _from_saddle(self, points: Tensor) -> Tensor:
        """Distances (...) of points (..., d) from the problem's saddle; NaN where it has none."""
        saddle = self._problem.saddle
        if saddle is None:
            return points.new_full(points.shape[:-1], torch.nan)
        return torch.linalg.vector_norm(points - saddle.point.to(points), dim=-1)

    def _escaped(self, points: Tensor, losses: np.ndarray) -> np.ndarray:
        """Whether points (n, S, d) with losses (n, S) have left the saddle."""
        if self._problem.saddle is None:
            return np.zeros(losses.shape, dtype=bool)
        n, n_trajectories, dim = points.shape
        flat = torch.as_tensor(
            losses, dtype=points.dtype, device=points.device
        ).reshape(-1)
        left = torch.func.vmap(self._problem.escaped)(points.reshape(-1, dim), flat)
        return np.asarray(left.reshape(n, n_trajectories).cpu().numpy(), dtype=bool)


def _first_true(events: np.ndarray) -> np.ndarray:
    """The first row (S,) of events (n, S) that is true in each column; n where there is none."""
    return np.where(events.any(0), events.argmax(0), events.shape[0])
