"""The history of a race: counts and seconds of every step, and the metrics measured on the way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from ...core.cost import QUESTIONS
from ...core.problem import Problem
from ...metrics.measuring import measure
from ..checkpoints import Kept
from .blocks import Block
from .limits import SHARE_ROUNDING

# Where there are two parameters, the points of so many seeds, the first ones, are kept: enough to
# draw.
N_PATHS = 8
WINDOW = 8  # steps that are measured in one batch, where each is


class EveryCost(TypedDict):
    """Every so many gradients."""

    cost: float


Every = int | EveryCost  # steps, or cost


class Pieces:
    """An array that grows along its first axis, piece by piece."""

    def __init__(self, *pieces: np.ndarray) -> None:
        self._pieces = list(pieces)

    def append(self, piece: np.ndarray) -> None:
        """Add a piece at the end."""
        self._pieces.append(piece)

    @property
    def whole(self) -> np.ndarray:
        """All pieces in one array."""
        if len(self._pieces) > 1:
            self._pieces = [np.concatenate(self._pieces)]
        return self._pieces[0]


class Recording:
    """The history of S trajectories from their starts (S, d).

    `calls` and `passes` (n, S, 4) and `seconds` (n, S) are each trajectory's totals at steps 0, 1,
    ..., n - 1. `values` holds each metric (k, S), and `measured_at` the k steps that it was
    measured at. `reports` (n, S) are the optimizer's own numbers, NaN at step 0.
    """

    def __init__(
        self,
        problem: Problem,
        every: Mapping[str, Every],
        starts: Tensor,
        n_paths: int,
    ) -> None:
        self._problem = problem
        self._every = every
        self._n_paths = n_paths
        self._cost = 0.0  # the most that a trajectory has cost so far
        self.n_steps = 0
        n = starts.shape[0]
        self.values: dict[str, Pieces] = {}
        self.measured_at: dict[str, list[int]] = {}
        self.calls = Pieces(np.zeros((1, n, len(QUESTIONS)), dtype=np.int64))
        self.passes = Pieces(np.zeros((1, n, len(QUESTIONS))))
        self.seconds = Pieces(np.zeros((1, n)))
        self.reports: dict[str, Pieces] = {}
        self._paths = Pieces()
        self._keep_paths(starts[None])
        self._record(
            0, starts[None], None, np.zeros(1), np.ones((1, n), dtype=bool)
        )

    @property
    def start_losses(self) -> np.ndarray:
        """The losses (S,) at the starts."""
        return np.asarray(self.values["loss"].whole[0])

    def add(
        self, block: Block, costs: np.ndarray, counting: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Take in a block whose steps brought the trajectories to costs (n, S).

        Metrics are measured at the steps that are `counting`, a mask (n, S). Returns the losses
        (n, S), NaN where none was due, and whether they were due at each step (n,).
        """
        losses = self._record(
            self.n_steps + 1, block.points, block.losses, costs.max(1), counting
        )
        self.n_steps += block.points.shape[0]
        self._cost = float(costs.max())
        self.calls.append(block.calls)
        self.passes.append(block.passes)
        self.seconds.append(block.seconds)
        for name, report in block.reports.items():
            if name not in self.reports:
                self.reports[name] = Pieces(np.full((1, report.shape[1]), np.nan))
            self.reports[name].append(report.cpu().numpy())
        self._keep_paths(block.points)
        return losses

    def recount(self, calls: np.ndarray, passes: np.ndarray) -> None:
        """Make calls and passes (S, 4) the totals of the last step.

        An optimizer that stops by itself has asked after it, to find that it has to.
        """
        self.calls.whole[-1] = calls
        self.passes.whole[-1] = passes

    def series(self, end: np.ndarray) -> dict[str, np.ndarray]:
        """Arrays by name, NaN after the step (S,) at which each trajectory ended.

        A metric and its ``NAME.step`` are (S, k). ``seconds``, reports, ``calls.KIND`` and
        ``passes.KIND`` are (S, steps + 1), and so is each coordinate of the points that are kept,
        ``theta.0`` and so on.
        """
        over = np.arange(self.n_steps + 1)[None] > end[:, None]  # (S, steps + 1)
        last = int(end.max())
        series: dict[str, np.ndarray] = {}
        for name, pieces in self.values.items():
            at = np.array(self.measured_at[name])
            kept = at <= last
            values = pieces.whole.T.astype(np.float64)  # (S, k)
            series[name] = np.where(over[:, at], np.nan, values)[:, kept]
            series[f"{name}.step"] = np.where(over[:, at], np.nan, at)[:, kept]
        for name, array in self._every_step().items():
            values = array.T.astype(np.float64)
            series[name] = np.where(over, np.nan, values)[:, : last + 1]
        if self._n_paths:
            paths = self._paths.whole.swapaxes(0, 1)  # (n_paths, steps + 1, d)
            paths = np.where(over[: self._n_paths, :, None], np.nan, paths)
            for i in range(paths.shape[2]):
                series[f"theta.{i}"] = paths[:, : last + 1, i]
        return series

    def kept(self) -> Kept:
        """All that was recorded, for a checkpoint."""
        kept: Kept = {
            "n_steps": self.n_steps,
            "cost": self._cost,
            "measured_at": {name: [*at] for name, at in self.measured_at.items()},
            "values": {name: each.whole for name, each in self.values.items()},
            "reports": {name: each.whole for name, each in self.reports.items()},
        }
        for name in ("calls", "passes", "seconds"):
            kept[name] = getattr(self, name).whole
        if self._n_paths:
            kept["paths"] = self._paths.whole
        return kept

    def restore(self, kept: Kept) -> None:
        """Go on from what `kept` gave."""
        self.n_steps = kept["n_steps"]
        self._cost = kept["cost"]
        self.measured_at = kept["measured_at"]
        for name in ("values", "reports"):
            arrays = kept[name].items()
            setattr(
                self, name, {key: Pieces(np.asarray(each)) for key, each in arrays}
            )
        for name in ("calls", "passes", "seconds"):
            setattr(self, name, Pieces(np.asarray(kept[name])))
        if self._n_paths:
            self._paths = Pieces(np.asarray(kept["paths"]))

    def _every_step(self) -> dict[str, np.ndarray]:
        """Arrays (steps + 1, S) that have a value at every step, by name."""
        arrays = {"seconds": self.seconds.whole}
        for name, report in self.reports.items():
            arrays[name] = report.whole
        for name, counts in (("calls", self.calls), ("passes", self.passes)):
            for k, kind in enumerate(QUESTIONS):
                arrays[f"{name}.{kind}"] = counts.whole[:, :, k]
        return arrays

    def _keep_paths(self, points: Tensor) -> None:
        """Keep the points (n, S, d) of the first trajectories."""
        if self._n_paths:
            # a view would keep the points of all trajectories in memory
            own = points[:, : self._n_paths].double().clone()
            self._paths.append(own.cpu().numpy())

    def _record(
        self,
        first: int,
        points: Tensor,
        losses: Tensor | None,
        costs: np.ndarray,
        counting: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Record the metrics that are due in steps first, first + 1, ... that cost (n,) so far.

        Returns the losses (n, S), NaN where none was due, and whether they were due (n,).
        """
        n, n_trajectories, _ = points.shape
        steps = np.arange(first, first + n)
        recorded = np.full((n, n_trajectories), np.nan)
        loss_due = np.zeros(n, dtype=bool)
        for metric, every in self._every.items():
            due = _due(every, steps, costs, self._cost)
            if not due.any():
                continue
            known = losses if metric == "loss" else None
            found = self._measure(metric, due, points, known, counting, first)
            for name, values in found.items():
                self.values.setdefault(name, Pieces()).append(values)
                self.measured_at.setdefault(name, []).extend(steps[due].tolist())
                if name == "loss":
                    recorded[due] = values
                    loss_due = due
        return recorded, loss_due

    def _measure(
        self,
        metric: str,
        due: np.ndarray,
        points: Tensor,
        known: Tensor | None,
        counting: np.ndarray,
        first: int,
    ) -> dict[str, np.ndarray]:
        """A metric, and whatever comes with it, at the k steps that are due, (k, S) each.

        `known` are its values (n, S) where the steps brought them; step `first` is that of the
        first points.
        """
        at = torch.as_tensor(due, device=points.device)
        if known is not None:
            found = {metric: known[at]}
        else:
            # what a trajectory did after its end is not measured
            dropped = torch.as_tensor(~counting[due], device=points.device)
            chosen = torch.where(dropped[..., None], torch.nan, points[at])
            found = self._in_windows(metric, chosen, first)
        return {
            name: values.cpu().numpy().astype(np.float64)
            for name, values in found.items()
        }

    def _in_windows(
        self, metric: str, points: Tensor, first: int
    ) -> dict[str, Tensor]:
        """A metric at points (k, S, d), step by step, or at each of some steps from `first` on.

        In a batch of another size, or elsewhere in it, a point may round otherwise. So a batch
        holds the steps between two multiples of `WINDOW`, wherever a block of steps ended.
        """
        k, n_trajectories, dim = points.shape
        length = WINDOW if self._every[metric] == 1 else 1
        before = first % length
        after = -(before + k) % length
        padded = pad(points, (0, 0, 0, 0, before, after), value=torch.nan)
        windows = padded.reshape(-1, length * n_trajectories, dim)
        each = [measure(self._problem, metric, window) for window in windows]
        found = {}
        for name in each[0]:
            values = torch.cat([one[name] for one in each])
            found[name] = values.reshape(-1, n_trajectories)[before : before + k]
        return found


def _due(
    every: Every, steps: np.ndarray, costs: np.ndarray, cost: float
) -> np.ndarray:
    """The steps at which a metric is measured, as a mask (n,) of steps (n,).

    They are the multiples of a number, or the first steps past each multiple of a cost, where
    `cost` was spent before and costs (n,) are spent after each step.
    """
    if isinstance(every, int):
        return steps % every == 0
    spent = np.concatenate([[cost], costs])
    multiples = np.floor(spent / every["cost"] * (1 + SHARE_ROUNDING))
    return (np.diff(multiples) > 0) | (steps == 0)
