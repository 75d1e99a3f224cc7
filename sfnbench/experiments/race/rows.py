"""A row of plain numbers for each seed of a race, with the certificate of its end point."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from ...core.cost import QUESTIONS
from ...metrics import certificate
from ...metrics.loss import Loss
from ...metrics.measuring import measure
from ...records import RaceRow, Status
from ..ends import is_far_above
from ..setup import Setup
from .outcomes import Outcomes
from .recording import Recording

Columns = dict[str, Sequence[Any] | np.ndarray]  # by name, an entry for each seed


def rows(
    setup: Setup, seeds: tuple[int, ...], recording: Recording, outcomes: Outcomes
) -> list[RaceRow]:
    """A row for each seed, once the race is over.

    Columns are made first, because there may be many seeds.
    """
    starts = setup.starts(seeds)
    certificates = certificate.certify_all(setup.problem, outcomes.last, starts)
    columns: Columns = {
        "seed": seeds,
        "status": outcomes.status,
        "steps": outcomes.end,
    }
    columns.update(_loss_columns(setup, recording, outcomes))
    columns.update(_escape_columns(recording, outcomes))
    columns.update(_spent_columns(recording, outcomes))
    columns["limit"] = outcomes.limit
    for place, name in enumerate(certificate.Certificate._fields):
        if name != "is_held":
            columns[name] = [each[place] for each in certificates]
    columns.update(_captured(setup, outcomes, certificates))
    for name in setup.problem.measures:
        columns[name] = _at_end(setup, outcomes, name)
    # the number of seeds that shared a vmapped call
    columns["n_sharing"] = [len(seeds)] * len(seeds)
    made = _row_by_row(columns)
    _mark_ends(made, setup, outcomes)
    for i, row in enumerate(made):
        if outcomes.status[i] == Status.DIVERGED:
            row["not_finite"] = _not_finite(setup, outcomes, i, row)
    return cast("list[RaceRow]", made)


def _loss_columns(
    setup: Setup, recording: Recording, outcomes: Outcomes
) -> Columns:
    final = _at_end(setup, outcomes, Loss())
    losses = recording.values["loss"].whole
    at = np.array(recording.measured_at["loss"])
    seen = np.where(at[:, None] <= outcomes.end, losses, np.nan)  # (k, S)
    best = np.fmin(np.fmin.reduce(seen), final)
    known = np.isfinite(seen).any(0) | np.isfinite(final)
    return {
        "start_loss": recording.start_losses,
        "final_loss": final,
        "best_loss": _known_only(known, best),
    }


def _escape_columns(recording: Recording, outcomes: Outcomes) -> Columns:
    step = outcomes.escape
    escaped = outcomes.escape >= 0
    return {
        "escape_step": _known_only(escaped, step),
        "escape_seconds": _known_only(
            escaped, _at_own_step(recording.seconds.whole, step)
        ),
        "escape_cost": _known_only(escaped, _cost(recording, outcomes, step)),
    }


def _spent_columns(recording: Recording, outcomes: Outcomes) -> Columns:
    """The amounts that each trajectory used until its end, and the optimizer's numbers there."""
    end = outcomes.end
    columns: Columns = {
        "seconds": _at_own_step(recording.seconds.whole, end),
        "cost": _cost(recording, outcomes, end),
    }
    calls = _at_own_step(recording.calls.whole, end)  # (S, 4)
    for k, kind in enumerate(QUESTIONS):
        columns[f"n_{kind}"] = calls[:, k]
    for name, report in recording.reports.items():
        columns[name] = _at_own_step(report.whole, end)
    return columns


def _captured(
    setup: Setup,
    outcomes: Outcomes,
    certificates: Sequence[certificate.Certificate],
) -> Columns:
    """Whether a saddle holds each trajectory, and its steps near the saddle before its escape.

    A trajectory is captured where it ends near a critical point that is no minimum.
    """
    nothing = [None] * len(certificates)
    if setup.problem.saddle is None:
        return {"captured": nothing, "steps_near": nothing}
    captured = [each.is_held for each in certificates]
    return {"captured": captured, "steps_near": outcomes.steps_near}


def _mark_ends(
    made: list[dict[str, Any]], setup: Setup, outcomes: Outcomes
) -> None:
    """Tell apart what ended ok: what can no longer move, and what ended far above its start.

    A trajectory is stuck where a step changed neither the point nor anything that the method
    remembers, on a function that stays the same: every further step would do the same. At a
    critical point that is no failure.
    """
    for i, row in enumerate(made):
        if row["status"] == Status.STOPPED:
            row["message"] = outcomes.message
        if row["status"] not in (Status.OK, Status.STOPPED):
            continue
        is_stuck = outcomes.is_fixed[i] and setup.deterministic
        if is_stuck and row["end_point"] == certificate.NOT_CERTIFIED:
            row["status"] = str(Status.STUCK)
        if is_far_above(setup.problem, row["start_loss"], row["final_loss"]):
            row["status"] = str(Status.WORSE)


def _not_finite(
    setup: Setup, outcomes: Outcomes, i: int, row: dict[str, Any]
) -> str:
    """The first that was not finite where trajectory i broke: an answer it asked for, or its step.

    Its last finite point is looked at, on all examples. A minibatch may break a trajectory where
    all examples do not.
    """
    last = outcomes.last[i]
    if last.isfinite().all():
        point = last
    else:
        point = outcomes.before_last[i]
    asked = [kind for kind in QUESTIONS if row[f"n_{kind}"]]
    # a broken trajectory must not cost the others
    with contextlib.suppress(Exception):
        return certificate.not_finite(setup.problem, point, asked) or "the step"
    return "the step"


def _at_own_step(array: np.ndarray, step: np.ndarray) -> np.ndarray:
    """The entries (S, ...) of an array (n, S, ...) at each trajectory's own step (S,)."""
    return np.asarray(array[step, np.arange(len(step))])


def _cost(recording: Recording, outcomes: Outcomes, step: np.ndarray) -> np.ndarray:
    return outcomes.limits.costs(_at_own_step(recording.passes.whole, step))


def _at_end(setup: Setup, outcomes: Outcomes, what: str | Loss) -> np.ndarray:
    """The loss, or a measure by its name, at the points where the trajectories ended: (S,)."""
    (found,) = measure(setup.problem, what, outcomes.last).values()
    return np.asarray(found.cpu().numpy(), dtype=np.float64)


def _known_only(known: np.ndarray, values: np.ndarray) -> list[Any]:
    """The values (S,), None where they are not known."""
    pairs = zip(known.tolist(), values.tolist(), strict=True)
    return [value if there else None for there, value in pairs]


def _row_by_row(columns: Columns) -> list[dict[str, Any]]:
    """The columns as rows of plain Python values."""
    plain = [
        column.tolist() if isinstance(column, np.ndarray) else column
        for column in columns.values()
    ]
    return [
        dict(zip(columns, values, strict=True))
        for values in zip(*plain, strict=True)
    ]
