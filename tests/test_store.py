from __future__ import annotations

import itertools
import math
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from sfnbench.errors import StoreError
from sfnbench.planning import FORMAT, Chosen, Run
from sfnbench.store import Result, Store, merge


def make_run(label: str = "sfn", *, suite: str = "toy", steps: int = 20, source: str = "a", **params: object) -> Run:
    problem = Chosen("quadratic_saddle", "saddle", {"eigenvalues": [10, -2]}, "p")
    optimizer = Chosen("sfn", label, params or {"lr": 0.1}, source)
    return Run(suite, "race", problem, optimizer, (0, 1), {"budget": {"steps": steps, "seconds": None}})


def make_result(run: Run, status: str = "ok", n: int = 5, seed: int = 0) -> Result:
    series = {"loss": np.random.default_rng(seed).standard_normal((2, n))}
    return Result(run, status, ({"seed": 0}, {"seed": 1}), series, {"commit": "abc"}, "a line\n", 1.5)


def same(a: object, b: object) -> bool:
    """Equality in which NaN equals NaN and 1 differs from 1.0, True and -0.0 from 0.0."""
    if isinstance(a, dict) and isinstance(b, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    return type(a) is type(b) and repr(a) == repr(b)


def same_result(a: Result, b: Result) -> bool:
    return a.run == b.run and all(
        same(getattr(a, name), getattr(b, name)) for name in ("status", "rows", "series", "environment", "log", "seconds")
    )


# -- what goes in comes out -------------------------------------------------------------------------------------------

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
chosen = st.builds(
    Chosen, st.text(max_size=9), st.text(max_size=9), st.dictionaries(st.text(), json_values, max_size=3), st.text()
)
arrays = st.dictionaries(
    st.text(st.characters(codec="ascii", exclude_characters="\0"), min_size=1, max_size=9) | st.just("file"),
    npst.arrays(st.sampled_from([np.float64, np.float32, np.int64, np.bool_]), npst.array_shapes(min_side=0)),
    max_size=3,
)
results = st.builds(
    Result,
    st.builds(
        Run,
        suite=st.text(max_size=9),
        experiment=st.sampled_from(["race", "throughput"]),
        problem=chosen,
        optimizer=st.none() | chosen,
        seeds=st.lists(st.integers(0, 2**40), max_size=4).map(tuple),
        settings=st.dictionaries(st.text(), json_values, max_size=3),
        dtype=st.sampled_from(["float32", "float64"]),
        device=st.sampled_from(["cpu", "cuda"]),
    ),
    status=st.sampled_from(["ok", "diverged", "error"]),
    rows=st.lists(st.dictionaries(st.text(), json_values, max_size=3), max_size=3).map(tuple),
    series=arrays,
    environment=st.dictionaries(st.text(), json_values.filter(lambda v: not isinstance(v, dict)), max_size=2),
    log=st.text(),
    seconds=st.floats(0, 1e9),
)


@pytest.fixture(scope="module")
def one_store(tmp_path_factory: pytest.TempPathFactory):
    with Store(tmp_path_factory.mktemp("store"), create=True) as store:
        yield store


def equal_nan(run: Run) -> Run:
    """NaN is not equal to itself, so that not even a run that holds one equals its copy: replace it on both sides."""

    def clean(value: object) -> object:
        if isinstance(value, dict):
            return {key: clean(v) for key, v in value.items()}
        if isinstance(value, list):
            return [clean(v) for v in value]
        return "NaN" if isinstance(value, float) and math.isnan(value) else value

    def clean_member(member: Chosen | None) -> Chosen | None:
        return member and replace(member, params=clean(member.params))

    problem, optimizer = clean_member(run.problem), clean_member(run.optimizer)
    assert problem is not None
    return replace(run, problem=problem, optimizer=optimizer, settings=clean(run.settings))  # type: ignore[arg-type]


@given(results)
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_every_result_comes_back_exactly(one_store: Store, result: Result) -> None:
    one_store.put(result)
    back = one_store.get(result.run.id)
    assert back.run.id == result.run.id
    assert same_result(replace(back, run=equal_nan(back.run)), replace(result, run=equal_nan(result.run)))


def test_results_outlive_the_process_that_wrote_them(tmp_path: Path) -> None:
    runs = [make_run(lr=lr) for lr in (0.1, 0.2)]
    with Store(tmp_path / "deep" / "folder", create=True) as store:
        for run in runs:
            store.put(make_result(run))
    with Store(str(tmp_path / "deep" / "folder")) as store:
        assert store.ids() == {run.id for run in runs}
        assert same_result(store.get(runs[0].id), make_result(runs[0]))
        assert [r.run for r in store.results(current=False)] == runs
        summaries = list(store.summaries(current=False))
        assert [(s.run, s.rows, s.series) for s in summaries] == [(r, make_result(r).rows, {}) for r in runs]


def test_what_json_lacks_costs_no_result(tmp_path: Path) -> None:
    odd = {"n": np.int64(3), "x": np.float32(0.5), "where": Path("a/b"), "flags": np.array([True, False])}
    run = make_run()
    with Store(tmp_path, create=True) as store:
        store.put(Result(run, "ok", (odd,), log="half a surrogate: \udc80"))
        back = store.get(run.id)
    assert back.rows == ({"n": 3, "x": 0.5, "where": "a/b", "flags": [True, False]},)
    assert back.log == "half a surrogate: ?"


def test_objects_are_refused_not_pickled(tmp_path: Path) -> None:
    with Store(tmp_path, create=True) as store:
        with pytest.raises(StoreError, match="'strange' holds objects"):
            store.put(Result(make_run(), "ok", series={"strange": np.array([None, "x"], dtype=object)}))
        assert store.ids() == frozenset()


# -- what is to be run, what is current -------------------------------------------------------------------------------


def test_pending_is_what_has_no_result_and_the_broken_ones_when_asked(tmp_path: Path) -> None:
    statuses = ("ok", "stuck", "diverged", "skipped", "error", "timeout", "oom")
    runs = [make_run(lr=i) for i in range(len(statuses) + 1)]
    with Store(tmp_path, create=True) as store:
        assert store.pending(runs) == tuple(runs)
        for run, status in zip(runs, statuses, strict=False):
            store.put(make_result(run, status))
            assert store.finished(run.id)
        assert store.pending(runs) == (runs[-1],)
        assert store.pending(runs, failed=True) == (*runs[4:7], runs[-1])
        assert store.pending([runs[-1], runs[-1]]) == (runs[-1],)


def test_a_second_result_of_a_run_replaces_the_first(tmp_path: Path) -> None:
    run = make_run()
    with Store(tmp_path, create=True) as store:
        store.put(make_result(run, "error"))
        store.put(make_result(run, "ok", seed=1))
        (result,) = store.results()
    assert same_result(result, make_result(run, "ok", seed=1))


def test_discarded_results_are_gone_series_and_all(tmp_path: Path) -> None:
    runs = [make_run(lr=i) for i in range(3)]
    with Store(tmp_path, create=True) as store:
        for run in runs:
            store.put(make_result(run))
        store.discard([runs[0].id, runs[2].id, "unknown"])
        assert store.ids() == {runs[1].id}
    with sqlite3.connect(tmp_path / "results.sqlite") as db:
        assert db.execute("SELECT id FROM series").fetchall() == [(runs[1].id,)]
    db.close()


def current(store: Store) -> dict[str, object]:
    return {r.run.optimizer.label: r.run.optimizer.params for r in store.results() if r.run.optimizer}


def test_a_changed_run_takes_over_its_slot_and_says_why_and_back(tmp_path: Path) -> None:
    old, new, other = make_run(lr=0.1), make_run(lr=0.2), make_run("mine", lr=9)
    with Store(tmp_path, create=True) as store:
        assert store.adopt([old, other]) == ()
        store.put(make_result(old))
        store.put(make_result(other))
        assert store.adopt([new]) == ("sfn on saddle: lr was 0.1, is 0.2",)
        assert store.pending([new]) == (new,)
        assert current(store) == {"mine": {"lr": 9}}, "a slot that was not planned is left alone"
        store.put(make_result(new))
        assert current(store) == {"sfn": {"lr": 0.2}, "mine": {"lr": 9}}
        assert len(list(store.results(current=False))) == 3, "superseded, not lost"
        assert store.adopt([old]) == ("sfn on saddle: lr was 0.2, is 0.1",)
        assert store.pending([old]) == ()
        assert current(store) == {"sfn": {"lr": 0.1}, "mine": {"lr": 9}}


@pytest.mark.parametrize(
    ("before", "now", "reason"),
    [
        (make_run(source="a"), make_run(source="b"), "sfn on saddle: its source changed"),
        (make_run(steps=20), make_run(steps=50), "sfn on saddle: budget.steps was 20, is 50"),
        (make_run(lr=0.1), make_run(lr=0.1, damping=2), "sfn on saddle: damping was not set, is 2"),
        (make_run(lr=0.1, damping=2), make_run(lr=0.1), "sfn on saddle: damping was 2, is not set"),
        (make_run(lr=1), make_run(lr=1.0), "sfn on saddle: lr was 1, is 1.0"),
        (make_run(lr=1), replace(make_run(lr=2), dtype="float32"), "lr was 1, is 2; dtype was float64, is float32"),
        (make_run(), replace(make_run(), seeds=tuple(range(10))), "sfn on saddle: seeds was [0, 1], is 0 to 9"),
        (
            make_run(),
            replace(make_run(), problem=Chosen("mlp", "saddle", {"eigenvalues": [10, -2]}, "q")),
            "sfn on saddle: problem.use was quadratic_saddle, is mlp; the problem's source changed",
        ),
        (
            make_run(),
            replace(make_run(), problem=Chosen("quadratic_saddle", "saddle", {"eigenvalues": [1] * 99}, "p")),
            "the problem's eigenvalues was [10, -2], is [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,...",
        ),
    ],
)
def test_why_a_run_is_stale(tmp_path: Path, before: Run, now: Run, reason: str) -> None:
    with Store(tmp_path, create=True) as store:
        store.put(make_result(before))
        (said,) = store.adopt([now])
    assert said.endswith(reason)


def test_a_new_label_keeps_the_result_and_renames_it(tmp_path: Path) -> None:
    run = make_run("sfn")
    renamed = make_run("SFN, damped")
    assert run.id == renamed.id
    with Store(tmp_path, create=True) as store:
        store.put(make_result(run))
        assert store.adopt([renamed]) == ()
        assert store.pending([renamed]) == ()
        assert [r.run for r in store.results()] == [renamed]


def test_one_run_in_two_slots_and_two_suites_is_executed_once_and_shown_in_each(tmp_path: Path) -> None:
    runs = [make_run("a"), make_run("b"), make_run("a", suite="other")]
    with Store(tmp_path, create=True) as store:
        store.adopt(runs)
        (todo,) = store.pending(runs)
        store.put(make_result(todo))
        assert [r.run for r in store.results()] == runs
        assert store.adopt([make_run("a", lr=5)]) == ("a on saddle: lr was 0.1, is 5",)
        assert [r.run for r in store.results()] == runs[1:], "the other suite's slot is its own"


def test_merge_copies_what_is_missing_and_keeps_what_is_there(tmp_path: Path) -> None:
    mine, theirs, both, waiting = make_run("m"), make_run("t", lr=1), make_run("b", lr=2), make_run("w", lr=3)
    with Store(tmp_path / "target", create=True) as store:
        store.put(make_result(mine))
        store.put(make_result(both, seed=1))
        store.adopt([make_run("w", lr=4)])
    with Store(tmp_path / "source", create=True) as store:
        for run in (theirs, both, waiting):
            store.put(make_result(run, seed=2))
    sources = [tmp_path / "source", tmp_path / "source", tmp_path / "target"]
    assert merge(sources, tmp_path / "target") == 2
    with Store(tmp_path / "target") as store:
        assert [r.run for r in store.results()] == [mine, both, waiting, theirs]
        assert same_result(store.get(both.id), make_result(both, seed=1))
        assert same_result(store.get(theirs.id), make_result(theirs, seed=2))
    with pytest.raises(StoreError, match="no results in"):
        merge([tmp_path / "absent"], tmp_path / "target")


# -- one writer, many readers -----------------------------------------------------------------------------------------


def test_a_second_writer_is_told_so_and_readers_are_not_kept_out(tmp_path: Path) -> None:
    run = make_run()
    with Store(tmp_path, create=True) as writer:
        with pytest.raises(StoreError, match=r"another run is writing there") as raised:
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
from test_store import Store, make_run, make_result
with Store(sys.argv[1], create=True) as store:
    for i in range(10**6):
        store.put(make_result(make_run(lr=i), n=2000))
        print(i, flush=True)
"""


def test_a_kill_while_writing_loses_nothing_that_was_stored_and_frees_the_lock(tmp_path: Path) -> None:
    for attempt in range(3):
        command = [sys.executable, "-c", WRITE_FOREVER, str(tmp_path), str(Path(__file__).parent)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            done = [int(writer.stdout.readline()) for _ in range(40)]
            time.sleep(0.003 * attempt)
            writer.kill()
            done += [int(line) for line in writer.stdout if line.endswith("\n")]
        with Store(tmp_path, create=True) as store:
            for i in done:
                assert same_result(store.get(make_run(lr=i).id), make_result(make_run(lr=i), n=2000))
            assert store._db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@contextmanager
def small_disk(folder: Path, size: str):
    """A file system of its own on this folder."""
    mount = shutil.which("mount")
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if mount is None or subprocess.run(command, capture_output=True).returncode != 0:
        pytest.skip("only root can mount a disk of the test's own")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("writer", ["at work", "done"])
def test_a_disk_where_nothing_may_be_written_can_be_read(tmp_path: Path, writer: str) -> None:
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


# -- what can be wrong ------------------------------------------------------------------------------------------------


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
    assert {path.name for path in (tmp_path / "empty").iterdir()} == {"results.sqlite"}
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
@pytest.mark.parametrize(("version", "advice"), [(FORMAT + 1, "update sfnbench"), (FORMAT - 1, "choose another --out")])
def test_another_format(stored: Path, create: bool, version: int, advice: str) -> None:
    with sqlite3.connect(stored / "results.sqlite") as db:
        db.execute(f"PRAGMA user_version = {version}")
    db.close()
    text = message(stored, create)
    assert f"has format {version}, this sfnbench reads and writes {FORMAT}" in text
    assert advice in text


def test_a_folder_that_cannot_be_made_or_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "cannot be written to" in message(tmp_path / "file" / "folder", create=True)
    assert "cannot be written to" in message(Path("/proc/sfnbench"), create=True)


def test_an_unknown_run(stored: Path) -> None:
    with Store(stored) as store, pytest.raises(StoreError, match="no result of run nonsense"):
        store.get("nonsense")


def read_all_that_is_whole(folder: Path) -> tuple[int, int]:
    """How many of the stored results are read exactly and how many are refused; anything else fails the test."""
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
                assert same_result(result, make_result(make_run(lr=i), n=1000)), "damage passed unnoticed"
                whole += 1
    return whole, refused


@pytest.mark.parametrize("damage", ["zeros", "ones", "cut"])
def test_damage_anywhere_is_one_message_and_spares_the_other_results(stored: Path, tmp_path: Path, damage: str) -> None:
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
    n_places = 2  # pages that only say what is current
    assert sum(refused == 0 for _, refused in outcomes) <= n_places
    if damage != "cut":
        assert np.mean([whole for whole, _ in outcomes]) > 6, "most damage is local"


# -- no space left ----------------------------------------------------------------------------------------------------


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
            assert same_result(store.get(make_run(lr=i).id), make_result(make_run(lr=i), n=5000, seed=i))


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
