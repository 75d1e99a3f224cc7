"""Energy against alpha, the share of negative eigenvalues: critical points, and their controls."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike

from ....records import Result
from ....report.figure import Axis, Figure, Panel, Symbol, Trace
from ....theory.landscapes import theory_of
from .. import analysis

N_THEORY_POINTS = 200  # of theory's curve
ALPHA = "alpha, the share of negative eigenvalues"


def extract(result: Result) -> bool | None:
    """Nothing beyond the rows."""
    return bool(result.points) or None


def figures(runs: Sequence[tuple[Result, bool]]) -> Iterator[Figure]:
    """A figure for each problem: critical points on the left, on the right what is none."""
    for problem, results in by_problem(result for result, _ in runs).items():
        ends = [
            analysis.column(each.points, analysis.ordinate_of(each))
            for each in results
        ]
        upright = Axis(ordinate_title(results[0]), range=span(np.concatenate(ends)))
        alphas = [analysis.column(each.points, "alpha") for each in results]
        alphas += [analysis.column(each.points, "start_alpha") for each in results]
        across = Axis(ALPHA, range=span(np.concatenate(alphas)))
        panels = [
            _points(results, across, upright),
            _control_curves(results, across, upright),
        ]
        yield Figure(f"{problem} alpha", problem, panels, problem)


def by_problem(results: Iterator[Result]) -> dict[str, list[Result]]:
    """Results by their problem's label."""
    found: dict[str, list[Result]] = {}
    for result in results:
        found.setdefault(result.run.problem.label, []).append(result)
    return found


def ordinate_title(result: Result) -> str:
    """The energy's own name, or the loss."""
    if analysis.ordinate_of(result) == "loss":
        return "loss"
    return str(result.run.settings["energy"]).replace("_", " ")


def span(values: ArrayLike) -> tuple[float, float] | None:
    """The range of finite values with a margin; None where there are none.

    >>> span([1.0, 3.0, np.nan])
    (0.9, 3.1)
    >>> span([-1.7e308, 1.7e308])  # as far as there are numbers
    (-1.7976931348623157e+308, 1.7976931348623157e+308)
    """
    known = np.asarray(values, float)
    known = known[np.isfinite(known)]
    if not len(known):
        return None
    low, high = float(known.min()), float(known.max())
    margin = max(0.05 * high - 0.05 * low, 5e-11)
    most = sys.float_info.max
    return max(low - margin, -most), min(high + margin, most)


def cloud(result: Result, rows: analysis.Rows, kind: str, symbol: Symbol) -> Trace:
    """Energy over alpha of some ends of one run."""
    x = analysis.column(rows, "alpha")
    y = analysis.column(rows, analysis.ordinate_of(result))
    method = result.run.method.label
    return Trace(
        x, y, method, f"{method}: {len(rows)} {kind}", "points", symbol=symbol
    )


# -- inside ----------------------------------------------------------------------------------------


def _points(results: Sequence[Result], across: Axis, upright: Axis) -> Panel:
    traces = []
    findings = []
    cut_off = results[0].run.settings["cut_off"]
    notes = [f"Distinct ends of searches with |gradient|² below {cut_off:g}."]
    for result in results:
        found = analysis.distinct(result.points)
        whole = [row for row in found if row["subspace"] is None]
        padded = [row for row in found if row["subspace"] is not None]
        traces.append(cloud(result, whole, "critical points", "circle"))
        if padded:
            kind = "narrower networks padded with dead units"
            traces.append(cloud(result, padded, kind, "triangle-up"))
        findings.append(f"{result.run.method.label}: {_agreement(result)}.")
    theory = theory_of(results[0].run.problem.use, results[0].run.problem.params)
    if theory is not None and upright.range is not None:
        energies = np.linspace(*upright.range, N_THEORY_POINTS)
        traces.append(Trace(theory.alpha(energies), energies, label="theory"))
    decay = results[0].facts.weight_decay
    if decay is not None:
        findings.append(f"Weight decay {decay:g}.")
    return Panel(
        "points",
        "Energy against the index",
        across,
        upright,
        traces,
        notes,
        findings,
    )


def _agreement(result: Result) -> str:
    """The distance to theory where there is one, the correlation elsewhere."""
    by_energy, by_centre = analysis.distances(result)
    if by_energy is not None:
        return f"alpha - theory {by_energy:.4f} (rms), at the measured centre {by_centre:.4f}"
    found = analysis.correlation(
        analysis.distinct(result.points), analysis.ordinate_of(result)
    )
    if str(found):
        return f"Spearman's correlation {found}"
    return "too few points for a correlation"


def _control_curves(
    results: Sequence[Result], across: Axis, upright: Axis
) -> Panel:
    traces = []
    findings = []
    notes = [
        "None of these is critical. Small dots: starts; crosses: ends that did not converge."
    ]
    for result in results:
        energy = analysis.ordinate_of(result)
        method = result.run.method.label
        column: analysis.Column = (
            "start_energy" if energy == "energy" else "start_loss"
        )
        starts = analysis.column(result.points, column)
        x = analysis.column(result.points, "start_alpha")
        label = f"{method}: {len(result.points)} starts"
        traces.append(
            Trace(x, starts, method, label, "points", symbol="circle", size=3)
        )
        others = [row for row in result.points if not row["converged"]]
        if others:
            traces.append(cloud(result, others, "not converged", "x"))
        n_above = 0
        if upright.range:
            n_above = int((starts > upright.range[1]).sum())
        if n_above:
            findings.append(
                f"{method}: {n_above} of {len(result.points)} starts lie above the panel."
            )
    return Panel("controls", "Controls", across, upright, traces, notes, findings)
