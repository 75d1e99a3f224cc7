"""Two races compared: counts by equality, losses, escapes and times seed by seed."""

from __future__ import annotations

from collections.abc import Iterator

from ...records import RaceRow, n_sharing
from ...results.compare import TOLERANCE_S, Change, Measure, Pairs, own_measures
from ...survival.escapes import or_never

# in units of the loss at the start: losses below this have all arrived
LOSS_ROUNDING = 1e-12


def changes(pairs: Pairs[RaceRow]) -> Iterator[Change]:
    """Seeds that broke, steps and questions, then measures of each seed."""
    yield pairs.broken()
    yield from _counts(pairs)
    start = max(
        (abs(row["start_loss"] or 0.0) for pair in pairs.rows for row in pair),
        default=0.0,
    )
    if why := _unlike(pairs):
        yield Change.not_comparable(pairs.slot, "seconds a step", why)
    for measure in _race_measures(pairs):
        floor = 0.0
        if measure.what == "final_loss":
            floor = LOSS_ROUNDING * start
        change = pairs.measured(measure, floor)
        if change is not None:
            yield change


def _counts(pairs: Pairs[RaceRow]) -> Iterator[Change]:
    limit = (pairs.before.run.settings.get("budget") or {}).get("seconds")
    if limit and any(
        (row["seconds"] or 0) >= limit for pair in pairs.rows for row in pair
    ):
        why = "the clock ended the run, not the count of steps"
        yield Change.not_comparable(pairs.slot, "steps", why)
    else:
        yield from pairs.questions()


def _unlike(pairs: Pairs[RaceRow]) -> str:
    """Why seconds were made in unlike ways: seeds in a batch share its seconds."""
    before, after = (
        sorted({n_sharing(pair[side]) for pair in pairs.rows}) for side in (0, 1)
    )
    if before == after:
        return ""
    was = ", ".join(map(str, before))
    now = ", ".join(map(str, after))
    return f"seeds in a batch were {was}, are {now}"


def _race_measures(pairs: Pairs[RaceRow]) -> Iterator[Measure[RaceRow]]:
    facts = pairs.after.facts
    if facts.bounded_below is not False:
        yield Measure("final_loss", lambda row: or_never(row["final_loss"]))
    if facts.has_saddle:
        yield Measure("escape_step", lambda row: or_never(row["escape_step"]))
        yield Measure("escape_cost", lambda row: or_never(row["escape_cost"]))
    yield from own_measures(pairs)
    if not pairs.machine and not _unlike(pairs):
        yield Measure("seconds a step", _seconds_a_step, TOLERANCE_S, is_time=True)


def _seconds_a_step(row: RaceRow) -> float | None:
    steps = row["steps"]
    seconds = row["seconds"]
    if steps and seconds is not None:
        return seconds / steps
    return None
