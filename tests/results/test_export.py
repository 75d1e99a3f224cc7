from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from sfnbench.errors import StoreError
from sfnbench.records import Result, Run, Spec, columns
from sfnbench.results.export import COLUMNS, export, flat_rows
from sfnbench.results.store import Store

# As stated to users: the order is theirs to rely on.
STATED = [
    "suite",
    "experiment",
    "problem",
    "problem_label",
    "problem_params",
    "optimizer",
    "label",
    "optimizer_params",
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
]


def make_run(label: str, lr: float = 0.1) -> Run:
    problem = Spec("mlp", "digits", {"hidden": [5, 5], "decay": 1e-3}, "")
    chosen = Spec("torch.optim.Adam", label, {"lr": lr, "betas": [0.9, 0.999]}, "")
    return Run("toy", "race", problem, chosen, (3, 4), {})


def make_row(seed: int, **more: object) -> dict[str, object]:
    whole = dict.fromkeys(
        ("steps", "n_loss", "n_grad", "n_hvp", "n_hessian"), 2**40 + seed
    )
    real = dict.fromkeys(
        ("start_loss", "best_loss", "escape_seconds", "escape_cost", "seconds"),
        0.1 + 0.2,
    )
    more_real = {
        "gradient_norm": 1e-300,
        "min_eigenvalue": -0.0,
        "index_fraction": 1 / 3,
    }
    text = {"end_point": 'a "strict" saddle,\nor none', "status": "ok"}
    return {
        "seed": seed,
        "final_loss": math.pi,
        "escape_step": 7,
        **whole,
        **real,
        **more_real,
        **text,
        **more,
    }


@pytest.fixture
def store(tmp_path: Path):
    with Store(tmp_path / "runs", create=True) as store:
        numbers = (
            make_row(3, test_error=0.25),
            make_row(4, final_loss=math.inf, escape_step=None, status="diverged"),
        )
        nan = (
            make_row(
                3, final_loss=math.nan, best_loss=-math.inf, extra=[1, {"a": None}]
            ),
            make_row(4),
        )
        store.put(
            Result(
                make_run("Adam"), "diverged", numbers, environment={"commit": "abc"}
            )
        )
        store.put(Result(make_run("Adäm", lr=0.2), "ok", nan))
        yield store


def test_columns_are_the_stated_ones_in_that_order_then_the_rows_own(
    store: Store,
) -> None:
    assert list(COLUMNS) == STATED
    for row in flat_rows(store):
        assert list(row)[: len(STATED)] == STATED
        assert set(row) == {*STATED, *columns("race"), "test_error", "extra"}


def test_a_row_per_run_and_seed(store: Store) -> None:
    first, second, third, _ = flat_rows(store)
    run = make_run("Adam")
    assert (
        first["suite"],
        first["experiment"],
        first["problem"],
        first["problem_label"],
    ) == (
        "toy",
        "race",
        "mlp",
        "digits",
    )
    assert (first["optimizer"], first["label"]) == ("torch.optim.Adam", "Adam")
    assert json.loads(first["optimizer_params"]) == {
        "lr": 0.1,
        "betas": [0.9, 0.999],
    }
    assert first["problem_params"] == '{"hidden":[5,5],"decay":0.001}'
    assert (first["device"], first["dtype"], first["commit"], first["run_id"]) == (
        "cpu",
        "float64",
        "abc",
        run.id,
    )
    assert [(row["seed"], row["status"]) for row in (first, second)] == [
        (3, "ok"),
        (4, "diverged"),
    ]
    assert (second["escape_step"], second["test_error"]) == (None, None)
    assert (third["label"], third["commit"]) == ("Adäm", None)
    assert json.loads(third["optimizer_params"])["lr"] == 0.2


def test_a_run_that_broke_has_a_row_per_seed_without_numbers(
    tmp_path: Path,
) -> None:
    with Store(tmp_path, create=True) as store:
        store.put(Result(make_run("x"), "timeout", log="stopped"))
        table = flat_rows(store)
    assert [(row["seed"], row["status"], row["label"]) for row in table] == [
        (3, "timeout", "x"),
        (4, "timeout", "x"),
    ]
    assert all(row[name] is None for row in table for name in STATED[10:26])


def test_superseded_results_are_left_out_unless_wanted(store: Store) -> None:
    changed = Run(
        "toy",
        "race",
        make_run("Adam").problem,
        Spec("sgd", "Adam", {}, ""),
        (0,),
        {},
    )
    store.put(Result(changed, "ok", ({"seed": 0},)))
    assert {row["run_id"] for row in flat_rows(store)} == {
        changed.id,
        make_run("Adäm", lr=0.2).id,
    }
    assert len(flat_rows(store, current=False)) == 5


def same(a: object, b: object) -> bool:
    # NaN equals NaN, and 1 differs from 1.0
    return type(a) is type(b) and repr(a) == repr(b)


def test_jsonl_comes_back_exactly(store: Store, tmp_path: Path) -> None:
    assert export(store, tmp_path / "x.jsonl") == 4
    back = [
        json.loads(line) for line in (tmp_path / "x.jsonl").read_text().splitlines()
    ]
    assert same(back, flat_rows(store))


def as_csv(value: object) -> str:
    return (
        ""
        if value is None
        else json.dumps(value, separators=(",", ":"))
        if isinstance(value, list)
        else str(value)
    )


def test_csv_comes_back_exactly(store: Store, tmp_path: Path) -> None:
    assert export(store, str(tmp_path / "x.CSV")) == 4
    with (tmp_path / "x.CSV").open(newline="", encoding="utf-8") as file:
        back = list(csv.DictReader(file))
    expected = flat_rows(store)
    assert back == [
        {name: as_csv(value) for name, value in row.items()} for row in expected
    ]
    for name in ("final_loss", "best_loss", "gradient_norm", "min_eigenvalue"):
        assert [repr(float(row[name])) for row in back] == [
            repr(row[name]) for row in expected
        ]
    assert {row["final_loss"] for row in back} > {"inf", "nan"}


def test_parquet_comes_back_exactly_with_types_that_do_not_depend_on_the_values(
    store: Store, tmp_path: Path
) -> None:
    assert export(store, tmp_path / "x.parquet") == 4
    table = pq.read_table(tmp_path / "x.parquet")
    expected = [
        {**row, "extra": row["extra"] and '[1,{"a":null}]'}
        for row in flat_rows(store)
    ]
    assert same(table.to_pylist(), expected)
    kinds = {name: str(table.schema.field(name).type) for name in STATED}
    assert (kinds["escape_step"], kinds["escape_cost"], kinds["end_point"]) == (
        "int64",
        "double",
        "string",
    )
    with Store(tmp_path / "broken", create=True) as broken:
        broken.put(Result(make_run("x"), "error"))
        export(broken, tmp_path / "y.parquet")
    schema = pq.read_schema(tmp_path / "y.parquet")
    assert {name: str(schema.field(name).type) for name in STATED} == kinds


def test_values_that_disagree_about_their_type_are_written_as_text(
    tmp_path: Path,
) -> None:
    with Store(tmp_path / "runs", create=True) as store:
        own = ({"seed": 3, "mixed": 1}, {"seed": 4, "mixed": "one"})
        store.put(Result(make_run("x"), "ok", own))
        export(store, tmp_path / "x.parquet")
    table = pq.read_table(tmp_path / "x.parquet")
    assert table["mixed"].to_pylist() == ["1", "one"]


def test_misuse_is_one_message_and_harms_no_earlier_file(
    store: Store, tmp_path: Path
) -> None:
    with pytest.raises(
        StoreError, match=r"'.parket' \(did you mean '.parquet'\?\)"
    ):
        export(store, tmp_path / "x.parket")
    with pytest.raises(
        StoreError,
        match=r"no format is called '' \(known: .csv, .jsonl, .parquet\)",
    ):
        export(store, tmp_path / "x")
    with pytest.raises(
        StoreError, match=r"absent/x.csv: cannot be written \(No such file"
    ):
        export(store, tmp_path / "absent" / "x.csv")
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"cannot be written \(Not a directory"):
        export(store, tmp_path / "file" / "x.csv")


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_write_that_fails_leaves_the_earlier_file_and_nothing_else(
    store: Store, tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sfnbench.results.export import WRITERS

    path = tmp_path / f"x{suffix}"
    path.write_text("earlier")
    write = WRITERS[suffix]

    def write_and_fail(table: list[dict[str, object]], partial: Path) -> None:
        write(table, partial)
        raise OSError(28, "No space left on device")

    monkeypatch.setitem(WRITERS, suffix, write_and_fail)
    with pytest.raises(StoreError, match="No space left on device"):
        export(store, path)
    assert path.read_text() == "earlier"
    assert {p.name for p in tmp_path.iterdir()} == {"runs", path.name}


def test_parquet_without_pyarrow_says_what_to_install(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(StoreError, match=r"pip install .*\[parquet\]'"):
        export(store, tmp_path / "x.parquet")


def test_an_empty_table_still_has_its_columns(tmp_path: Path) -> None:
    with Store(tmp_path / "runs", create=True) as store:
        for suffix in (".csv", ".jsonl", ".parquet"):
            assert export(store, tmp_path / f"x{suffix}") == 0
    assert (tmp_path / "x.csv").read_text().strip().split(",") == STATED
    assert pq.read_table(tmp_path / "x.parquet").column_names == STATED
