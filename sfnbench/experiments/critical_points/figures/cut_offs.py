"""Energy against alpha once more, for a lax, a usual and a strict cut-off."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ....records import Result
from ....report.figure import Axis, Figure, Panel
from .. import analysis
from .alpha import ALPHA, by_problem, cloud, ordinate_title, span

SHOWN_CUT_OFFS = (1e-4, 1e-8, 1e-20)  # of the squared gradient norm


def extract(result: Result) -> bool | None:
    """Nothing beyond the rows."""
    return bool(result.points) or None


def figures(runs: Sequence[tuple[Result, bool]]) -> Iterator[Figure]:
    """A figure for each problem, a panel for each cut-off."""
    for problem, results in by_problem(result for result, _ in runs).items():
        ends = [
            analysis.column(each.points, analysis.ordinate_of(each))
            for each in results
        ]
        alphas = [analysis.column(each.points, "alpha") for each in results]
        across = Axis(ALPHA, range=span(np.concatenate(alphas)))
        upright = Axis(ordinate_title(results[0]), range=span(np.concatenate(ends)))
        panels = [
            _cut_off_panel(results, cut_off, across, upright)
            for cut_off in SHOWN_CUT_OFFS
        ]
        yield Figure(f"{problem} cut offs", problem, panels, problem)


def _cut_off_panel(
    results: Sequence[Result], cut_off: float, across: Axis, upright: Axis
) -> Panel:
    traces = []
    findings = []
    notes = [
        "Crosses: gradient-flat ends, where nearly all of the gradient lies in the kernel."
    ]
    for result in results:
        passed = analysis.distinct(result.points, cut_off)
        flat = [row for row in passed if analysis.is_flat(row)]
        others = [row for row in passed if not analysis.is_flat(row)]
        traces.append(cloud(result, others, "points", "circle"))
        if flat:
            traces.append(cloud(result, flat, "gradient-flat", "x"))
        measured = str(analysis.correlation(passed, analysis.ordinate_of(result)))
        if measured:
            spearman = f"Spearman's correlation {measured}"
        else:
            spearman = "no correlation defined"
        findings.append(
            f"{result.run.method.label}: {len(passed)} points, {spearman}."
        )
    title = f"Ends with |gradient|² below {cut_off:g}"
    return Panel(
        f"below {cut_off:g}", title, across, upright, traces, notes, findings
    )
