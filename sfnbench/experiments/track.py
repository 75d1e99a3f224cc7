"""What a batch of trajectories leaves behind: what every step cost, what was measured, and where each lane ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import metrics
from ..core import Problem
from ..cost import KINDS, price


@dataclass
class Block:
    """Some consecutive steps of all lanes, as the clock and the counters saw them."""

    points: Tensor  # (n, S, d)
    losses: Tensor | None  # (n, S), where the steps themselves brought them
    calls: np.ndarray  # (n, S, 4), each lane's total since the start
    seconds: np.ndarray  # (n, S), likewise


@dataclass
class Track:
    """The history of S lanes; whatever lies after a lane's end is NaN.

    A lane ends where it diverges, where it escapes a loss without floor, or where its cost is used up, at the very step;
    what it did in the rest of its block is forgotten, so the size of blocks decides nothing.
    """

    problem: Problem
    every: Mapping[str, int]  # metric -> steps between two measurements
    starts: Tensor  # (S, d)
    cost: float | None = None  # budget a lane, in gradients
    n_steps: int = 0
    values: dict[str, list[np.ndarray]] = field(default_factory=dict)  # metric -> (n, S) pieces
    at: dict[str, list[int]] = field(default_factory=dict)  # metric -> the steps it was measured at
    calls: list[np.ndarray] = field(default_factory=list)  # (n, S, 4) pieces
    seconds: list[np.ndarray] = field(default_factory=list)  # (n, S) pieces

    def __post_init__(self) -> None:
        n_lanes = self.starts.shape[0]
        self.end = np.full(n_lanes, -1)  # step at which a lane ended, -1 while it goes on
        self.status = np.full(n_lanes, "ok", dtype=object)
        self.escape = np.full(n_lanes, -1)
        self.last = self.starts.clone()  # (S, d) where each lane ended, or is now
        self.before_last = torch.full_like(self.starts, torch.nan)
        self.values = {name: [] for name in self.every}
        self.at = {name: [] for name in self.every}
        self._record(0, self.starts[None], None)
        self.calls.append(np.zeros((1, n_lanes, len(KINDS)), dtype=np.int64))
        self.seconds.append(np.zeros((1, n_lanes)))
        broken = ~np.isfinite(self.values["loss"][0][0])
        self.end[broken], self.status[broken] = 0, "diverged"

    @property
    def going(self) -> np.ndarray:
        """Lanes (S,) that have not ended."""
        return self.end < 0

    def add(self, block: Block) -> None:
        """Take in a block of steps: measure what is due, and end the lanes that have reached an end."""
        first = self.n_steps + 1
        n = block.points.shape[0]
        losses, due = self._record(first, block.points, block.losses)  # (n, S), (n,)
        finite = torch.isfinite(block.points).all(2).cpu().numpy()
        measured = due[:, None] & np.isfinite(losses)
        limit = np.inf if self.cost is None else self.cost
        broken = _first(~finite | (due[:, None] & ~measured))  # (S,) steps into the block; n: not in it
        left = _first(self._escaped(block.points, losses) & measured)
        spent = _first(price(block.calls, self.problem.dim) >= limit)

        going = self.going
        stop = np.minimum(broken, spent)
        newly = going & (self.escape < 0) & (left < n) & (left < broken) & (left <= stop)
        self.escape[newly] = first + left[newly]
        if not self.problem.bounded_below:
            stop = np.where(newly, left, stop)
        ends = going & (stop < n)
        self.end[ends] = first + stop[ends]
        self.status[ends & (broken == stop)] = "diverged"
        self.n_steps += n
        self.calls.append(block.calls)
        self.seconds.append(block.seconds)
        self._move(block.points, first)

    def finish(self) -> None:
        """End every lane that still goes on, here."""
        self.end[self.going] = self.n_steps

    def series(self) -> dict[str, np.ndarray]:
        """Arrays by name: a metric (S, n) with its ``NAME.step`` (n,), ``calls.KIND`` and ``seconds`` (S, steps + 1)."""
        steps = np.arange(self.n_steps + 1)
        over = steps[None] > self.end[:, None]  # (S, steps + 1)
        kept = int(self.end.max()) + 1
        series: dict[str, np.ndarray] = {}
        for name, pieces in self.values.items():
            at = np.array(self.at[name])
            values = np.concatenate(pieces).T.astype(np.float64)  # (S, n)
            series[name] = np.where(over[:, at], np.nan, values)[:, at < kept]
            series[f"{name}.step"] = at[at < kept].astype(np.float64)
        calls = np.concatenate(self.calls).astype(np.float64)
        for kind, name in enumerate(KINDS):
            series[f"calls.{name}"] = np.where(over, np.nan, calls[:, :, kind].T)[:, :kept]
        series["seconds"] = np.where(over, np.nan, np.concatenate(self.seconds).T)[:, :kept]
        return series

    def rows(self, seeds: tuple[int, ...]) -> list[dict[str, Any]]:
        """A row of scalars a lane, with the certificate of its end point."""
        calls, seconds = np.concatenate(self.calls), np.concatenate(self.seconds)
        losses, at = np.concatenate(self.values["loss"]), np.array(self.at["loss"])
        rows = []
        for lane, seed in enumerate(seeds):
            end, escape = int(self.end[lane]), int(self.escape[lane])
            final = float(metrics.measure(self.problem, "loss", self.last[lane : lane + 1])[0])
            seen = np.append(losses[at <= end, lane], final)
            row = {"seed": seed, "status": str(self.status[lane]), "steps": end}
            row |= {"start_loss": float(losses[0, lane]), "final_loss": final}
            row["best_loss"] = float(np.nanmin(seen)) if np.isfinite(seen).any() else None
            left = escape >= 0
            row["escape_step"] = escape if left else None
            row["escape_seconds"] = float(seconds[escape, lane]) if left else None
            row["escape_cost"] = float(price(calls[escape, lane], self.problem.dim)) if left else None
            row["seconds"] = float(seconds[end, lane])
            row |= {f"n_{kind}": int(calls[end, lane, k]) for k, kind in enumerate(KINDS)}
            certificate = metrics.certify(self.problem, self.last[lane])
            row |= certificate._asdict()
            for name in self.problem.measures:
                row[name] = float(metrics.measure(self.problem, name, self.last[lane : lane + 1])[0])
            row["n_lanes"] = len(seeds)  # seeds that shared the batch
            unmoved = end >= 2 and torch.equal(self.last[lane], self.before_last[lane])
            if row["status"] == "ok" and unmoved and certificate.end_point == "not critical":
                row["status"] = "stuck"  # no step is accepted any more, and not for lack of a gradient
            rows.append(row)
        return rows

    # -- inside -------------------------------------------------------------------------------------------------------

    def _move(self, points: Tensor, first: int) -> None:
        """Remember the last two points of every lane that was alive in this block."""
        n = points.shape[0]
        for lane in np.flatnonzero((self.end < 0) | (self.end >= first)).tolist():
            stop = n - 1 if self.end[lane] < 0 else int(self.end[lane]) - first
            self.before_last[lane] = points[stop - 1, lane] if stop > 0 else self.last[lane]
            self.last[lane] = points[stop, lane]

    def _record(self, first: int, points: Tensor, losses: Tensor | None) -> tuple[np.ndarray, np.ndarray]:
        """Measure what is due in steps first, first + 1, ...; the losses (n, S), NaN where not due, and which were (n,)."""
        n, n_lanes, dim = points.shape
        steps = np.arange(first, first + n)
        ended = torch.as_tensor(~self.going, device=points.device)
        recorded = np.full((n, n_lanes), np.nan)
        for name, every in self.every.items():
            due = steps % every == 0
            if not due.any():
                continue
            if name == "loss" and losses is not None:
                values = losses[torch.as_tensor(due, device=points.device)]
            else:
                chosen = points[torch.as_tensor(due, device=points.device)]
                chosen = torch.where(ended[None, :, None], torch.nan, chosen)  # an ended lane is not measured again
                values = metrics.measure(self.problem, name, chosen.reshape(-1, dim)).reshape(-1, n_lanes)
            measured = values.cpu().numpy().astype(np.float64)
            self.values[name].append(measured)
            self.at[name].extend(steps[due].tolist())
            if name == "loss":
                recorded[due] = measured
        return recorded, steps % self.every["loss"] == 0

    def _escaped(self, points: Tensor, losses: np.ndarray) -> np.ndarray:
        if self.problem.saddle is None:
            return np.zeros(losses.shape, dtype=bool)
        n, n_lanes, dim = points.shape
        flat = torch.as_tensor(losses, dtype=points.dtype, device=points.device).reshape(-1)
        left = torch.func.vmap(self.problem.escaped)(points.reshape(-1, dim), flat)
        return np.asarray(left.reshape(n, n_lanes).cpu().numpy(), dtype=bool)


def _first(events: np.ndarray) -> np.ndarray:
    """The first step (S,) at which each lane of events (n, S) has one; n where there is none."""
    return np.where(events.any(0), events.argmax(0), events.shape[0])
