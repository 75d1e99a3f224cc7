"""Loss, escape, gradient norm and lowest eigenvalue of each problem over the course of a race."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np

from ....arrays import Floats
from ....records import Result, number
from ....report.figure import (
    Axis,
    Figure,
    Panel,
    Symbol,
    Trace,
    left_edge,
    scale_of,
)
from ....survival.escapes import EscapeAxis as Clock
from ....survival.escapes import Escapes
from ....survival.intervals import MIN_RUNS
from ..at_budget import AXES
from ..bands import Band, band, typical, used_by, window

TITLES = {
    "loss": ("Loss", "loss"),
    "gradient_norm": ("Gradient norm", "|gradient|"),
    "min_eigenvalue": ("Lowest eigenvalue of the Hessian", "eigenvalue"),
}
UNITS = {"steps": "steps", "cost": "cost in gradients", "seconds": "seconds"}
BANDS = f"Median over seeds; the middle half is shaded (all of fewer than {MIN_RUNS} seeds)."
SHARES = (-0.03, 1.03)  # an axis from 0 to 1, with room for lines at its ends


@dataclass(frozen=True, eq=False)
class Curves:
    """The curves of one run."""

    bands: dict[str, Band]  # by metric
    # by axis: times, and the share not yet escaped
    staying: dict[str, tuple[Floats, Floats]]
    # by axis: where half of the seeds had switched optimizer
    switch: dict[str, float] | None


Runs = Mapping[str, Curves]  # by method


def extract(result: Result) -> Curves | None:
    """The curves of a run; None where it broke before it began."""
    staying = {}
    if result.facts.has_saddle and result.rows:
        staying = {axis: staying_at_saddle(result, axis) for axis in AXES}
    if "seconds" not in result.series:
        return Curves({}, staying, None) if staying else None
    used = used_by(result)
    found = {metric: band(result, metric, used) for metric in TITLES}
    bands = {metric: each for metric, each in found.items() if each is not None}
    return Curves(bands, staying, _switch(result, used))


def figures(runs: Sequence[tuple[Result, Curves]]) -> Iterator[Figure]:
    """A figure for each problem and each axis."""
    problems: dict[str, dict[str, Curves]] = {}
    for result, curves in runs:
        problems.setdefault(result.run.problem.label, {})[
            result.run.method.label
        ] = curves
    for problem, by_method in problems.items():
        for axis in AXES:
            panels = _panels(by_method, axis)
            if panels:
                yield Figure(problem, problem, panels, problem, against=axis)


def staying_at_saddle(result: Result, axis: str) -> tuple[Floats, Floats]:
    """Kaplan and Meier's curve from 0 to when the last seed ended: times, and the share left."""
    clock = cast(Clock, {"steps": "step"}.get(axis, axis))
    ends, left = Escapes.of(result.race_rows, clock).curve()
    last = max((number(row, axis) or 0.0 for row in result.rows), default=0.0)
    times = np.concatenate([[0.0], ends])
    shares = np.concatenate([[1.0], left])
    if last > times[-1]:
        return np.append(times, last), np.append(shares, shares[-1])
    return times, shares


def step_area(x: Floats, y: Floats) -> float:
    """The area under a step curve from the first to the last x."""
    return float((np.diff(x) * np.asarray(y, float)[: len(x) - 1]).sum())


# -- inside ----------------------------------------------------------------------------------------


def _switch(result: Result, used: Mapping[str, Floats]) -> dict[str, float] | None:
    """Where half of the seeds had switched to their second optimizer."""
    steps = [number(row, "switch_step") for row in result.rows]
    known = [step for step in steps if step is not None and np.isfinite(step)]
    if not known or 2 * len(known) < len(result.rows):
        return None
    median = np.array([np.median(known)])
    return {axis: float(typical(each, median)[0]) for axis, each in used.items()}


def _panels(runs: Runs, axis: str) -> list[Panel]:
    """The panels of one problem, on one axis for all."""
    xs = [
        each.used[axis]
        for curves in runs.values()
        for each in curves.bands.values()
    ]
    xs += [curves.staying[axis][0] for curves in runs.values() if curves.staying]
    scale = scale_of(xs)
    edge = left_edge(xs) if scale == "log" else 0.0
    across = Axis(UNITS[axis], scale)
    escape = _escape(runs, axis, across, edge)
    bands = {metric: _bands(runs, metric, axis, across, edge) for metric in TITLES}
    ordered = [
        bands["loss"],
        escape,
        bands["gradient_norm"],
        bands["min_eigenvalue"],
    ]
    best = _best_first(runs, axis)
    return [
        replace(panel, best_first=best) for panel in ordered if panel is not None
    ]


def _best_first(runs: Runs, axis: str) -> list[str]:
    """Methods by how soon their seeds escape, and then by their last median loss."""
    end = max(
        (curves.staying[axis][0][-1] for curves in runs.values() if curves.staying),
        default=0,
    )

    def merit(method: str) -> tuple[float, float]:
        curves = runs[method]
        if curves.staying:
            times, shares = curves.staying[axis]
        else:
            times = np.zeros(1)
            shares = np.zeros(1)
        if "loss" in curves.bands:
            loss = curves.bands["loss"].middle[-1]
        else:
            loss = np.inf
        return step_area(np.append(times, end), shares), float(loss)

    return sorted(runs, key=merit)


def _escape(runs: Runs, axis: str, across: Axis, edge: float) -> Panel | None:
    staying = {
        method: curves.staying[axis]
        for method, curves in runs.items()
        if curves.staying
    }
    if not staying:
        return None
    traces = [
        Trace(np.maximum(times, edge), shares, method, style="step")
        for method, (times, shares) in staying.items()
    ]
    note = "The share of seeds that have not escaped (Kaplan-Meier)."
    upright = Axis("share of seeds", range=SHARES)
    return Panel("escape", "Still at the saddle", across, upright, traces, [note])


def _bands(
    runs: Runs, metric: str, axis: str, across: Axis, edge: float
) -> Panel | None:
    bands = {
        name: each.bands[metric]
        for name, each in runs.items()
        if metric in each.bands
    }
    if not bands:
        return None
    limits = window(bands, metric)
    traces = []
    notes = [BANDS]
    if metric == "min_eigenvalue":
        notes.append("It is negative at a saddle.")
    for method, each in bands.items():
        shown = limits.cut(each)
        x = np.maximum(each.used[axis], edge)
        traces.append(
            Trace(x, shown.middle, method, low=shown.low, high=shown.high)
        )
        switch = runs[method].switch
        if switch is not None:
            traces.append(_diamond(method, switch[axis], x, shown.middle))
    if any(trace.symbol == "diamond-open" for trace in traces):
        notes.append(
            "Diamond: half of the seeds had switched to the second optimizer."
        )
    title, unit = TITLES[metric]
    upright = Axis(unit, "log" if limits.is_log else "linear", limits.range)
    if limits.off_scale:
        findings = [f"Off the scale: {', '.join(limits.off_scale)}."]
    else:
        findings = []
    return Panel(metric, title, across, upright, traces, notes, findings)


def _diamond(method: str, at: float, x: Floats, y: Floats) -> Trace:
    """A mark on the curve where the optimizer changes."""
    before = np.flatnonzero(x <= at)
    height = y[before[-1] if len(before) else 0]
    label = f"{method} switches"
    shape: Symbol = "diamond-open"
    return Trace(
        [at],
        [height],
        method,
        label,
        "points",
        symbol=shape,
        size=9,
        in_legend=False,
    )
