"""The tables of a search for critical points: finders, cut-offs, controls, starts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ...records import PointRow, Result
from ...results import cells
from ...results.cells import Cell, Spread, TableEntry, optional_cell
from ...results.tables import Table
from ...survival.intervals import proportion
from ...theory.landscapes import Landscape, theory_of
from .analysis import (
    CUT_OFFS,
    Column,
    Correlation,
    Rows,
    column,
    correlation,
    distances,
    distinct,
    is_flat,
    ordinate_of,
    passes,
    rms,
    run_title,
)
from .by_index import by_index

STRONG = 0.5  # a correlation of start points from which it explains that of critical points


def table(result: Result, spread: Spread = "range") -> Table:
    """One row: how many starts converged, into how many distinct points, how far from theory."""
    run = result.run
    rows = result.points
    line: dict[str, TableEntry] = {
        "problem": run.problem.label,
        "finder": run.method.label,
    }
    if not rows:
        return [{**line, "starts": str(result.status)}]
    found = distinct(rows)
    line["starts"] = len(rows)
    line["converged"] = flag_share([row["converged"] for row in rows])
    line["gradient-flat"] = sum(map(is_flat, rows))
    line["distinct"] = len(found)
    line["as known"] = _count(
        [row["known"] for row in rows if row["known"] is not None]
    )
    if "index" in run.method.params:
        asked = run.method.params["index"]
        ends = [row for row in rows if row["converged"]]
        line["index as asked"] = _count([row["index"] == asked for row in ends])
    predicted = [row for row in rows if row["predicted_index"] is not None]
    line["index as predicted"] = _count(
        [row["predicted_index"] == row["index_strict"] for row in predicted]
    )
    line["energy"] = _range_cell(found, "energy")
    line["alpha"] = _range_cell(found, "alpha")
    line["Spearman"] = _as_cell(correlation(found, ordinate_of(result)))
    by_energy, by_centre = distances(result)
    line["alpha - theory, rms"] = optional_cell(by_energy, ".4f")
    line["at measured centre"] = optional_cell(by_centre, ".4f")
    line["Hessians a start"] = Cell(
        float(np.mean([row["n_hessian"] for row in rows])), form=".1f"
    )
    line["seconds a start"] = Cell(
        float(np.mean([row["seconds"] for row in rows])), form=".2g"
    )
    return [line]


def flag_share(flags: Sequence[bool]) -> Cell | None:
    """``count/all (low-high)``, the interval Wilson's of 95 %; None of none."""
    if not flags:
        return None
    _, low, high = proportion(np.array(flags))
    return cells.share(sum(flags), len(flags), low, high)


def _count(flags: Sequence[bool]) -> Cell | None:
    if flags:
        return cells.share(sum(flags), len(flags))
    return None


def _range_cell(rows: Rows, name: Column) -> Cell | None:
    values = column(rows, name)
    values = values[np.isfinite(values)]
    if not len(values):
        return None
    return Cell(
        low=float(values.min()), high=float(values.max()), pattern=cells.RANGE
    )


def _as_cell(measured: Correlation) -> Cell | None:
    if not measured.is_known:
        return None
    value = measured.value
    low = measured.low
    high = measured.high
    return Cell(value, low, high, form=".3f", brackets="its 95 % interval")


def cut_offs(result: Result) -> Table:
    """How the picture changes with the cut-off: ends that pass, distinct ones, correlation.

    Gradient-flat ends pass by their small gradient, as in the literature; how many distinct points
    there are without them is beside.
    """
    energy = ordinate_of(result)
    lines = []
    for cut_off in CUT_OFFS:
        passed = [row for row in result.points if passes(row, cut_off)]
        found = distinct(result.points, cut_off)
        line: dict[str, TableEntry] = {"|grad|^2 below": Cell(cut_off, form="g")}
        line["ends"] = flag_share([passes(row, cut_off) for row in result.points])
        line["of them flat"] = sum(map(is_flat, passed))
        line["distinct"] = len(found)
        line["of them not flat"] = sum(not is_flat(row) for row in found)
        line["alpha"] = _range_cell(found, "alpha")
        line["Spearman"] = _as_cell(correlation(found, energy))
        lines.append(line)
    return lines


def by_start(result: Result) -> Table:
    """Where theory is: how each kind of start samples.

    `outwards` is how much further from 0 than theory centres lie; `of it at least` is what the
    centre of one energy varies by in so many dimensions, by theory. Theory counts all critical
    points of an energy alike; a search prefers some, by where it starts.
    """
    theory = theory_of(result.run.problem.use, result.run.problem.params)
    if theory is None:
        return []
    dim = result.run.problem.params["dim"]
    lines = []
    for kind, path in dict.fromkeys(
        (row["start"], row["path"]) for row in result.points
    ):
        rows = [
            row
            for row in result.points
            if (row["start"], row["path"]) == (kind, path)
        ]
        found = distinct(rows)
        line: dict[str, TableEntry] = {
            "start": kind if path is None else _path(result, path)
        }
        line["converged"] = flag_share([row["converged"] for row in rows])
        line["distinct"] = len(found)
        if found:
            line |= _against_theory(found, theory, theory.centre_spread(dim))
        lines.append(line)
    return lines


def _path(result: Result, path: int) -> str:
    """A path of the suite by its optimizer, the numbers of that and its direction."""
    chosen = result.run.settings["paths"][path]
    params: dict[str, Any] = chosen["optimizer"]["params"]
    numbers = [
        f"{k}={v:g}" for k, v in params.items() if isinstance(v, int | float)
    ]
    return f"{chosen['optimizer']['label']} {', '.join(numbers)}{' up' if chosen['up'] else ''}"


def _against_theory(
    found: list[PointRow], theory: Landscape, least: float
) -> dict[str, TableEntry]:
    alpha = column(found, "alpha")
    energy = column(found, "energy")
    centre = column(found, "centre")
    expected = theory.centre(energy)
    outwards = float(np.mean(np.sign(expected) * (centre - expected)))
    return {
        "energy": _range_cell(found, "energy"),
        "alpha - theory, rms": optional_cell(
            rms(alpha - theory.alpha(energy)), ".4f"
        ),
        "centre - theory, rms": optional_cell(rms(centre - expected), ".4f"),
        "of it at least": optional_cell(least, ".4f"),
        "outwards": optional_cell(outwards, ".4f"),
    }


def controls(result: Result) -> Table:
    """The same correlation by how points were found, and of other ends and of the starts."""
    energy = ordinate_of(result)
    start_energy: Column = "start_energy" if energy == "energy" else "start_loss"
    rows = result.points
    found = distinct(rows)
    sets: dict[str, tuple[Rows, Column, Column]] = {
        "distinct critical points": (found, energy, "alpha"),
        "of them found in the whole": (_in_subspace(found, False), energy, "alpha"),
        "of them padded with dead units": (
            _in_subspace(found, True),
            energy,
            "alpha",
        ),
        "ends that have not converged": (
            [row for row in rows if not row["converged"]],
            energy,
            "alpha",
        ),
        "start points, before any search": (rows, start_energy, "start_alpha"),
    }
    lines = []
    for name, (some, ordinate, abscissa) in sets.items():
        if some:
            measured = correlation(some, ordinate, abscissa)
            line: dict[str, TableEntry] = {"what": name, "points": measured.n}
            line["Spearman"] = _as_cell(measured)
            line["alpha"] = _range_cell(some, abscissa)
            lines.append(line)
    return lines


def _in_subspace(rows: Rows, is_in: bool) -> list[PointRow]:
    return [row for row in rows if (row["subspace"] is not None) == is_in]


def findings(result: Result) -> str:
    """Whether a rising curve of energy against alpha survives the controls, in plain words."""
    energy = ordinate_of(result)
    found = distinct(result.points)
    points = correlation(found, energy)
    start = correlation(
        result.points,
        "start_energy" if energy == "energy" else "start_loss",
        "start_alpha",
    )
    n_flat = sum(map(is_flat, result.points))
    n_other = sum(row["end_point"] == "not critical" for row in result.points)
    sentences = [
        f"{points.n} distinct critical points; {n_flat} ends are gradient-flat and {n_other} are"
        " not critical."
    ]
    if points.is_known:
        if points.low <= 0 <= points.high:
            doubt = ", an interval that holds zero"
        else:
            doubt = ""
        sentences.append(
            f"Over the critical points energy and alpha correlate by {points}{doubt}."
        )
    if start.is_known:
        sentences.append(
            f"Over the start points, which are not critical, energy and alpha correlate by {start}."
        )
    if start.is_known and start.value > STRONG:
        sentences.append(
            "A curve that rises is therefore no evidence of critical points by itself,"
            " nor of random matrices."
        )
    n_dead = len(_in_subspace(found, True))
    if n_dead:
        sentences.append(
            f"{n_dead} of the distinct points are narrower networks padded with dead units,"
            " which alone raises alpha."
        )
    return " ".join(sentences)


def tables(results: Iterable[Result]) -> dict[str, Table]:
    """Every table of the report by its title."""
    results = list(results)
    titled: dict[str, Table] = {
        "Finders": [line for result in results for line in table(result)]
    }
    if found := by_index(results):
        titled["Found of known, by index"] = found
    for result in results:
        if result.rows:
            titled |= controlled(result)
    return titled


def controlled(result: Result) -> dict[str, Table]:
    """The tables of one run by their titles, as far as there is something in them."""
    parts = {
        "by cut-off": cut_offs(result),
        "controls": controls(result),
        "by start": by_start(result),
    }
    return {
        f"{run_title(result)}: {what}": part for what, part in parts.items() if part
    }
