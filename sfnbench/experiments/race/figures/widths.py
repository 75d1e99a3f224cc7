"""The training error of networks that differ in width, where a suite has several."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ....records import Result, number
from ....report.figure import Axis, Figure, Panel, Trace
from ....survival.intervals import MIN_RUNS
from ..bands import quantiles

ERROR = "training_error"


def extract(result: Result) -> tuple[int, list[float]] | None:
    """Hidden units of the network, and the training error of each seed that has one."""
    hidden = result.run.problem.params.get("hidden")
    if not isinstance(hidden, list) or ERROR not in result.facts.measures:
        return None
    errors = [number(row, ERROR) for row in result.rows]
    return sum(hidden), [error for error in errors if error is not None]


def figures(
    runs: Sequence[tuple[Result, tuple[int, list[float]]]],
) -> Iterator[Figure]:
    """A figure for each kind of network that comes in several widths."""
    kinds: dict[str, dict[str, dict[int, list[float]]]] = {}
    for result, (width, errors) in runs:
        by_method = kinds.setdefault(result.run.problem.use, {})
        by_method.setdefault(result.run.method.label, {})[width] = errors
    for use, by_method in kinds.items():
        several = {
            method: each for method, each in by_method.items() if len(each) > 1
        }
        if several:
            yield Figure(f"{use} widths", use, [_width_panel(several)])


def _width_panel(by_method: dict[str, dict[int, list[float]]]) -> Panel:
    traces = []
    for method, by_width in by_method.items():
        widths = sorted(by_width)
        low, middle, high = np.array(
            [_quartiles_of(by_width[width]) for width in widths]
        ).T
        traces.append(Trace(widths, middle, method))
        errors = Trace(
            widths,
            middle,
            method,
            style="points",
            low=low,
            high=high,
            in_legend=False,
        )
        traces.append(errors)
    return Panel(
        "widths",
        "Training error against hidden units",
        Axis("hidden units"),
        Axis("training error"),
        traces,
        [
            f"Median over seeds; bars hold the middle half (all of fewer than {MIN_RUNS} seeds)."
        ],
    )


def _quartiles_of(errors: Sequence[float]) -> list[float]:
    if not errors:
        return [np.nan] * 3
    return [float(each) for each in quantiles(np.array(errors)[:, None])[:, 0]]
