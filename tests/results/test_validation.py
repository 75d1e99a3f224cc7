"""Damaged results: whatever the bytes, the JSON and its types, one message, and the rest is
read."""

import json
import random
import sqlite3
from contextlib import closing
from dataclasses import asdict

import numpy as np
import pytest

from sfnbench import Store
from sfnbench.errors import DamagedError, StoreError
from sfnbench.experiments.race.at_budget import at_budget
from sfnbench.experiments.summary import summary
from sfnbench.records import Result, Run, Spec
from sfnbench.results.export import flat_rows
from sfnbench.results.packing import pack
from sfnbench.results.tables import render
from sfnbench.results.validation import read_run

DEEP = "[" * 100_000 + "]" * 100_000
NESTED = "[" * 500 + "]" * 500
FACTS = {
    "n_parameters": 2,
    "has_saddle": True,
    "bounded_below": True,
    "measures": ["error"],
}
ROW = {
    "seed": 0,
    "status": "ok",
    "steps": 2,
    "escape_step": 1,
    "final_loss": 0.5,
    "error": 0.1,
}


def race(label="sfn"):
    problem, method = (
        Spec("p", "saddle", {}, ""),
        Spec("o", label, {"lr": 0.1}, label),
    )
    run = Run("toy", "race", problem, method, (0,), {"budget": {"steps": 2}})
    grid = np.arange(3.0)[None]
    series = {"loss": grid, "loss.step": grid, "seconds": grid}
    for kind in ("loss", "grad", "hvp", "hessian"):
        series |= {f"calls.{kind}": grid, f"passes.{kind}": grid}
    return Result(run, "ok", (ROW,), series, {"problem": FACTS, "commit": "abc"})


@pytest.fixture
def folder(tmp_path):
    with Store(tmp_path / "runs", create=True) as store:
        for label in ("sfn", "msgd"):
            store.put(race(label))
    return tmp_path / "runs"


def change(folder, column, value, table="runs"):
    """Write a value into that column of one of the two results."""
    with closing(sqlite3.connect(folder / "results.sqlite")) as db, db:
        db.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = 1", (value,))


def read(folder):
    """Read all that can be in every way: labels of the whole, and reasons for the rest."""
    damaged, found = [], []
    with Store(folder) as store:
        for each in (store.results, store.summaries):
            results = list(each(damaged=damaged.append))
            found.append([result.run.method.label for result in results])
            for style in ("plain", "json"):
                render(summary(results), style).encode()
        render(
            at_budget(store.results(damaged=lambda error: None), "cost", 1.0),
            "plain",
        )
        flat_rows(store, damaged=lambda error: None)
    return found, [str(error) for error in damaged]


def test_a_sound_folder_is_read_whole(folder):
    assert read(folder) == ([["sfn", "msgd"]] * 2, [])


@pytest.mark.parametrize(
    ("column", "value", "why"),
    [
        ("rows", "{}", "its rows are {}, not a list"),
        ("rows", "3", "its rows are 3, not a list"),
        ("rows", '["x"]', "its row 0 is 'x', not a mapping"),
        ("rows", "[[]]", "its row 0 is [], not a mapping"),
        ("rows", "[{}]", "its row 0 lacks seed"),
        ("rows", "[", "Expecting value"),
        ("rows", DEEP, "its rows is nested too deeply"),
        (
            "rows",
            json.dumps([{**ROW, "extra": json.loads(NESTED)}]),
            "nested more than",
        ),
        (
            "rows",
            json.dumps([{**ROW, "status": "fine"}]),
            "its rows have the status 'fine'",
        ),
        (
            "rows",
            json.dumps([{**ROW, "steps": "9"}]),
            "steps '9', not a whole number or null",
        ),
        (
            "rows",
            json.dumps([{**ROW, "steps": True}]),
            "steps True, not a whole number or null",
        ),
        (
            "rows",
            json.dumps([{**ROW, "final_loss": [1]}]),
            "final_loss [1], not a number or null",
        ),
        ("rows", json.dumps([{**ROW, "cost": 10**400}]), "not a number or null"),
        (
            "rows",
            json.dumps([{**ROW, "error": "x"}]),
            "its row 0 has error 'x', not a number",
        ),
        (
            "rows",
            json.dumps([{**ROW, "end_point": "\ud800"}]),
            "its rows is not valid Unicode",
        ),
        ("environment", "[]", "its environment is [], not a mapping"),
        ("environment", '{"problem": 3}', "its problem: 3"),
        (
            "environment",
            '{"problem": {"n_parameters": "2"}}',
            "its problem's n_parameters is '2'",
        ),
        ("environment", '{"problem": {"measures": [1]}}', "its measures: [1]"),
        (
            "environment",
            '{"problem": {"measures": 1}}',
            "its problem's measures is 1",
        ),
        (
            "environment",
            '{"problem": {"has_saddle": 1}}',
            "its problem's has_saddle is 1",
        ),
        ("environment", '{"prices": {"grad": "x"}}', "its prices"),
        ("environment", '{"commit": 3}', "its commit: 3"),
        ("environment", NESTED, "nested more than"),
        ("run", "{}", "its run lacks something"),
        ("run", "[]", "its run is no mapping"),
        ("run", "null", "its run is no mapping"),
        ("status", "splendid", "'splendid' is not a valid Status"),
        ("status", b"\xff", "is not a valid Status"),
        ("log", b"\xff\xfe", "its log is"),
        ("seconds", "long", "could not convert"),
    ],
)
def test_one_damaged_column_costs_its_own_result(folder, column, value, why):
    change(folder, column, value)
    found, messages = read(folder)
    assert found == [["msgd"]] * 2
    assert len(messages) == 2  # with its series and without
    for message in messages:
        assert "\n" not in message
        message.encode()
        assert "the result of sfn on saddle is damaged" in message
        assert why in message


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("seeds", ["a"]),
        ("settings", []),
        ("settings", {"budget": 3}),
        ("settings", {"budget": {"steps": "many"}}),
        ("settings", {"paths": [3]}),
        ("settings", {"metrics": 3}),
        ("settings", {"metrics": ["loss"]}),
        ("settings", {"metrics": [["loss", None]]}),
        ("settings", {"prices": {"grad": "dear"}}),
        ("suite", 3),
        ("problem", {"use": "p", "label": 3, "params": {}, "source": ""}),
        ("problem", {"use": "p", "label": "p", "params": [], "source": ""}),
        ("method", None),
        ("timeout_s", "long"),
        ("code", ["x"]),
    ],
)
def test_a_run_with_parts_of_a_wrong_type_is_damaged(folder, part, value):
    with closing(sqlite3.connect(folder / "results.sqlite")) as db:
        (run,) = db.execute("SELECT run FROM runs WHERE rowid = 1").fetchone()
    change(folder, "run", json.dumps({**json.loads(run), part: value}))
    found, messages = read(folder)
    assert found == [["msgd"]] * 2
    assert all(
        "the result of sfn on saddle is damaged" in message for message in messages
    )


@pytest.mark.parametrize("value", [b"\xff\xfe", None])
def test_a_label_that_is_no_text_costs_its_own_result(folder, value):
    change(folder, "optimizer", value, "places")
    found, messages = read(folder)
    assert found == [["msgd"]] * 2
    assert len(messages) == 2


def damaged_series(**changes):
    return {**race().series, **changes}


@pytest.mark.parametrize(
    ("series", "why"),
    [
        (
            damaged_series(loss=np.array([["x", "y", "z"]])),
            "its series loss holds no numbers",
        ),
        (
            damaged_series(loss=np.zeros((2, 3))),
            "its series loss has another number of rows",
        ),
        (damaged_series(loss=np.zeros(3)), "another number of rows"),
        (
            damaged_series(loss=np.zeros((1, 2))),
            "its series loss.step fits no values",
        ),
        (
            damaged_series(**{"loss.step": np.array([[0.0, 1, 9]])}),
            "steps that were not made",
        ),
        (
            damaged_series(**{"calls.grad": np.zeros((1, 2))}),
            "another length than seconds",
        ),
        (
            {"loss": np.zeros((1, 3)), "loss.step": np.zeros((1, 3))},
            "steps that were not made",
        ),
    ],
)
def test_series_that_fit_no_rows_cost_the_series_alone(folder, series, why):
    change(folder, "npz", pack(series), "series")
    damaged = []
    with Store(folder) as store:
        partial = list(store.results(damaged=damaged.append, is_partial=True))
        assert [result.run.method.label for result in store.summaries()] == [
            "sfn",
            "msgd",
        ]
    assert [sorted(result.series)[:1] for result in partial] == [[], ["calls.grad"]]
    assert len(damaged) == 1
    assert why in str(damaged[0])


def test_bytes_at_random_are_one_message_or_what_was_there(folder):
    """Bytes of every text and of the series are replaced, 300 times over."""
    rng = random.Random(0)
    with closing(sqlite3.connect(folder / "results.sqlite")) as db:
        columns = ("run", "rows", "environment", "status", "log")
        texts = dict(
            zip(
                columns,
                db.execute(f"SELECT {', '.join(columns)} FROM runs").fetchone(),
                strict=True,
            )
        )
        (npz,) = db.execute("SELECT npz FROM series").fetchone()
    for _ in range(300):
        column = rng.choice([*columns, "npz"])
        whole = npz if column == "npz" else texts[column].encode()
        cut = bytearray(whole or b"x")
        for _ in range(rng.choice((1, 3))):
            cut[rng.randrange(len(cut))] = rng.randrange(256)
        table = "series" if column == "npz" else "runs"
        value = (
            bytes(cut)
            if column == "npz"
            else cut.decode("utf-8", "surrogateescape")
        )
        with closing(sqlite3.connect(folder / "results.sqlite")) as db, db:
            as_text = "?" if column == "npz" else "CAST(? AS TEXT)"
            db.execute(
                f"UPDATE {table} SET {column} = {as_text} WHERE rowid = 1",
                (bytes(cut),),
            )
        found, _ = read(folder)
        assert all("msgd" in labels for labels in found), (column, value)
        change(folder, column, whole if column == "npz" else texts[column], table)


def test_a_result_asked_for_by_its_id_says_what_is_wrong(folder):
    change(folder, "rows", "3")
    with (
        Store(folder) as store,
        pytest.raises(DamagedError, match="its rows are 3, not a list"),
    ):
        store.get(race("sfn").run.id)


def test_rows_of_an_older_format_lack_no_column(folder):
    change(folder, "rows", json.dumps([{"seed": 0, "status": "diverged"}]))
    with Store(folder) as store:
        (row,) = store.get(race("sfn").run.id).rows
    assert (row["escape_step"], row["not_finite"]) == (None, None)


def test_columns_of_former_names_are_read_under_those_of_today(folder):
    old = {**ROW, "dwell_steps": 3, "n_lanes": 8}
    change(folder, "rows", json.dumps([old]))
    with Store(folder) as store:
        (row,) = store.get(race("sfn").run.id).rows
    assert (row["steps_near"], row["n_sharing"]) == (3, 8)
    assert "dwell_steps" not in row


@pytest.mark.parametrize(
    "settings", [{}, {"energy": 3, "cut_off": 1.0}, {"energy": "loss"}]
)
def test_a_search_has_an_energy_and_a_cut_off(settings):
    problem = Spec("p", "p", {}, "")
    run = Run("s", "critical_points", problem, problem, (0,), settings)
    with pytest.raises(ValueError, match=r"its (energy|cut_off)"):
        read_run(json.dumps(asdict(run)))


def test_a_schema_that_is_no_text_is_one_line(folder):
    file = folder / "results.sqlite"
    with closing(sqlite3.connect(file)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        db.execute("PRAGMA journal_mode = DELETE")
    data = file.read_bytes()
    assert b"CREATE TABLE series" in data
    file.write_bytes(
        data.replace(b"CREATE TABLE series", b"CREATE TABLE s\xccries")
    )
    with pytest.raises(StoreError) as found:
        Store(folder)
    assert len(str(found.value).splitlines()) == 1
