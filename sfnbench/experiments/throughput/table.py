"""The table of a throughput suite.

Medians over blocks with their quartiles, and whether others disturbed them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...records import Result
from ...results.tables import Table


def throughput_rows(result: Result) -> Table:
    """A row for each dtype of one run."""
    run = result.run
    names = {"problem": run.problem.label, "optimizer": run.method.label}
    return [{**names, **_row(row)} for row in result.rows or ({"status": result.status},)]


def _row(row: Mapping[str, Any]) -> dict[str, Any]:
    share, memory, warmup_s = (
        row.get("flops_share"),
        row.get("peak_memory_bytes"),
        row.get("warmup_s"),
    )
    return {
        "dtype": row.get("dtype", ""),
        "steps/s": _spread(row, "steps_per_s"),
        "samples/s": _spread(row, "samples_per_s"),
        "HVP/s": _spread(row, "hvp_per_s"),
        "gradients a step": _spread(row, "step_in_grads"),
        "gradients an HVP": _spread(row, "hvp_in_grads"),
        "of a matrix product": "" if share is None else f"{share:.1%}",
        "peak MB": "" if memory is None else f"{memory / 1e6:.0f}",
        "warm-up s": "" if warmup_s is None else f"{warmup_s:.2g}",
        "note": ", ".join(_notes(row)),
    }


def _spread(row: Mapping[str, Any], name: str) -> str:
    """``median [quartiles]``; nothing where it was not measured."""
    middle = row.get(name)
    return (
        "" if middle is None else f"{middle:.3g} [{row[f'{name}_q1']:.3g}, {row[f'{name}_q3']:.3g}]"
    )


def _notes(row: Mapping[str, Any]) -> list[str]:
    notes = [] if row["status"] == "ok" else [row["status"]]
    if row.get("disturbed"):
        notes.append(f"disturbed: others kept {row['busy_cores_of_others']:.1f} cores busy")
    if row.get("drifting"):
        notes.append(f"drifting: rates varied by {row['drift']:.0%} between blocks")
    return notes
