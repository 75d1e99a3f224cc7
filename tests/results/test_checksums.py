"""One bit that flips anywhere in a file of results is said, or changes nothing that is shown."""

import random
import shutil
import sqlite3
from contextlib import closing

import pytest
from storing import make_result, make_run, same_result

from sfnbench.errors import DamagedError, StoreError
from sfnbench.results.merge import merge
from sfnbench.results.store import Store

LABELS = tuple(f"sfn {i}" for i in range(6))


@pytest.fixture
def folder(tmp_path):
    with Store(tmp_path / "runs", create=True) as store:
        for i, label in enumerate(LABELS):
            store.put(make_result(make_run(label, lr=i + 1), n=40, seed=i))
    return tmp_path / "runs"


def change(folder, statement, *values):
    with closing(sqlite3.connect(folder / "results.sqlite")) as db, db:
        db.execute("PRAGMA foreign_keys = OFF")
        db.execute(statement, values)


def without_triggers(folder):
    """As a disk changes things: nothing in the file takes notice."""
    with closing(sqlite3.connect(folder / "results.sqlite")) as db, db:
        triggers = db.execute(
            "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        )
        for (name,) in triggers.fetchall():
            db.execute(f"DROP TRIGGER {name}")


def read(folder):
    damaged = []
    with Store(folder) as store:
        results = list(store.results(damaged=damaged.append))
    return results, [str(error) for error in damaged]


def test_every_flipped_bit_is_said_or_changes_nothing(folder, tmp_path):
    """500 bits, one at a time: SQLite itself would pass over most of them."""
    content = (folder / "results.sqlite").read_bytes()
    whole, _ = read(folder)
    rng = random.Random(0)
    broken = tmp_path / "broken"
    n_said = 0
    for _ in range(500):
        shutil.rmtree(broken, ignore_errors=True)
        broken.mkdir()
        flipped = bytearray(content)
        flipped[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        (broken / "results.sqlite").write_bytes(flipped)
        try:
            results, messages = read(broken)
        except StoreError:
            n_said += 1
            continue
        n_said += bool(messages)
        known = {result.run.id: result for result in whole}
        for result in results:
            assert same_result(result, known[result.run.id])
        if not messages:
            labels = [result.run.method.label for result in results]
            assert sorted(labels) == sorted(LABELS)
    assert n_said > 100


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE runs SET rows = replace(rows, '\"seed\":1', '\"seed\":3') WHERE rowid = 2",
        "UPDATE runs SET seconds = 1.25 WHERE rowid = 2",
        "UPDATE runs SET status = 'stuck' WHERE rowid = 2",
        "UPDATE places SET optimizer = 'sgn 1' WHERE rowid = 2",
        "UPDATE places SET id = '0000000000000000' WHERE rowid = 2",
    ],
)
def test_a_value_that_changed_on_the_disk_costs_its_own_result(folder, statement):
    without_triggers(folder)
    change(folder, statement)
    results, messages = read(folder)
    assert [each.run.method.label for each in results] == [*LABELS[:1], *LABELS[2:]]
    assert len(messages) == 1
    assert "its checksum is another" in messages[0]


@pytest.mark.parametrize("table", ["runs", "places"])
def test_a_row_that_is_gone_is_said(folder, table):
    without_triggers(folder)
    change(folder, f"DELETE FROM {table} WHERE rowid = 2")
    results, messages = read(folder)
    assert [each.run.method.label for each in results] == [*LABELS[:1], *LABELS[2:]]
    assert len(messages) == 1
    assert "its row is no longer there" in messages[0]
    with (
        Store(folder) as store,
        pytest.raises(DamagedError, match="no longer there"),
    ):
        list(store.summaries())


def test_what_was_changed_on_purpose_is_no_damage(folder):
    change(folder, "UPDATE runs SET log = 'a remark' WHERE rowid = 1")
    change(folder, "UPDATE places SET optimizer = 'renamed' WHERE rowid = 2")
    change(folder, "DELETE FROM places WHERE rowid = 3")
    results, messages = read(folder)
    assert messages == []
    assert [each.run.method.label for each in results] == [
        "sfn 0",
        "renamed",
        "sfn 3",
        "sfn 4",
        "sfn 5",
    ]
    assert results[0].log == "a remark"


def without_checksums(folder):
    """As an earlier version leaves it."""
    without_triggers(folder)
    change(folder, "DROP TABLE checksums")
    change(folder, "DROP TABLE place_checksums")


def test_results_without_checksums_are_read_as_before_and_new_ones_have_theirs(
    folder,
):
    without_checksums(folder)
    before, messages = read(folder)
    assert (len(before), messages) == (6, [])
    run = make_run("late", lr=9)
    with Store(folder, create=True) as store:
        store.put(make_result(run))
        store.put(make_result(make_run("sfn 0", lr=1), seed=7))  # written again
    assert read(folder)[1] == []
    without_triggers(folder)
    change(folder, "UPDATE runs SET seconds = 2.5 WHERE id = ?", run.id)
    change(folder, "UPDATE runs SET seconds = 2.5 WHERE rowid = 3")  # an old one
    results, messages = read(folder)
    assert len(results) == 6
    assert len(messages) == 1
    assert "late on saddle" in messages[0]


def test_a_copy_keeps_the_checksums_that_its_source_has(folder, tmp_path):
    merge([folder], tmp_path / "joined")
    assert read(tmp_path / "joined")[1] == []
    without_triggers(tmp_path / "joined")
    change(tmp_path / "joined", "UPDATE runs SET seconds = 2.5 WHERE rowid = 1")
    change(tmp_path / "joined", "UPDATE places SET problem = 'p' WHERE rowid = 2")
    assert len(read(tmp_path / "joined")[1]) == 2
    merged = merge([tmp_path / "joined"], tmp_path / "again")
    assert any("the place" in line for line in merged.conflicts)
    _, messages = read(tmp_path / "again")
    assert len(messages) == 1, "what was damaged stays so"
