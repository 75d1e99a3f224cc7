"""The table of a race: a row per problem and optimizer, medians over seeds, nothing left out."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from ...records import RaceRow, Result, Status, n_sharing, number
from ...results.cells import Cell, Spread, TableEntry, Tally, share
from ...results.compare import MACHINE
from ...results.tables import Table
from ...survival.escapes import Escapes
from ...survival.intervals import median

SOUND = "among those without a seed that broke, diverged or ended worse"
ESCAPED = "in cost and seconds among those that escaped, in seconds with as many in a batch"
SADDLE = ("escaped", "escape step", "captured", "steps near saddle")
NO_CONTEST = ("escaped", "captured", "steps near saddle")
OVER_SEEDS = "the lowest and highest over seeds"
OF_MEDIAN = "the 95 % interval of the median"


def table(result: Result, spread: Spread) -> Table:
    """One row: statuses, escapes and captures, losses, cost, seconds, end points."""
    run = result.run
    rows = result.race_rows
    facts = result.facts
    line: dict[str, TableEntry] = {
        "problem": run.problem.label,
        "optimizer": run.method.label,
    }
    counts = Counter(row["status"] for row in rows) or {
        str(result.status): len(run.seeds)
    }
    line["seeds"] = Tally(dict(Counter(counts).most_common()))
    is_rival = all(Status(status).sound for status in counts)
    ends = Counter(row["end_point"] for row in rows if row["end_point"])
    if "diverged" in ends:
        is_rival = False
    escape = None
    if facts.has_saddle and rows:
        escape = _escape_step(rows)
    line |= _at_saddle(rows, escape) if escape else dict.fromkeys(SADDLE)
    # The loss of a problem without a floor says when the race was stopped, not how well it went.
    losses = []
    if facts.bounded_below:
        losses = [row["final_loss"] for row in rows]
    line["final loss"] = middle(losses, spread)
    for name in facts.measures:
        line[name.replace("_", " ")] = middle(
            [number(row, name) for row in rows], spread
        )
    _compete(line, is_rival, SOUND)
    # Who has not left has saved nothing, and without a saddle all spend what they are given.
    line |= _spent(result, spread, is_rival and _is_finite(escape))
    limits = Counter(row["limit"] for row in rows if row["limit"])
    line["ended by"] = Tally(dict(limits.most_common()), ", ") if limits else None
    line["end points"] = Tally(dict(ends.most_common()), ", ") if ends else None
    return [line]


def _is_finite(cell: Cell | None) -> bool:
    return cell is not None and cell.value is not None and math.isfinite(cell.value)


def _at_saddle(rows: Sequence[RaceRow], escape: Cell) -> dict[str, TableEntry]:
    """The columns that `SADDLE` names, over the seeds that came to an end at all."""
    captured = [row["captured"] for row in rows if row["captured"] is not None]
    entries = (
        share(sum(row["escape_step"] is not None for row in rows), len(rows)),
        escape,
        share(sum(captured), len(rows)) if captured else None,
        middle([row["steps_near"] for row in rows], "none"),
    )
    return dict(zip(SADDLE, entries, strict=True))


def _escape_step(rows: Sequence[RaceRow]) -> Cell:
    """The median escape step with its interval.

    An infinite number is later than the steps of the censored seeds; where most seeds broke, it is
    never. Where all have escaped, an interval without an end
    ends with inf.
    """
    estimate = Escapes.of(rows).median()
    able = [row for row in rows if not Status(row["status"]).never_escapes]
    watched = [row["steps"] or 0 for row in able if row["escape_step"] is None]
    is_never = 2 * len(able) <= len(rows)
    return Cell(
        *estimate,
        form="g",
        brackets=OF_MEDIAN,
        never=is_never,
        censored=max(watched) if watched and not is_never else None,
    )


def _spent(result: Result, spread: Spread, is_rival: bool) -> dict[str, TableEntry]:
    rows = result.race_rows
    line: dict[str, TableEntry] = {
        "cost in gradients": middle(
            [row["cost"] for row in rows], spread, form=".3g"
        ),
        "seconds a seed": middle(
            [row["seconds"] for row in rows], "none", form=".2g"
        ),
    }
    _compete(line, is_rival, ESCAPED)
    seconds = line["seconds a seed"]
    if isinstance(seconds, Cell):
        line["seconds a seed"] = seconds.changed(league=circumstances(result))
    return line


def circumstances(result: Result) -> str:
    """The machine, and how many seeds share a batch: seconds depend on both."""
    n = max(map(n_sharing, result.race_rows), default=1)
    machine = [str(result.environment.get(name)) for name in MACHINE]
    return ", ".join([f"{n} seeds in a batch", *machine])


def _compete(line: dict[str, TableEntry], is_rival: bool, rivals: str) -> None:
    """Let the numbers of a row compete, the lowest being the best."""
    for name, cell in line.items():
        if isinstance(cell, Cell) and name not in NO_CONTEST:
            score = cell.value if is_rival else None
            line[name] = cell.changed(score=score, rivals=rivals)


def middle(
    values: Sequence[float | None], spread: Spread = "range", *, form: str = ".4g"
) -> Cell | None:
    """The median of the known numbers and its spread; a NaN counts as infinite, None is unknown."""
    known = sorted(
        math.inf if x != x else float(x) for x in values if x is not None
    )
    if not known:
        return None
    # numpy's median, which takes ten times as long over a few seeds
    value = (known[(len(known) - 1) // 2] + known[len(known) // 2]) / 2
    if spread == "none":
        return Cell(value, form=form)
    if spread == "interval":
        _, low, high = median(known)
        return Cell(value, low, high, form=form, brackets=OF_MEDIAN)
    return Cell(value, known[0], known[-1], form=form, brackets=OVER_SEEDS)
