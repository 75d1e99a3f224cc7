"""Curves as a file: csv or parquet, a row per run, seed and step."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from ..environment import install_hint
from ..errors import StoreError
from ..results.cells import no_formula
from ..results.store import Damaged, Store
from ..results.writing import written_whole
from ..words import did_you_mean
from .curves import CurveBlock, blocks, column_names, curve_column

Writing = Callable[[Iterable[CurveBlock], Sequence[str], Path], int]


def export_curves(
    store: Store, path: Path | str, damaged: Damaged | None = None
) -> int:
    """Write all curves to a .csv or .parquet file, whole or not at all; says how many rows.

    One result at a time is in memory. Columns are those of `curves.blocks`.
    """
    path = Path(path)
    write = CURVE_WRITERS.get(path.suffix.lower())
    if write is None:
        hint = did_you_mean(path.suffix, CURVE_WRITERS)
        raise StoreError(
            f"{path}: no format of curves is called {path.suffix!r}{hint}"
        )
    names = column_names(blocks(store.results(damaged=damaged)))
    known_damage: list[Any] = []  # damage was said when the columns were looked for
    with written_whole(path) as partial:
        return write(
            blocks(store.results(damaged=known_damage.append)), names, partial
        )


# -- formats ---------------------------------------------------------------------------------------


def _curves_to_csv(
    found: Iterable[CurveBlock], names: Sequence[str], path: Path
) -> int:
    n = 0
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        for block in found:
            columns = [_in_cells(curve_column(block, name)) for name in names]
            writer.writerows(zip(*columns, strict=True))
            n += len(columns[0])
    return n


def _in_cells(values: list[Any]) -> list[Any]:
    """As a spreadsheet may read them: what was not measured is empty."""
    if values and isinstance(values[0], str):
        return [no_formula(values[0])] * len(values)
    return ["" if value != value else value for value in values]


def _curves_to_parquet(
    found: Iterable[CurveBlock], names: Sequence[str], path: Path
) -> int:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise StoreError(
            f".parquet needs pyarrow: {install_hint('parquet')}"
        ) from None
    n = 0
    texts = ("suite", "experiment", "problem", "optimizer", "run_id")
    counts = ("seed",)
    kinds = {name: pa.string() for name in texts} | {
        name: pa.int64() for name in counts
    }
    schema = pa.schema([(name, kinds.get(name, pa.float64())) for name in names])
    with pq.ParquetWriter(path, schema) as writer:
        for block in found:
            columns = {name: curve_column(block, name) for name in names}
            writer.write_table(pa.table(columns, schema=schema))
            n += len(columns["seed"]) if names else 0
    return n


CURVE_WRITERS: dict[str, Writing] = {
    ".csv": _curves_to_csv,
    ".parquet": _curves_to_parquet,
}
