"""Two searches compared: how many converge, at what cost, in what time."""

from __future__ import annotations

from collections.abc import Iterator

from ...records import PointRow
from ...results.compare import TOLERANCE_S, Change, Measure, Pairs, own_measures


def changes(pairs: Pairs[PointRow]) -> Iterator[Change]:
    """Searches that broke or did not converge, steps and questions, and measures of each."""
    yield pairs.broken()
    lost = [
        sum(not pair[side].get("converged") for pair in pairs.rows)
        for side in (0, 1)
    ]
    yield pairs.count("not converged", *lost)
    yield from pairs.questions()
    for measure in _point_measures(pairs):
        change = pairs.measured(measure)
        if change is not None:
            yield change


def _point_measures(pairs: Pairs[PointRow]) -> Iterator[Measure[PointRow]]:
    yield from own_measures(pairs)
    if not pairs.machine:
        yield Measure(
            "seconds a step", _seconds_a_search_step, TOLERANCE_S, is_time=True
        )


def _seconds_a_search_step(row: PointRow) -> float | None:
    if row.get("steps"):
        return row["seconds"] / row["steps"]
    return None
