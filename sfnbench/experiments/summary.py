"""Results summed up: a row per problem and optimizer, medians over seeds, nothing left out."""

from __future__ import annotations

import fnmatch
import re
from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from ..errors import SfnbenchError
from ..records import Result, Status
from ..results.tables import NUMBER, Table
from ..survival.escapes import Escapes
from ..survival.intervals import median
from ..words import did_you_mean
from .critical_points.analysis import summary_row
from .throughput.table import throughput_rows

Spread = Literal[
    "range", "interval", "none"
]  # what brackets hold: lowest and highest, or the 95 % interval of the median
SADDLE = (
    "escaped",
    "escape step",
    "captured",
    "steps near saddle",
)  # columns of problems that have one
SPENT = ("cost in gradients", "seconds a seed")
LOWER = ("escape step", "final loss", "loss", *SPENT)  # columns in which low is good
HIGHER = ("steps/s", "samples/s", "HVP/s")  # ... and high
IN_GRADIENTS = ("gradients a step", "gradients an HVP")
STAR = " *"
NEVER = "never"  # escapes one that has broken
NAMES = ("problem", "optimizer", "finder")  # columns whose brackets are anybody's
BLOCKS = "the quartiles over blocks"
INTERVAL = "the 95 % interval of the median"
OVER_SEEDS = {
    "range": "the lowest and highest over seeds",
    "interval": INTERVAL,
    "none": "",
}  # what brackets hold ...
BRACKETS = {
    "escape step": INTERVAL,
    "Spearman": "its 95 % interval",
    **dict.fromkeys((*HIGHER, *IN_GRADIENTS), BLOCKS),
}


def summary(results: Iterable[Result], spread: Spread = "range") -> Table:
    """One row per problem and optimizer.

    Statuses, escapes and captures, losses, cost, seconds, end points.

    Of critical points, one per problem and finder, with columns of their own.

    Medians and, in brackets, the lowest and highest are over seeds, or with `spread` "interval" the
    median's bootstrap interval, from five seeds on; the escape step's brackets are always the 95 %
    interval of the Kaplan-Meier median. A seed that has not escaped counts as later than all that
    have, so that median is exact, or known only to exceed the budget. Of a throughput suite, a row
    per dtype as well.
    """
    return [row for result in results for row in ROWS[result.run.experiment](result, spread)]


def chosen(
    results: Iterable[Result],
    problems: Sequence[str],
    optimizers: Sequence[str],
    statuses: Sequence[str],
) -> Iterable[Result]:
    """The results of these problems, optimizers (or finders) and statuses; none named, all of them.

    A name is a member's, its label in the suite, or a pattern of either such as ``stall*``; a
    status is that of any seed. SfnbenchError for a name that fits nothing.
    """
    if not (problems or optimizers or statuses):
        # one at a time, as they come: with their series, thousands would fill the memory
        return results
    results = list(results)
    of: dict[str, Callable[[Result], set[str]]] = {
        "problem": lambda result: {result.run.problem.label, result.run.problem.use},
        "optimizer": lambda result: {
            each for o in (result.run.method,) for each in (o.label, o.use)
        },
        "status": lambda result: {
            result.status,
            *(row["status"] for row in result.rows if "status" in row),
        },
    }
    for kind, patterns in (("problem", problems), ("optimizer", optimizers), ("status", statuses)):
        there = set().union(*map(of[kind], results))
        for pattern in patterns:
            if not fnmatch.filter(there, pattern):
                raise SfnbenchError(
                    f"no result of {kind} {pattern!r} here{did_you_mean(pattern, there)}"
                )
        if patterns:
            results = [
                r
                for r in results
                if any(fnmatch.filter(of[kind](r), pattern) for pattern in patterns)
            ]
    return results


def mark_best(table: Table, results: Iterable[Result] = ()) -> Table:
    """The same table of these results with a star at each problem's best in each column that has one, where rivals differ.

    No rival is a row of which a seed broke or diverged or, under ``--at``, fell short of the
    budget, nor a timing with a note; nor in what was spent one that has not escaped: who never left
    has not saved anything, and where there is no saddle all spend what they are given. A loss
    without a floor has no best: it says when a race was stopped, not how well it went.
    """
    facts = {result.run.problem.label: result.environment.get("problem", {}) for result in results}
    stopped = {label for label, of in facts.items() if of.get("bounded_below") is False}
    measures = dict.fromkeys(
        name.replace("_", " ") for of in facts.values() for name in of.get("measures", ())
    )
    columns = (*LOWER, *measures, *HIGHER)
    rivals: dict[tuple[str, ...], list[float]] = {}
    for row in table:
        for column in columns:
            if (value := _rival(row, column, stopped)) is not None:
                rivals.setdefault((row["problem"], row.get("dtype", ""), column), []).append(value)
    marked = []
    for row in table:
        stars = {}
        for column in columns:
            values = rivals.get((row["problem"], row.get("dtype", ""), column), ())
            if len(set(values)) > 1 and _rival(row, column, stopped) == min(values) < np.inf:
                stars[column] = f"{row[column]}{STAR}"
        marked.append({**row, **stars})
    return marked


def _rival(row: dict[str, Any], column: str, stopped: Container[str]) -> float | None:
    """What the row is held against others by in this column, low is good, inf the worst.

    None where it is no rival.
    """
    cell = str(row.get(column, ""))
    number = re.match(NUMBER, "inf" if cell.startswith(">") else cell)
    there, _, all_ = str(row.get("reached", "")).partition("/")
    statuses = set(str(row.get("seeds", "")).split()[1::2])
    is_whole = (
        there == all_
        and all(Status(each).sound for each in statuses)
        and not row.get("note")
        and "diverged" not in str(row.get("end points"))
    )
    has_left = re.match(NUMBER, str(row.get("escape step", "")))
    if (
        not number
        or not is_whole
        or (column in SPENT and not has_left)
        or (column == "loss" and row["problem"] in stopped)
    ):
        return None
    value = float(number[0])
    return -value if column in HIGHER else value


def legend(table: Table, spread: Spread = "range") -> str:
    """What the signs mean that occur in the table, in one line; empty where there are none."""
    cells = {
        name: [str(row.get(name, "")) for row in table]
        for name in dict.fromkeys(name for row in table for name in row)
    }
    parts = []
    if any(cell.endswith(STAR) for column in cells.values() for cell in column):
        parts.append(f"* best of its problem, {_rivalry(cells)}")
    if any(cell.partition("> ")[2] for cell in cells.get("escape step", ())):
        parts.append("> N: later than the N steps made")
    held: dict[str, list[str]] = {}
    for name, column in cells.items():
        if any("[" in cell for cell in column) and name not in NAMES:
            held.setdefault(BRACKETS.get(name, OVER_SEEDS[spread]), []).append(name)
    if held:
        main, *others = sorted(held, key=lambda meaning: -len(held[meaning]))
        parts.append(
            "".join(
                [
                    f"[a, b]: {main}",
                    *(f", of {' and '.join(held[meaning])} {meaning}" for meaning in others),
                ]
            )
        )
    return "; ".join(parts)


def _rivalry(columns: Mapping[str, Sequence[str]]) -> str:
    """Among whom the best was looked for."""
    if "reached" in columns:
        return "among those all of whose seeds reached the budget"
    if "dtype" in columns:
        return "at its dtype, among those without a note"
    left = (
        ", in cost and seconds among those that escaped"
        if any(columns.get("escape step", ()))
        else ""
    )
    return f"among those of which no seed broke or diverged{left}"


def _row(result: Result, spread: Spread) -> dict[str, Any]:
    rows, run = result.rows, result.run
    statuses = Counter(row["status"] for row in rows) or Counter({result.status: len(run.seeds)})
    row: dict[str, Any] = {"problem": run.problem.label, "optimizer": run.method.label}
    row["seeds"] = " ".join(f"{count} {status}" for status, count in statuses.most_common())
    facts = result.environment.get("problem", {})  # none where the run broke before it began
    row |= _escape(rows) if facts.get("has_saddle") else dict.fromkeys(SADDLE, "")
    # the loss of a bottomless problem says when the race was stopped, not how well it went
    row["final loss"] = (
        middle([r.get("final_loss") for r in rows], spread=spread)
        if facts.get("bounded_below")
        else ""
    )
    for name in facts.get("measures", ()):
        row[name.replace("_", " ")] = middle([r.get(name) for r in rows], spread=spread)
    row["cost in gradients"] = middle([r.get("cost") for r in rows], digits=3, spread=spread)
    row["seconds a seed"] = middle([r.get("seconds") for r in rows], digits=2, spread="none")
    ends = Counter(r["end_point"] for r in rows if r.get("end_point"))
    row["end points"] = ", ".join(f"{count} {kind}" for kind, count in ends.most_common())
    return row


def _escape(rows: Sequence[dict[str, Any]]) -> dict[str, str]:
    """What `SADDLE` names.

    Captures and steps near the saddle are of those seeds that came to an end at all.
    """
    escapes = Escapes.of(rows)
    captured = [r["captured"] for r in rows if r.get("captured") is not None]
    values = (
        f"{escapes.escaped.sum()}/{len(rows)}",
        _estimate(escapes, rows),
        f"{sum(captured)}/{len(rows)}" if captured else "",
        middle([r.get("dwell_steps") for r in rows], spread="none"),
    )
    return dict(zip(SADDLE, values, strict=True))


def _estimate(escapes: Escapes, rows: Sequence[dict[str, Any]]) -> str:
    """``value [low, high]`` of the median escape step, without the interval where there is none.

    What is infinite is later than the steps that the censored made; where those are too few for
    that, for the others broke, it is never. An interval without an end, for all have escaped, ends
    with inf.
    """
    sound = [row for row in rows if not Status(row.get("status", "ok")).never_escapes]
    budgets = [row.get("steps") or 0 for row in sound if row.get("escape_step") is None]
    late = NEVER if 2 * len(sound) <= len(rows) else f"> {max(budgets)}" if budgets else "inf"
    estimate = escapes.median()
    value, *interval = (f"{number:g}" if number < np.inf else late for number in estimate)
    return (
        value
        if np.isnan(estimate.low) or len({value, *interval}) == 1
        else f"{value} [{', '.join(interval)}]"
    )


def middle(values: Sequence[float | None], digits: int = 4, spread: Spread = "range") -> str:
    """``median [low, high]`` of what is there, what is not a number counting as infinite.

    Nothing where nothing is.
    """
    known = np.array([value for value in values if value is not None], dtype=float)
    if not len(known):
        return ""
    known[np.isnan(known)] = np.inf
    low, high = np.min(known), np.max(known)
    if spread == "interval":
        _, low, high = median(known)
    text = f"{np.median(known):.{digits}g}"
    return (
        text
        if low == high or np.isnan(low) or spread == "none"
        else f"{text} [{low:.{digits}g}, {high:.{digits}g}]"
    )


ROWS: dict[str, Callable[[Result, Spread], Table]] = {
    "race": lambda result, spread: [_row(result, spread)],
    "critical_points": lambda result, spread: [summary_row(result)],
    "throughput": lambda result, spread: throughput_rows(result),
}
