from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from engine_tasks import make_run
from gate import lives, until

from sfnbench.errors import SfnbenchError
from sfnbench.records import Result, Run
from sfnbench.session.engines import execute_all
from sfnbench.session.engines._logs import MOST_LOG_BYTES

TASK = "engine_tasks:behave"


def execute(*runs: Run, **options: object) -> dict[str, Result]:
    """The results by the acts of their runs."""
    results = list(execute_all(runs, task=TASK, **options))  # type: ignore[arg-type]
    assert sorted(r.run.id for r in results) == sorted(run.id for run in runs), (
        "one result a run"
    )
    return {r.run.settings["act"]: r for r in results}


def workers() -> list[str]:
    return [
        process.name
        for process in multiprocessing.active_children()
        if process.name.startswith("sfnbench")
    ]


# -- what every engine does ------------------------------------------------------------------------

HARMLESS = (
    "fine",
    "fail",
    "leave",
    "several_lines",
    "numpy_memory",
    "torch_memory",
    "nothing",
    "refuse",
)
FATAL = ("vanish", "killed", "segfault", "unsendable")


@pytest.fixture(scope="module", params=("inline", "processes"))
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def results(engine: str) -> dict[str, Result]:
    acts = HARMLESS + (FATAL if engine == "processes" else ())
    return execute(*map(make_run, acts), engine=engine, jobs=2)


def test_a_result_comes_back_as_it_was(results: dict[str, Result]) -> None:
    fine = results["fine"]
    assert (fine.status, fine.rows[0]["seed"]) == ("ok", 0)
    np.testing.assert_array_equal(fine.series["loss"], [[0.0, 1.0, 2.0]])


@pytest.mark.parametrize(
    ("act", "status", "log"),
    [
        ("fail", "error", "ZeroDivisionError: of the test's own"),
        ("leave", "error", "SystemExit: 3"),
        ("several_lines", "error", "ValueError: the first"),
        ("nothing", "error", "gave NoneType, not a Result"),
        ("numpy_memory", "oom", "Unable to allocate"),
        ("torch_memory", "oom", "can't allocate memory"),
    ],
)
def test_what_a_run_raises_is_its_status_and_its_log(
    results: dict[str, Result], act: str, status: str, log: str
) -> None:
    result = results[act]
    assert (result.status, result.rows, result.series) == (status, (), {})
    assert "Traceback" in result.log
    assert log in result.log.splitlines()[-1]
    assert result.environment["device"] == "cpu"


def test_an_error_of_our_own_is_told_without_a_traceback(
    results: dict[str, Result],
) -> None:
    assert (results["refuse"].status, results["refuse"].log) == (
        "error",
        "PluginError: unknown optimizer 'sfnn'\n",
    )


def test_warnings_are_kept_and_the_terminal_is_left_alone(
    engine: str, capfd: pytest.CaptureFixture[str]
) -> None:
    log = execute(make_run("warned"), engine=engine)["warned"].log
    assert "RuntimeWarning: of the test's own" in log
    assert capfd.readouterr() == ("", "")


def test_progress_is_told(engine: str) -> None:
    told: list[tuple[str, float]] = []
    runs = [make_run("advance", i) for i in range(2)]
    execute(
        *runs,
        engine=engine,
        jobs=2,
        on_progress=lambda run, share: told.append((run.id, share)),
    )
    for run in runs:
        shares = [share for run_id, share in told if run_id == run.id]
        assert shares == sorted(shares)
        assert len(shares) >= 3
        assert set(shares) <= {0.0, 0.2, 0.4, 0.6, 0.8}


def test_threads_are_as_asked(engine: str) -> None:
    (row,) = execute(make_run("threads"), engine=engine, threads=2)["threads"].rows
    assert (row["torch"], row["blas"]) == (2, 2)
    (row,) = execute(make_run("threads"), engine=engine)["threads"].rows
    assert (row["torch"], row["blas"]) == (1, 1)


def test_plugins_are_searched_where_the_caller_says(
    engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # what the workers descend from was started before all this
    execute(make_run("fine"), engine=engine)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sfnbench.members.plugins._added", [])
    monkeypatch.setenv("SFNBENCH_TEST_VARIABLE", "as it is now")
    (tmp_path / "mine").mkdir()
    (row,) = execute(
        make_run("surroundings"), engine=engine, plugins=(tmp_path / "mine",)
    )["surroundings"].rows
    assert str(tmp_path / "mine") in row["plugins"]
    assert (row["cwd"], row["variable"]) == (str(tmp_path), "as it is now")


def test_no_runs_no_results(engine: str) -> None:
    assert execute(engine=engine) == {}


def test_wrong_use() -> None:
    with pytest.raises(
        SfnbenchError,
        match=r"unknown engine 'proceses' \(did you mean 'processes'\?\)",
    ):
        execute_all([], engine="proceses")
    with pytest.raises(SfnbenchError, match="jobs have to be at least 1, not 0"):
        execute_all([], jobs=0)
    with pytest.raises(SfnbenchError, match="threads have to be at least 1, not 0"):
        execute_all([], jobs=1, threads=0)


def test_ctrl_c_passes_through_inline() -> None:
    with pytest.raises(KeyboardInterrupt):
        execute(make_run("interrupt"), engine="inline")


def test_a_log_keeps_head_and_tail(engine: str) -> None:
    found = execute(make_run("long_error"), engine=engine)["long_error"]
    assert found.status == "error"
    assert len(found.log) < MOST_LOG_BYTES + 200
    traceback, _, last = found.log.rstrip().rpartition("\n")
    assert "ValueError: head" not in traceback[-1000:]
    assert traceback.endswith("tail")
    assert last == found.reason
    assert last.startswith("ValueError: headxxx")
    assert "characters left out" in found.log


# -- what a process of its own adds ----------------------------------------------------------------


@pytest.fixture(scope="module")
def crashes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Result]:
    mark = str(tmp_path_factory.mktemp("crashes") / "mark")
    return execute(
        *map(make_run, ("fine", *FATAL, "noisy")),
        make_run("stuck", mark=mark, timeout_s=0.5),
        jobs=2,
    )


@pytest.mark.parametrize(
    ("act", "status", "log"),
    [
        ("vanish", "error", "ended without a result, with exit code 3"),
        (
            "killed",
            "error",
            "killed by SIGKILL; the system does that when memory runs out",
        ),
        ("segfault", "error", "killed by SIGSEGV"),
        ("unsendable", "error", "Can't pickle local object"),
        ("stuck", "timeout", "stopped after 0.5 s"),
        ("fine", "ok", ""),
    ],
)
def test_a_lost_worker_costs_its_own_run_only(
    crashes: dict[str, Result], act: str, status: str, log: str
) -> None:
    result = crashes[act]
    assert result.status == status
    assert log in result.log
    if status != "ok":
        assert result.rows == ()
        assert result.environment["python"] == sys.version.split()[0]
        assert 0 < result.seconds < 120, (
            "a timeout does not wait for a library call of hours to return"
        )


@pytest.mark.parametrize("act", ["interrupt", "base_exception"])
def test_what_no_except_exception_catches_costs_its_own_run(act: str) -> None:
    found = execute(make_run(act), make_run("fine"), jobs=1)
    assert {name: each.status for name, each in found.items()} == {
        act: "error",
        "fine": "ok",
    }
    assert {"interrupt": "KeyboardInterrupt", "base_exception": "Refusal"}[
        act
    ] in found[act].log


def test_of_much_output_head_and_tail_are_kept() -> None:
    log = execute(make_run("much_output"))["much_output"].log
    assert log.startswith("yyy")
    assert log.endswith("the end\n")
    assert "bytes left out" in log
    assert len(log) < MOST_LOG_BYTES + 200


def test_processes_that_a_run_started_end_with_it(tmp_path: Path) -> None:
    """Whether the run returns, is killed or takes too long."""
    path = tmp_path / "children"

    def end(i: int, timeout_s: float) -> str:
        run = make_run("parenthood", i, mark=str(path), timeout_s=timeout_s)
        return next(iter(execute_all([run], task=TASK, jobs=1))).status

    def children() -> list[int]:
        return [int(line) for line in path.read_text().split()]

    assert [end(0, 600), end(1, 600)] == ["ok", "error"]
    timeout_s = 1.0
    # a child has to start before its parent's time is over
    while len(children()) < 3:
        assert end(2, timeout_s) == "timeout"
        timeout_s *= 4
    until(lambda: not any(map(lives, children())))


def test_a_crash_says_where(crashes: dict[str, Result]) -> None:
    assert "engine_tasks.py" in crashes["segfault"].log
    assert "in segfault" in crashes["segfault"].log


def test_what_a_worker_prints_goes_to_its_log(crashes: dict[str, Result]) -> None:
    assert crashes["noisy"].log == "printed\nwritten by a library\n"


def test_workers_are_forked_from_a_process_that_is_not_ours() -> None:
    runs = [make_run("surroundings", i) for i in range(4)]
    rows = [r.rows[0] for r in execute_all(runs, task=TASK, jobs=2)]
    assert len({row["pid"] for row in rows}) <= 2
    assert {row["start"] for row in rows} == {"forkserver"}
    assert os.getpid() not in {row["ppid"] for row in rows}


def test_as_many_at_a_time_as_asked_in_the_order_of_their_ends(
    tmp_path: Path,
) -> None:
    mark = str(tmp_path / "mark")
    gate = tmp_path / "gate"
    runs = [
        make_run("marked", i, mark=mark, gate="" if i else str(gate))
        for i in range(3)
    ]
    results = execute_all(runs, task=TASK, jobs=2)
    order = [next(results).run.settings["i"] for _ in range(2)]
    gate.touch()
    order += [result.run.settings["i"] for result in results]
    assert order == [1, 2, 0]


def test_runs_are_taken_when_their_turn_comes() -> None:
    taken = []

    def endless() -> Iterator[Run]:
        while True:
            taken.append(make_run("fine", len(taken)))
            yield taken[-1]

    results = execute_all(endless(), task=TASK, jobs=2)
    for _ in range(3):
        next(results)
    results.close()  # type: ignore[attr-defined]
    assert len(taken) <= 6


def test_a_worker_does_not_wait_for_anybody_to_read_its_progress(
    tmp_path: Path,
) -> None:
    results = execute_all(
        [make_run("fine"), make_run("chatter", mark=str(tmp_path / "mark"))],
        task=TASK,
        jobs=2,
    )
    assert next(results).status == "ok"
    assert until((tmp_path / "mark").exists), (
        "done, while this end of the pipe sleeps"
    )
    assert next(results).status == "ok"


def test_closing_ends_what_is_at_work() -> None:
    runs = [make_run("fine"), *(make_run("sleep", i) for i in range(3))]
    results = execute_all(runs, task=TASK, jobs=3)
    assert next(results).status == "ok"
    assert len(workers()) == 3
    results.close()  # type: ignore[attr-defined]
    assert workers() == []


def test_an_error_of_the_callers_ends_what_is_at_work() -> None:
    def refuse(run: Run, share: float) -> None:
        raise OSError("of the caller's own")

    with pytest.raises(OSError, match="of the caller's own"):
        execute(make_run("advance"), on_progress=refuse)
    assert workers() == []


def test_from_a_thread() -> None:
    found: list[dict[str, Result]] = []
    thread = threading.Thread(
        target=lambda: found.append(execute(make_run("fine")))
    )
    thread.start()
    thread.join(120)
    assert found[0]["fine"].status == "ok"
