"""How many of a problem's known critical points a finder found, index by index."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from ...members import registry
from ...records import PointRow, Result, Run, Spec
from ...results.cells import TableEntry, optional_cell, share
from ...results.tables import Table
from .known import is_known_loss

if TYPE_CHECKING:
    from ...core.problem import Problem

Losses = Mapping[int, Sequence[float]]  # by index


def by_index(results: Iterable[Result]) -> Table:
    """A row per problem, finder and index: known losses that were found, at what cost.

    A finder of an asked index has a row for that index alone; `wrong index` counts its ends that
    have another one. A finder that takes no index has a row for each that the suite asks for, and
    that is known or found; its ends of another index are `of another index`: right, but not of the
    row.
    `others` are distinct points of the index whose loss is not a known one.
    """
    lines: list[dict[str, TableEntry]] = []
    for result in results:
        if any(row["known"] is not None for row in result.points):
            known = known_losses(result.run.problem)
            lines += [
                _index_line(result, index, known.get(index, ()))
                for index in sorted({*known, *_found(result)})
                if _is_asked(result.run, index)
            ]
    return lines


def known_losses(spec: Spec) -> Losses:
    """The losses of a problem's known critical points by index, as it states them today.

    They are its `energies`, where it has such a table, else those of its `critical_points`.
    Nothing where the problem can no longer be made.
    """
    try:
        problem: Problem = registry.build("problem", spec.use, spec.params)
        listed: Losses | None = getattr(problem, "energies", None)
        if listed:
            return listed
        points = problem.critical_points
    except Exception:
        # the problem may be of another version, of a plugin that is not here, or lack its data
        return {}
    return {
        index: [point.loss for point in points if point.index == index]
        for index in {point.index for point in points}
    }


def _found(result: Result) -> set[int]:
    """The indices of the critical points that were found."""
    found = (row["index"] for row in result.points if row["converged"])
    return {index for index in found if index is not None}


def _is_asked(run: Run, index: int) -> bool:
    """Whether a finder, or else its suite, asks for that index, or for any."""
    asked = run.method.params.get("index", run.settings.get("index", "any"))
    if isinstance(asked, int):
        return asked == index
    return asked == "any" or index in asked


def _index_line(
    result: Result, index: int, losses: Sequence[float]
) -> dict[str, TableEntry]:
    run = result.run
    rows = result.points
    ends = [row for row in rows if row["converged"] and row["index"] == index]
    levels = _distinct_losses(losses)
    n_found = sum(
        any(is_known_loss(row["loss"], each) for row in ends) for each in levels
    )
    line: dict[str, TableEntry] = {
        "problem": run.problem.label,
        "finder": run.method.label,
        "index": index,
        "found of known": share(n_found, len(levels)),
        "others": sum(_is_other(row, levels) for row in ends),
    }
    n_converged = sum(row["converged"] for row in rows)
    elsewhere = share(n_converged - len(ends), n_converged)
    if "index" in run.method.params:
        line["wrong index"] = elsewhere
    else:
        line["of another index"] = elsewhere
    n_hessians = sum(row["n_hessian"] for row in rows)
    a_point = n_hessians / n_found if n_found else None
    line["Hessians a point"] = optional_cell(a_point, ".0f")
    return line


def _is_other(row: PointRow, levels: Sequence[float]) -> bool:
    is_known = any(is_known_loss(row["loss"], each) for each in levels)
    return row["distinct"] and not is_known


def _distinct_losses(losses: Sequence[float]) -> list[float]:
    """Losses, each once: two that differ by rounding count as one."""
    kept: list[float] = []
    for loss in losses:
        if not any(is_known_loss(loss, other) for other in kept):
            kept.append(loss)
    return kept
