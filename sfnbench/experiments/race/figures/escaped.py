"""How many of all problems and seeds each optimizer leaves within a cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ....records import Result
from ....report.figure import Axis, Figure, Panel, Trace, left_edge
from ....survival.escapes import or_never
from ....survival.targets import ecdf
from .curves import SHARES, UNITS, step_area

MOST_POINTS = 200  # of a curve


def extract(result: Result) -> list[float] | None:
    """The cost of each seed's escape; inf where it has not escaped. None without a saddle."""
    if not result.facts.has_saddle:
        return None
    costs = [row["escape_cost"] for row in result.race_rows]
    return [or_never(cost) for cost in costs]


def figures(runs: Sequence[tuple[Result, list[float]]]) -> Iterator[Figure]:
    """One figure for all problems."""
    costs: dict[str, list[float]] = {}
    for result, of_seeds in runs:
        costs.setdefault(result.run.method.label, []).extend(of_seeds)
    curves = {method: ecdf(each) for method, each in costs.items()}
    left = {method: curve for method, curve in curves.items() if len(curve[0])}
    if not left:
        return
    edge = left_edge(times for times, _ in left.values())
    end = max(float(times[-1]) for times, _ in left.values())
    traces = []
    areas = {}
    for method, (times, shares) in left.items():
        places = np.linspace(
            0, len(times) - 1, min(len(times), MOST_POINTS)
        ).astype(int)
        x = np.maximum([edge, *times[np.unique(places)], end], edge)
        y = np.array([0.0, *shares[np.unique(places)], shares[-1]])
        traces.append(Trace(x, y, method, style="step"))
        areas[method] = step_area(np.log(x), y)
    panel = Panel(
        "escaped",
        "Escaped, over all problems",
        Axis(UNITS["cost"], "log"),
        Axis("share of problems and seeds", range=SHARES),
        traces,
        ["The share of all problems and seeds that had escaped within each cost."],
        best_first=sorted(areas, key=lambda method: -areas[method]),
    )
    yield Figure("escaped", "Escaped, over all problems", [panel])
