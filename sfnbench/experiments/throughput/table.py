"""The table of a throughput measurement: medians over blocks, and whether others disturbed them."""

from __future__ import annotations

from dataclasses import replace

from ...records import Rate, Result, Status, TimingRow, quartiles
from ...results.cells import Cell, Spread, TableEntry, optional_cell
from ...results.tables import Table

# columns in which high is good
FASTEST: dict[Rate, str] = {
    "steps_per_s": "steps/s",
    "samples_per_s": "samples/s",
    "hvp_per_s": "HVP/s",
}
IN_GRADIENTS: dict[Rate, str] = {
    "step_in_grads": "gradients a step",
    "hvp_in_grads": "gradients an HVP",
}
RIVALS = "at its dtype, among those without a note"


def table(result: Result, spread: Spread) -> Table:
    """A row for each dtype of one run; brackets hold quartiles, whatever `spread` says."""
    run = result.run
    names = {"problem": run.problem.label, "optimizer": run.method.label}
    if not result.rows:
        return [{**names, "note": str(result.status)}]
    return [{**names, **_timing_line(row)} for row in result.timings]


def _timing_line(row: TimingRow) -> dict[str, TableEntry]:
    note = ", ".join(_row_notes(row))
    line: dict[str, TableEntry] = {"dtype": row["dtype"]}
    for rate, column in FASTEST.items():
        cell = _timing(row, rate)
        if cell and cell.value is not None and not note:
            cell = replace(cell, score=-cell.value, rivals=RIVALS)
        line[column] = cell
    for rate, column in IN_GRADIENTS.items():
        line[column] = _timing(row, rate)
    memory = row["peak_memory_bytes"]
    line["of a matrix product"] = optional_cell(row["flops_share"], ".1%")
    line["peak MB"] = optional_cell(None if memory is None else memory / 1e6, ".0f")
    line["warm-up s"] = optional_cell(row["warmup_s"], ".2g")
    line["note"] = note
    return line


def _timing(row: TimingRow, rate: Rate) -> Cell | None:
    """Median and quartiles; None where it was not measured."""
    found = quartiles(row, rate)
    if found:
        return Cell(*found, form=".3g", brackets="the quartiles over blocks")
    return None


def _row_notes(row: TimingRow) -> list[str]:
    if row["status"] == Status.OK:
        notes = []
    else:
        notes = [row["status"]]
    cores, drift = row["busy_cores_of_others"], row["drift"]
    if row["disturbed"] and cores is not None:
        notes.append(f"disturbed: others kept {cores:.1f} cores busy")
    elif row["disturbed"]:
        notes.append("disturbed")
    if row["drifting"] and drift is not None:
        notes.append(f"drifting: rates varied by {drift:.0%} between blocks")
    elif row["drifting"]:
        notes.append("drifting")
    return notes
