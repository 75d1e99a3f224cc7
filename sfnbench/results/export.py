"""Results as flat tables for other programs: csv, jsonl, parquet."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..environment import install_hint
from ..errors import StoreError
from ..records import Result, columns
from ..words import did_you_mean
from .cells import no_formula
from .encoding import to_json
from .store import Damaged, Store
from .writing import written_whole

FlatRow = dict[str, Any]

# Of the run, then of its rows. What else rows hold comes after these.
CIRCUMSTANCES = (
    "suite",
    "experiment",
    "problem",
    "problem_label",
    "problem_params",
    "optimizer",
    "label",
    "optimizer_params",
)
COLUMNS = (
    *CIRCUMSTANCES,
    "seed",
    "status",
    "steps",
    "start_loss",
    "final_loss",
    "best_loss",
    "escape_step",
    "escape_seconds",
    "escape_cost",
    "seconds",
    "cost",
    "n_loss",
    "n_grad",
    "n_hvp",
    "n_hessian",
    "gradient_norm",
    "min_eigenvalue",
    "min_eigenvalue_residual",
    "index_fraction",
    "end_point",
    "device",
    "dtype",
    "commit",
    "run_id",
)


def flat_rows(
    store: Store, current: bool = True, damaged: Damaged | None = None
) -> list[FlatRow]:
    """One flat row per run and seed (or point, or timing).

    `COLUMNS`, then whatever else the rows hold; None is empty.

    A run that broke as a whole still has a row per seed, with its status and no numbers. A result
    that cannot be read ends it with its DamagedError, unless `damaged` takes that and the rest
    follows.
    """
    flat = [
        row
        for result in store.summaries(current, damaged)
        for row in _rows_of(result)
    ]
    blank = dict.fromkeys([*COLUMNS, *(name for row in flat for name in row)])
    return [{**blank, **row} for row in flat]


def export(
    store: Store,
    path: Path | str,
    current: bool = True,
    damaged: Damaged | None = None,
) -> int:
    """Write the `rows` to a .csv, .jsonl or .parquet file, whole or not at all; says how many.

    csv: an empty cell is None; nan and inf are text; text that a spreadsheet would take for a
    formula has an apostrophe before it. jsonl: NaN and Infinity as Python, pandas and
    DuckDB read them.
    """
    path = Path(path)
    write = WRITERS.get(path.suffix.lower())
    if write is None:
        raise StoreError(
            f"{path}: no format is called {path.suffix!r}{did_you_mean(path.suffix, WRITERS)}"
        )
    table = flat_rows(store, current, damaged)
    with written_whole(path) as partial:
        write(table, partial)
    return len(table)


def _rows_of(result: Result) -> list[FlatRow]:
    run = result.run
    method = result.run.method
    circumstances = {
        "suite": run.suite,
        "experiment": run.experiment,
        "problem": run.problem.use,
        "problem_label": run.problem.label,
        "problem_params": to_json(run.problem.params),
        "optimizer": method.use,
        "label": method.label,
        "optimizer_params": to_json(method.params),
        "device": run.device,
        "dtype": run.dtype,
        "commit": result.environment.get("commit"),
        "run_id": run.id,
    }
    own: Sequence[Mapping[str, Any]] = result.rows or [
        {"seed": seed} for seed in run.seeds
    ]
    # A timing has a dtype of its own.
    return [{"status": result.status, **circumstances, **row} for row in own]


# -- formats ---------------------------------------------------------------------------------------


def _write_csv(table: list[FlatRow], path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        names = list(table[0]) if table else COLUMNS
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(map(no_formula, names))
        writer.writerows([_in_csv(row[name]) for name in names] for row in table)


def _in_csv(value: Any) -> Any:
    flat = _flat(value)
    return no_formula(flat) if isinstance(flat, str) else flat


def _write_jsonl(table: list[FlatRow], path: Path) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in table)


def _write_parquet(table: list[FlatRow], path: Path) -> None:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise StoreError(
            f"{path.suffix} needs the package pyarrow: {install_hint('parquet')}"
        ) from None
    names = list(table[0]) if table else COLUMNS
    arrays = {
        name: arrow_column(pa, name, [_flat(row.get(name)) for row in table])
        for name in names
    }
    pq.write_table(pa.table(arrays), path)


def arrow_column(pa: Any, name: str, values: list[Any]) -> Any:
    """Values as a column of pyarrow's, of the type that the name stands for, else of their own."""
    own = _type_of(name)
    if own:
        wanted = {str: pa.string(), int: pa.int64(), float: pa.float64()}[own]
    else:
        wanted = None
    for kind in (wanted, None):  # None: as the values suggest
        try:
            return pa.array(values, kind)
        except (pa.ArrowInvalid, pa.ArrowTypeError):
            continue
    return pa.array(
        [value if value is None else str(value) for value in values], pa.string()
    )


def _type_of(name: str) -> type | None:
    """The type of a stated column, whatever its values; None of those that rows add."""
    if name not in COLUMNS:
        return None
    return columns("race").get(name, (str,))[0]


def _flat(value: Any) -> Any:
    if isinstance(value, dict | list | tuple):
        return to_json(value)
    return value


WRITERS: dict[str, Callable[[list[FlatRow], Path], None]] = {
    ".csv": _write_csv,
    ".jsonl": _write_jsonl,
    ".parquet": _write_parquet,
}
