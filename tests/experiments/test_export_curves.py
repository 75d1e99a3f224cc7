"""Curves as files: every format holds the same numbers."""

import csv

import numpy as np
import pyarrow.parquet as pq
import pytest

from sfnbench import Store
from sfnbench.errors import StoreError
from sfnbench.experiments.export_curves import export_curves
from sfnbench.records import Result, Run, Spec


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "out", create=True) as store:
        for label in ("A", "=B"):
            spec = Spec("o", label, {"label": label}, "")
            run = Run("s", "race", Spec("p", "P", {}, ""), spec, (3, 5), {})
            rows = tuple({"seed": seed} for seed in (3, 5))
            series = {
                "loss": np.array([[4.0, 1.0], [9.0, np.nan]]),
                "loss.step": np.array([[0.0, 2.0], [0.0, np.nan]]),
                "seconds": np.array([[0.0, 0.1, 0.2], [0.0, 0.3, np.nan]]),
            }
            store.put(Result(run, "ok", rows, series))
        yield store


def test_csv(store, tmp_path):
    assert export_curves(store, tmp_path / "c.csv") == 10
    with (tmp_path / "c.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["loss"] for row in rows[:5]] == ["4.0", "", "1.0", "9.0", ""]
    assert [row["step"] for row in rows[:5]] == ["0", "1", "2", "0", "1"]
    assert rows[-1]["optimizer"] == "'=B"  # no formula


def test_parquet(store, tmp_path):
    assert export_curves(store, tmp_path / "c.parquet") == 10
    table = pq.read_table(tmp_path / "c.parquet").to_pydict()
    np.testing.assert_array_equal(table["loss"][:5], [4, np.nan, 1, 9, np.nan])
    assert table["seed"] == [3, 3, 3, 5, 5] * 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c.parquet", "out"]


def test_another_format_is_refused(store, tmp_path):
    with pytest.raises(
        StoreError, match="no format of curves is called '\\.jsonl'"
    ):
        export_curves(store, tmp_path / "c.jsonl")
