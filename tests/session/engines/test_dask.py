"""Runs on a real scheduler of dask with two workers, on this machine."""

from __future__ import annotations

import os
import signal
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engine_tasks import DOWNHILL, make_run
from gate import lives, until

from sfnbench.errors import SfnbenchError
from sfnbench.members import registry
from sfnbench.records import Result
from sfnbench.results.store import Store
from sfnbench.session.engines import Conditions, execute_all
from sfnbench.session.engines.dask import _Pool, _Tasks
from sfnbench.session.plans import Planned
from sfnbench.session.session import run_session
from sfnbench.suite.reading import load_suite

distributed = pytest.importorskip(
    "distributed", reason="the engine dask needs the package distributed"
)
TASK = "engine_tasks:behave"
SUITE = """title: On workers
seeds: 3
budget: {steps: 20}
problems: [quadratic_saddle, monkey_saddle]
optimizers: [downhill, noisy_gradient_descent, sfn, {use: torch.optim.Adam, lr: 0.1}]
"""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with warnings.catch_warnings():
        # dask warns of sockets that it closes late
        warnings.simplefilter("ignore")
        with distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=2,
            memory_limit=0,
            dashboard_address="127.0.0.1:0",
        ) as cluster:
            yield cluster.scheduler_address


def numbers(folder: Path) -> dict[str, tuple[list[dict[str, Any]], dict[str, Any]]]:
    """Rows and series by run, without what a clock says."""
    found = {}
    with Store(folder) as store:
        for result in store.results():
            rows = [
                {key: value for key, value in row.items() if "seconds" not in key}
                for row in result.rows
            ]
            series = {
                key: value
                for key, value in result.series.items()
                if "seconds" not in key
            }
            found[result.run.id] = rows, series
    return found


@pytest.mark.slow
def test_the_same_numbers_as_inline(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sfnbench.members.plugins._added", [])
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "downhill.py").write_text(DOWNHILL)
    (tmp_path / "workers.yaml").write_text(SUITE)
    registry.add_plugins(tmp_path / "mine")
    planned = Planned.of(load_suite("workers.yaml"), device="cpu")
    here = numbers(run_session(planned, engine="inline", out="here"))
    options = {"scheduler": address}
    folder = run_session(
        planned, engine="dask", engine_options=options, out="there"
    )
    there = numbers(folder)
    assert len(here) == 8
    assert here.keys() == there.keys()
    for run_id, (rows, series) in here.items():
        np.testing.assert_equal(there[run_id][0], rows)
        np.testing.assert_equal(there[run_id][1], series)


def test_a_crash_costs_its_own_run(address: str) -> None:
    runs = [make_run("killed"), make_run("fine"), make_run("fail")]
    found: dict[str, Result] = {
        result.run.settings["act"]: result
        for result in execute_all(
            runs, task=TASK, engine="dask", options={"scheduler": address}
        )
    }
    statuses = {act: result.status for act, result in found.items()}
    assert statuses == {"killed": "error", "fine": "ok", "fail": "error"}
    assert "killed by SIGKILL" in found["killed"].log
    assert "ZeroDivisionError: of the test's own" in found["fail"].log


def marks(path: Path) -> list[int]:
    """The process of every execution so far."""
    if not path.exists():
        return []
    return [int(line.split()[1]) for line in path.read_text().splitlines()]


def test_processes_go_from_run_to_run_and_end_with_the_session(
    address: str,
) -> None:
    runs = [make_run("fine", i) for i in range(12)]
    results = list(
        execute_all(runs, task=TASK, engine="dask", options={"scheduler": address})
    )
    processes = {result.rows[0]["pid"] for result in results}
    assert len(processes) <= 4  # two workers of two threads
    assert until(lambda: not any(map(lives, processes)))


def test_a_process_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a session that was killed."""
    monkeypatch.setattr("sfnbench.session.engines.dask.IDLE_S", 0.1)
    pool = _Pool(Conditions(jobs=1, threads=1, task=TASK))
    pool.workers.start([make_run("fine")])
    while (result := pool.workers.finished()) is None:
        pass
    pool.wait("killed")
    assert until(lambda: not lives(result.rows[0]["pid"]))


def test_a_lost_workers_run_is_executed_again(address: str, tmp_path: Path) -> None:
    mark, gate = tmp_path / "mark", tmp_path / "gate"
    runs = [make_run("marked", 0, mark=str(mark), gate=str(gate))]
    with distributed.Client(address, set_as_default=False) as client:
        pids = client.run(os.getpid)
        results = execute_all(
            [make_run("fine"), *runs],
            task=TASK,
            engine="dask",
            options={"scheduler": address},
        )
        assert next(results).status == "ok"
        assert until(lambda: len(marks(mark)) == 1)
        (busy,) = [worker for worker, tasks in client.processing().items() if tasks]
        os.kill(pids[busy], signal.SIGKILL)
        assert until(lambda: len(marks(mark)) == 2), "another worker has begun it"
        gate.touch()
        assert [result.status for result in results] == ["ok"]
        assert until(lambda: not lives(marks(mark)[0]))


def test_closing_cancels_what_is_at_work(address: str, tmp_path: Path) -> None:
    mark, gate = tmp_path / "mark", tmp_path / "never"
    runs = [
        make_run("fine"),
        make_run("marked", 1, mark=str(mark), gate=str(gate)),
        make_run("marked", 2, mark=str(mark), gate=str(gate)),
    ]
    results = execute_all(
        runs, task=TASK, engine="dask", options={"scheduler": address}
    )
    assert next(results).status == "ok"
    assert until(lambda: len(marks(mark)) == 2)
    results.close()
    assert until(lambda: not any(map(lives, marks(mark))))


def test_ctrl_c_loses_nothing_that_has_ended(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark, never = tmp_path / "mark", tmp_path / "never"
    runs = [
        make_run("marked", i, mark=str(mark), gate=str(never) if i == 2 else "")
        for i in range(3)
    ]

    def pressed(tasks: _Tasks, _: object) -> None:
        def n_ended() -> int:
            states = [future.status for _, future, _ in tasks.running.values()]
            return states.count("finished")

        assert until(lambda: n_ended() == 2 and len(marks(mark)) == 3)
        raise KeyboardInterrupt

    monkeypatch.setattr(_Tasks, "next_result", pressed)
    results = execute_all(
        runs, task=TASK, engine="dask", options={"scheduler": address}
    )
    found = [next(results), next(results)]
    with pytest.raises(KeyboardInterrupt):
        next(results)
    assert {each.run.id for each in found} == {run.id for run in runs[:2]}
    assert until(lambda: not any(map(lives, marks(mark))))


def test_a_cluster_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    (result,) = execute_all(
        [make_run("surroundings")],
        task=TASK,
        engine="dask",
        jobs=1,
        plugins=(tmp_path / "mine",),
    )
    assert str(tmp_path / "mine") in result.rows[0]["plugins"]
    assert result.rows[0]["cwd"] == str(tmp_path)


def test_no_runs_no_cluster() -> None:
    assert list(execute_all([], engine="dask")) == []


def test_wrong_use(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [make_run("fine")]
    with pytest.raises(
        SfnbenchError, match=r"'dask' has no option 'schedule' .*scheduler"
    ):
        execute_all(runs, engine="dask", options={"schedule": "tcp://127.0.0.1:1"})
    monkeypatch.setattr("sfnbench.session.engines.dask.CONNECT_S", 0.5)
    with pytest.raises(
        SfnbenchError, match=r"no dask scheduler answers at tcp://127"
    ):
        list(
            execute_all(
                runs, engine="dask", options={"scheduler": "tcp://127.0.0.1:1"}
            )
        )
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(SfnbenchError, match=r"pip install .*\[dask\]'"):
        execute_all(runs, engine="dask")
