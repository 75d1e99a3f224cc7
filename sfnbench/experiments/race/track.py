"""What a batch of trajectories leaves behind.

What every step cost, what was measured, and where each lane ended.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypedDict

import numpy as np
import torch
from torch import Tensor

from ...core.cost import PRICES, QUESTIONS, price
from ...core.problem import Problem
from ...metrics import measuring as metrics

ROUNDING = 1e-9  # shares of minibatches do not sum to whole numbers exactly
# near the saddle is within so many times the distance that the lane started at: no problem needs a
# length
NEAR = 2.0


class EveryCost(TypedDict):
    """Every so many gradients."""

    cost: float


Every = int | EveryCost  # steps, or cost


@dataclass
class Block:
    """Some consecutive steps of all lanes, as the clock and the counters saw them."""

    points: Tensor  # (n, S, d)
    losses: Tensor | None  # (n, S), where the steps themselves brought them
    calls: np.ndarray  # (n, S, 4), each lane's total since the start
    passes: np.ndarray  # (n, S, 4), likewise
    seconds: np.ndarray  # (n, S), likewise
    reports: Mapping[str, Tensor]  # (n, S) each: what the optimizer told of its steps


@dataclass
class Track:
    """The history of S lanes; whatever lies after a lane's end is NaN.

    A lane ends where it diverges, where it escapes a loss without floor, or where its cost is used
    up, at the very step; what it did in the rest of its block is forgotten, so the size of blocks
    decides nothing.
    """

    problem: Problem
    every: Mapping[str, Every]  # metric -> between two measurements
    starts: Tensor  # (S, d)
    cost: float | None = None  # budget a lane, in gradients
    deterministic: bool = True  # whether a point that stays has to stay for good
    prices: Mapping[str, float] = field(default_factory=lambda: PRICES)
    n_paths: int = 0  # lanes, the first ones, of which every point is kept
    n_steps: int = 0
    spent: float = 0.0  # the most that a lane has cost so far
    values: dict[str, list[np.ndarray]] = field(default_factory=dict)  # metric -> (n, S) pieces
    at: dict[str, list[int]] = field(default_factory=dict)  # metric -> the steps it was measured at
    calls: list[np.ndarray] = field(default_factory=list)  # (n, S, 4) pieces
    passes: list[np.ndarray] = field(default_factory=list)  # (n, S, 4) pieces
    seconds: list[np.ndarray] = field(default_factory=list)  # (n, S) pieces
    reports: dict[str, list[np.ndarray]] = field(default_factory=dict)  # name -> (n, S) pieces
    paths: list[np.ndarray] = field(default_factory=list)  # (n, n_paths, d) pieces

    def __post_init__(self) -> None:
        n_lanes = self.starts.shape[0]
        self.end = np.full(n_lanes, -1)  # step at which a lane ended, -1 while it goes on
        self.status = np.full(n_lanes, "ok", dtype=object)
        self.escape = np.full(n_lanes, -1)
        self.last = self.starts.clone()  # (S, d) where each lane ended, or is now
        self.before_last = torch.full_like(self.starts, torch.nan)
        self.dwell = np.zeros(
            n_lanes, dtype=np.int64
        )  # steps before the escape that ended near the saddle
        self._near = NEAR * self._from_saddle(self.starts)  # (S,)
        self._record(0, self.starts[None], None, np.zeros(1))
        self.calls.append(np.zeros((1, n_lanes, len(QUESTIONS)), dtype=np.int64))
        self.passes.append(np.zeros((1, n_lanes, len(QUESTIONS))))
        self.seconds.append(np.zeros((1, n_lanes)))
        self._keep(self.starts[None])
        broken = ~np.isfinite(self.values["loss"][0][0])
        self.end[broken], self.status[broken] = 0, "diverged"

    @property
    def going(self) -> np.ndarray:
        """Lanes (S,) that have not ended."""
        return self.end < 0

    def is_used_up(self, passes: np.ndarray) -> bool:
        """Whether passes (S, 4) have brought every lane that goes on to its budget of cost."""
        return self.cost is not None and bool(
            (self._spent(self._price(passes)) | ~self.going).all()
        )

    def _price(self, passes: np.ndarray) -> np.ndarray:
        return price(passes, self.problem.dim, self.prices)

    def _spent(self, costs: np.ndarray) -> np.ndarray:
        return costs >= (np.inf if self.cost is None else self.cost) * (1 - ROUNDING)

    def add(self, block: Block) -> None:
        """Take in a block of steps.

        Measure what is due, and end the lanes that have reached an end.
        """
        first = self.n_steps + 1
        n = block.points.shape[0]
        costs = self._price(block.passes)  # (n, S)
        losses, due = self._record(first, block.points, block.losses, costs.max(1))  # (n, S), (n,)
        finite = torch.isfinite(block.points).all(2).cpu().numpy()
        measured = due[:, None] & np.isfinite(losses)
        broken = _first(
            ~finite | (due[:, None] & ~measured)
        )  # (S,) steps into the block; n: not in it
        left = _first(self._escaped(block.points, losses) & measured)
        spent = _first(self._spent(costs))

        going = self.going
        stop = np.minimum(broken, spent)
        newly = going & (self.escape < 0) & (left < n) & (left < broken) & (left <= stop)
        self.escape[newly] = first + left[newly]
        if not self.problem.bounded_below:
            stop = np.where(newly, left, stop)
        near = (self._from_saddle(block.points) <= self._near) | (
            self._near == 0
        )  # (n, S); at the saddle: any distance
        step = first + np.arange(n)[:, None]
        inside = going & (step <= first + stop) & ((self.escape < 0) | (step < self.escape))
        self.dwell += (near.cpu().numpy() & inside).sum(0)
        ends = going & (stop < n)
        self.end[ends] = first + stop[ends]
        self.status[ends & (broken == stop)] = "diverged"
        self.n_steps += n
        self.spent = float(costs.max())
        self.calls.append(block.calls)
        self.passes.append(block.passes)
        self.seconds.append(block.seconds)
        for name, told in block.reports.items():
            self.reports.setdefault(name, [np.full((1, len(self.end)), np.nan)]).append(
                told.cpu().numpy()
            )
        self._keep(block.points)
        self._move(block.points, first)

    def finish(self) -> None:
        """End every lane that still goes on, here; no block comes any more."""
        self.end[self.going] = self.n_steps
        for pieces in (self.calls, self.passes, self.seconds, *self.reports.values()):
            pieces[:] = [np.concatenate(pieces)]  # once, for rows and series

    def series(self) -> dict[str, np.ndarray]:
        """Arrays by name.

        A metric and its ``NAME.step`` (S, n), ``calls.KIND``, ``passes.KIND``, reports and
        ``seconds``.

        The latter are (S, steps + 1), and so is each coordinate of the points, ``theta.0`` and so
        on, but for n_paths lanes.
        """
        over = np.arange(self.n_steps + 1)[None] > self.end[:, None]  # (S, steps + 1)
        kept = int(self.end.max()) + 1
        series: dict[str, np.ndarray] = {}
        for name, pieces in self.values.items():
            at = np.array(self.at[name])
            values = np.concatenate(pieces).T.astype(np.float64)  # (S, n)
            series[name] = np.where(over[:, at], np.nan, values)[:, at < kept]
            series[f"{name}.step"] = np.where(over[:, at], np.nan, at)[:, at < kept]
        whole = {
            "seconds": self.seconds[0],
            **{name: told for name, (told,) in self.reports.items()},
        }
        for what, (taken,) in (("calls", self.calls), ("passes", self.passes)):
            whole |= {f"{what}.{name}": taken[:, :, kind] for kind, name in enumerate(QUESTIONS)}
        for name, array in whole.items():
            series[name] = np.where(over, np.nan, array.T.astype(np.float64))[:, :kept]
        if self.n_paths:
            points = np.where(
                over[: self.n_paths, :, None], np.nan, np.concatenate(self.paths).swapaxes(0, 1)
            )
            series |= {
                f"theta.{i}": along[:, :kept] for i, along in enumerate(np.moveaxis(points, 2, 0))
            }
        return series

    def rows(self, seeds: tuple[int, ...]) -> list[dict[str, Any]]:
        """A row of scalars a lane, with the certificate of its end point.

        In columns first: there may be many lanes.
        """
        (calls,), (passes,), (seconds,) = self.calls, self.passes, self.seconds
        left, lanes = self.escape >= 0, np.arange(len(seeds))

        def cost(step: np.ndarray) -> np.ndarray:
            return self._price(passes[step, lanes])

        final = self._at_end("loss")
        columns: dict[str, Any] = {"seed": seeds, "status": self.status, "steps": self.end}
        columns |= {
            "start_loss": self.values["loss"][0][0],
            "final_loss": final,
            "best_loss": self._best(final),
        }
        columns["escape_step"] = _where(left, self.escape)
        columns["escape_seconds"] = _where(left, seconds[self.escape, lanes])
        columns["escape_cost"] = _where(left, cost(self.escape))
        columns |= {"seconds": seconds[self.end, lanes], "cost": cost(self.end)}
        columns |= {f"n_{kind}": calls[self.end, lanes, k] for k, kind in enumerate(QUESTIONS)}
        columns |= {name: told[self.end, lanes] for name, (told,) in self.reports.items()}
        certificates = metrics.certify_all(self.problem, self.last)
        fields = zip(*certificates, strict=True)
        columns |= dict(zip(metrics.Certificate._fields, fields, strict=True)) | self._at_saddle(
            certificates
        )
        columns |= {name: self._at_end(name) for name in self.problem.measures}
        columns["n_lanes"] = [len(seeds)] * len(seeds)  # seeds that shared the batch
        unmoved = (
            self.deterministic
            & (self.end >= 2)
            & (self.last == self.before_last).all(1).cpu().numpy()
        )
        plain = [
            column.tolist() if isinstance(column, np.ndarray) else column
            for column in columns.values()
        ]
        rows = [dict(zip(columns, values, strict=True)) for values in zip(*plain, strict=True)]
        for row, stays in zip(rows, unmoved, strict=True):
            if stays and row["status"] == "ok" and row["end_point"] == "not critical":
                row["status"] = (
                    "stuck"  # no step is accepted any more, and not for lack of a gradient
                )
        for lane in np.flatnonzero(self.status == "diverged").tolist():
            rows[lane]["not_finite"] = self._not_finite(lane, calls[self.end[lane], lane])
        return rows

    # -- inside ------------------------------------------------------------------------------------

    def _keep(self, points: Tensor) -> None:
        """Remember the points (n, S, d) of those lanes whose paths are kept."""
        if self.n_paths:
            own = (
                points[:, : self.n_paths].double().clone()
            )  # a view would keep the points of all lanes
            self.paths.append(own.cpu().numpy())

    def _move(self, points: Tensor, first: int) -> None:
        """Remember the last two points of every lane that was alive in this block."""
        n = points.shape[0]
        alive = torch.as_tensor(
            np.flatnonzero((self.end < 0) | (self.end >= first)), device=points.device
        )
        ends = torch.as_tensor(self.end, device=points.device)[alive]
        stop = torch.where(ends < 0, n - 1, ends - first)
        previous = torch.where((stop > 0)[:, None], points[stop - 1, alive], self.last[alive])
        self.before_last[alive], self.last[alive] = previous, points[stop, alive]

    def _not_finite(self, lane: int, calls: np.ndarray) -> str:
        """What was not finite first where a lane broke.

        An answer that it asked for, or else its step.

        By a look at its last finite point on all examples; a minibatch may break a lane where these
        do not.
        """
        at = self.last[lane] if self.last[lane].isfinite().all() else self.before_last[lane]
        asked = [kind for kind, n in zip(QUESTIONS, calls, strict=True) if n]
        with contextlib.suppress(
            Exception
        ):  # what it says of a broken lane must not cost the others
            return metrics.not_finite(self.problem, at, asked) or "the step"
        return "the step"

    def _best(self, final: np.ndarray) -> list[float | None]:
        """The lowest loss of each lane; None where none was finite."""
        losses, at = np.concatenate(self.values["loss"]), np.array(self.at["loss"])
        seen = np.where(at[:, None] <= self.end, losses, np.nan)  # (n, S)
        lowest = np.fmin(np.fmin.reduce(seen), final)
        return _where(np.isfinite(seen).any(0) | np.isfinite(final), lowest)

    def _from_saddle(self, points: Tensor) -> Tensor:
        """Distances (...) of points (..., d) from the problem's saddle; NaN where it has none."""
        saddle = self.problem.saddle
        if saddle is None:
            return points.new_full(points.shape[:-1], torch.nan)
        return torch.linalg.vector_norm(points - saddle.point.to(points), dim=-1)

    def _at_saddle(self, certificates: Sequence[metrics.Certificate]) -> dict[str, Any]:
        """How many steps each lane was near the saddle before it escaped, and whether this one or another captured it.

        Captured is an end point that is certified as a strict saddle, or that is critical, no
        minimum and near the saddle: of degenerate ones the Hessian does not tell.
        """
        if self.problem.saddle is None:
            return {"captured": [None] * len(self.end), "dwell_steps": [None] * len(self.end)}
        near = (self._from_saddle(self.last) <= self._near).tolist()
        kinds, no_saddle = (
            [c.end_point for c in certificates],
            ("minimum", "not critical", "diverged"),
        )
        captured = [
            kind == "strict saddle" or (close and kind not in no_saddle)
            for kind, close in zip(kinds, near, strict=True)
        ]
        return {"captured": captured, "dwell_steps": self.dwell}

    def _at_end(self, name: str) -> np.ndarray:
        """What is measured by that name at the points (S,) where the lanes ended."""
        return np.asarray(
            metrics.measure(self.problem, name, self.last)[name].cpu().numpy(), dtype=np.float64
        )

    def _record(
        self, first: int, points: Tensor, losses: Tensor | None, costs: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Measure what is due in steps first, first + 1, ... that have cost (n,) so far.

        The losses (n, S), NaN where not due, and which were due (n,).
        """
        n, n_lanes, dim = points.shape
        steps = np.arange(first, first + n)
        ended = torch.as_tensor(~self.going, device=points.device)
        recorded = np.full((n, n_lanes), np.nan)
        loss_due = np.zeros(n, dtype=bool)
        for name, every in self.every.items():
            due = _due(every, steps, costs, self.spent)
            loss_due = due if name == "loss" else loss_due
            if not due.any():
                continue
            if name == "loss" and losses is not None:
                values = {name: losses[torch.as_tensor(due, device=points.device)]}
            else:
                chosen = points[torch.as_tensor(due, device=points.device)]
                chosen = torch.where(
                    ended[None, :, None], torch.nan, chosen
                )  # an ended lane is not measured again
                flat = metrics.measure(self.problem, name, chosen.reshape(-1, dim))
                values = {each: found.reshape(-1, n_lanes) for each, found in flat.items()}
            for each, found in values.items():
                measured = found.cpu().numpy().astype(np.float64)
                self.values.setdefault(each, []).append(measured)
                self.at.setdefault(each, []).extend(steps[due].tolist())
                if each == "loss":
                    recorded[due] = measured
        return recorded, loss_due

    def _escaped(self, points: Tensor, losses: np.ndarray) -> np.ndarray:
        if self.problem.saddle is None:
            return np.zeros(losses.shape, dtype=bool)
        n, n_lanes, dim = points.shape
        flat = torch.as_tensor(losses, dtype=points.dtype, device=points.device).reshape(-1)
        left = torch.func.vmap(self.problem.escaped)(points.reshape(-1, dim), flat)
        return np.asarray(left.reshape(n, n_lanes).cpu().numpy(), dtype=bool)


def _due(every: Every, steps: np.ndarray, costs: np.ndarray, spent: float) -> np.ndarray:
    """Which of the steps (n,) a metric is measured at.

    Multiples of a number, or the first past each multiple of a cost.
    """
    if isinstance(every, int):
        return steps % every == 0
    rungs = np.floor(np.concatenate([[spent], costs]) / every["cost"] * (1 + ROUNDING))
    return (np.diff(rungs) > 0) | (steps == 0)


def _where(known: np.ndarray, values: np.ndarray) -> list[Any]:
    """The values (S,), None where not known."""
    return [
        value if there else None
        for value, there in zip(values.tolist(), known.tolist(), strict=True)
    ]


def _first(events: np.ndarray) -> np.ndarray:
    """The first step (S,) at which each lane of events (n, S) has one; n where there is none."""
    return np.where(events.any(0), events.argmax(0), events.shape[0])
