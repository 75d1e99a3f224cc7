"""The store where things go wrong.

Two writers, kills, damage, disks that are full or may not be written.
"""

from __future__ import annotations

import itertools
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from small_disk import small_disk
from storing import make_result, make_run, same_result

from sfnbench.errors import StoreError
from sfnbench.records import FORMAT
from sfnbench.results.store import Store

# -- one writer, many readers ----------------------------------------------------------------------


def test_a_second_writer_is_told_so_and_readers_are_not_kept_out(
    tmp_path: Path,
) -> None:
    run = make_run()
    with Store(tmp_path, create=True) as writer:
        with pytest.raises(
            StoreError, match=r"another run is writing there"
        ) as raised:
            Store(tmp_path, create=True)
        assert str(tmp_path) in str(raised.value)
        writer.put(make_result(run))
        with Store(tmp_path) as reader:
            assert reader.finished(run.id)
            writer.put(make_result(make_run(lr=5)))
            assert len(reader.ids()) == 2, "a reader sees what is written meanwhile"
            with pytest.raises(StoreError, match="opened to be read"):
                reader.put(make_result(run))
    with Store(tmp_path, create=True):
        pass


WRITE_FOREVER = """
import sys; sys.path.insert(0, sys.argv[2])
from sfnbench import Store
from storing import make_run, make_result
with Store(sys.argv[1], create=True) as store:
    for i in range(10**6):
        store.put(make_result(make_run(lr=i), n=2000))
        print(i, flush=True)
"""


def test_a_kill_while_writing_loses_nothing_that_was_stored_and_frees_the_lock(
    tmp_path: Path,
) -> None:
    for attempt in range(3):
        command = [
            sys.executable,
            "-c",
            WRITE_FOREVER,
            str(tmp_path),
            str(Path(__file__).parent),
        ]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            done = [int(writer.stdout.readline()) for _ in range(40)]
            time.sleep(0.003 * attempt)
            writer.kill()
            done += [int(line) for line in writer.stdout if line.endswith("\n")]
        with Store(tmp_path, create=True) as store:
            for i in done:
                assert same_result(
                    store.get(make_run(lr=i).id),
                    make_result(make_run(lr=i), n=2000),
                )
            assert store._db.execute("PRAGMA integrity_check").fetchall() == [
                ("ok",)
            ]


@pytest.mark.parametrize("writer", ["at work", "done"])
def test_a_disk_where_nothing_may_be_written_can_be_read(
    tmp_path: Path, writer: str
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    with small_disk(disk, "4m"):
        with Store(tmp_path / "runs", create=True) as store:
            store.put(make_result(make_run()))
            if writer == "at work":
                shutil.copytree(tmp_path / "runs", disk, dirs_exist_ok=True)
        if writer == "done":
            shutil.copytree(tmp_path / "runs", disk, dirs_exist_ok=True)
        assert (disk / "results.sqlite-wal").exists() == (writer == "at work")
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        with Store(disk) as store:
            assert same_result(store.get(make_run().id), make_result(make_run()))
        with pytest.raises(StoreError, match="cannot be written to"):
            Store(disk, create=True)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_to_write_can_be_read(tmp_path: Path) -> None:
    with Store(tmp_path / "runs", create=True) as store:
        store.put(make_result(make_run()))
    (tmp_path / "runs").chmod(0o555)
    try:
        with Store(tmp_path / "runs") as store:
            assert store.finished(make_run().id)
    finally:
        (tmp_path / "runs").chmod(0o755)


# -- what can be wrong -----------------------------------------------------------------------------


def use(folder: Path, create: bool) -> None:
    with Store(folder, create=create) as store:
        list(store.results(current=False))
        store.put(make_result(make_run()))


def message(folder: Path, create: bool = False) -> str:
    with pytest.raises(StoreError) as raised:
        use(folder, create)
    text = str(raised.value)
    assert "\n" not in text
    assert str(folder) in text
    return text


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    with Store(tmp_path / "runs", create=True) as store:
        for i in range(12):
            store.put(make_result(make_run(lr=i), n=1000))
    return tmp_path / "runs"


def test_nothing_there(tmp_path: Path) -> None:
    assert "sfnbench run" in message(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    assert message(tmp_path / "empty").startswith("no results in")
    (tmp_path / "empty" / "results.sqlite").touch()
    assert message(tmp_path / "empty").startswith("no results in")
    with Store(tmp_path / "begun", create=True):
        assert message(tmp_path / "begun").startswith("no results in")
    assert {path.name for path in (tmp_path / "empty").iterdir()} == {
        "results.sqlite"
    }
    assert not (tmp_path / "absent").exists()


@pytest.mark.parametrize("create", [False, True])
def test_not_a_database(tmp_path: Path, create: bool) -> None:
    (tmp_path / "results.sqlite").write_text("loss,steps\n" * 1000)
    assert "not a results file" in message(tmp_path, create)
    assert (tmp_path / "results.sqlite").read_text().startswith("loss,steps")


@pytest.mark.parametrize("create", [False, True])
def test_somebody_elses_database(tmp_path: Path, create: bool) -> None:
    with sqlite3.connect(tmp_path / "results.sqlite") as db:
        db.execute("CREATE TABLE runs (id)")
    db.close()
    assert "not one of sfnbench's" in message(tmp_path, create)


@pytest.mark.parametrize("create", [False, True])
@pytest.mark.parametrize(
    ("version", "advice"),
    [(FORMAT + 1, "update sfnbench"), (FORMAT - 1, "choose another --out")],
)
def test_another_format(
    stored: Path, create: bool, version: int, advice: str
) -> None:
    with sqlite3.connect(stored / "results.sqlite") as db:
        db.execute(f"PRAGMA user_version = {version}")
    db.close()
    text = message(stored, create)
    assert f"has format {version}, this sfnbench reads and writes {FORMAT}" in text
    assert advice in text


def test_a_folder_that_cannot_be_made_or_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "cannot be written to" in message(
        tmp_path / "file" / "folder", create=True
    )
    assert "cannot be written to" in message(Path("/proc/sfnbench"), create=True)


def test_an_unknown_run(stored: Path) -> None:
    with (
        Store(stored) as store,
        pytest.raises(StoreError, match="no result of run nonsense"),
    ):
        store.get("nonsense")


def read_all_that_is_whole(folder: Path) -> tuple[int, int]:
    """How many of the stored results are read exactly and how many are refused.

    Anything else fails the test.
    """
    whole, refused = 0, 0
    try:
        store = Store(folder)
    except StoreError:
        return 0, 12
    with store:
        for i in range(12):
            try:
                result = store.get(make_run(lr=i).id)
            except StoreError:
                refused += 1
            else:
                assert same_result(result, make_result(make_run(lr=i), n=1000)), (
                    "damage passed unnoticed"
                )
                whole += 1
    return whole, refused


@pytest.mark.parametrize("damage", ["zeros", "ones", "cut"])
def test_damage_anywhere_is_one_message_and_spares_the_other_results(
    stored: Path, tmp_path: Path, damage: str
) -> None:
    content = (stored / "results.sqlite").read_bytes()
    page = 4096
    outcomes = []
    for start in range(0, len(content), page):
        broken = tmp_path / "broken"
        shutil.rmtree(broken, ignore_errors=True)
        broken.mkdir()
        filling = {"zeros": bytes(page), "ones": b"\xff" * page, "cut": b""}[damage]
        rest = b"" if damage == "cut" else content[start + page :]
        (broken / "results.sqlite").write_bytes(content[:start] + filling + rest)
        outcomes.append(read_all_that_is_whole(broken))
        with suppress(StoreError), Store(broken, create=True) as store:
            store.put(make_result(make_run(lr=99)))
    n_places = 4  # pages that only say what is current, or hold checksums
    assert sum(refused == 0 for _, refused in outcomes) <= n_places
    if damage != "cut":
        assert np.mean([whole for whole, _ in outcomes]) > 6, "most damage is local"


# -- no space left ---------------------------------------------------------------------------------


def fill(store: Store) -> int:
    """Put results until there is no space; how many went in."""
    n = itertools.count()

    def put() -> None:
        while (i := next(n)) < 10_000:
            store.put(make_result(make_run(lr=i), n=5000, seed=i))

    with pytest.raises(StoreError, match="no space left"):
        put()
    return next(n) - 1  # the last one that was begun did not go in


def check_kept(folder: Path, n: int) -> None:
    with Store(folder) as store:
        assert store.ids() == {make_run(lr=i).id for i in range(n)}
        for i in range(n):
            assert same_result(
                store.get(make_run(lr=i).id),
                make_result(make_run(lr=i), n=5000, seed=i),
            )


def test_a_full_database_keeps_what_it_has(tmp_path: Path) -> None:
    with Store(tmp_path, create=True) as store:
        store._db.execute("PRAGMA max_page_count = 200")
        n = fill(store)
        assert n > 2
        store._db.execute("PRAGMA max_page_count = 100000")
        store.put(make_result(make_run(lr=n), n=5000, seed=n))
    check_kept(tmp_path, n + 1)


def test_a_full_disk_keeps_what_it_has(tmp_path: Path) -> None:
    with small_disk(tmp_path, "2m"):
        with Store(tmp_path / "runs", create=True) as store:
            n = fill(store)
            assert n > 2
            assert not store.finished(make_run(lr=n).id)
        check_kept(tmp_path / "runs", n)
        assert "no space left" in message(tmp_path / "more", create=True).lower()
