"""Several runs in one worker: none notices another, and a run that breaks costs itself only."""

from __future__ import annotations

import dataclasses
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from engine_tasks import USES, make_run
from gate import lives, until

from sfnbench import run_suite
from sfnbench.records import Result
from sfnbench.session.engines import execute_all
from sfnbench.session.engines.processes import Workers

TASK = "engine_tasks:behave"
UNDONE = ("seeds", "variable", "folder", "threads", "module")


def looked(result: Result) -> dict[str, Any]:
    """How a run found its process."""
    assert result.status == "ok", result.log
    found: dict[str, Any] = result.rows[0]["found"]
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("sharing")
    (made / "owned.py").write_text("seen = []\n")
    return made


@pytest.fixture(scope="module")
def found(folder: Path) -> dict[str, tuple[Result, Result]]:
    """Each way of changing a process, and what the next run found; ``""``: in a fresh one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(folder)
        first = list(execute_all([make_run("look")], task=TASK, jobs=1))
        runs = []
        for i, way in enumerate(USES):
            runs += [make_run("use", i, way=way), make_run("look", i)]
        results = list(execute_all(runs, task=TASK, jobs=1))
    pairs = zip(USES, results[::2], results[1::2], strict=True)
    return {"": (first[0], first[0]), **{way: (a, b) for way, a, b in pairs}}


@pytest.mark.parametrize("way", USES)
def test_the_next_run_finds_a_process_like_a_fresh_one(
    found: dict[str, tuple[Result, Result]], way: str
) -> None:
    before, after = found[way]
    assert before.status == "ok", before.log
    assert looked(after) == looked(found[""][1])
    assert after.log == "heard\n"
    is_same = before.rows[0]["pid"] == after.rows[0]["pid"]
    assert is_same == (way in UNDONE)


def test_a_look_sees_what_is_changed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the care that the test above is about, it would fail."""
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    run = make_run("look")
    ways = [way for way in USES if way not in ("stream", "descriptor")]
    changed = make_run("use_and_look", ways=ways)
    fresh, other = execute_all([run, changed], task=TASK, jobs=2)
    if "use_and_look" in fresh.run.settings["act"]:
        fresh, other = other, fresh
    differing = {
        key for key, value in looked(fresh).items() if looked(other)[key] != value
    }
    assert differing == looked(fresh).keys()


def test_a_run_that_breaks_in_a_used_worker_is_executed_again_in_a_fresh_one() -> (
    None
):
    runs = [make_run("spoilt", i) for i in range(4)]
    results = list(execute_all(runs, task=TASK, jobs=1))
    assert [each.status for each in results] == ["ok"] * 4, results[1].log
    pids = [each.rows[0]["pid"] for each in results]
    assert len(set(pids)) == 4, "after that no worker is used twice"


@pytest.mark.parametrize("act", ["fail", "vanish", "killed"])
def test_what_breaks_costs_its_own_run_and_its_worker(act: str) -> None:
    acts = ("fine", act, "fine", "fine")
    runs = [make_run(each, i) for i, each in enumerate(acts)]
    results = list(execute_all(runs, task=TASK, jobs=1))
    assert [each.run.id for each in results] == [run.id for run in runs]
    assert [each.status for each in results] == ["ok", "error", "ok", "ok"]
    first, _, third, last = (
        each.rows[0]["pid"] if each.rows else 0 for each in results
    )
    assert first != third == last


def test_a_timeout_is_as_hard_in_a_used_worker(tmp_path: Path) -> None:
    mark = str(tmp_path / "mark")
    runs = [
        make_run("fine"),
        make_run("stuck", mark=mark, timeout_s=0.5),
        make_run("fine", 1),
    ]
    results = list(execute_all(runs, task=TASK, jobs=1))
    assert [each.status for each in results] == ["ok", "timeout", "ok"]
    assert results[1].log == "stopped after 0.5 s\n"
    (line,) = Path(mark).read_text().splitlines()
    assert int(line.split()[1]) == results[0].rows[0]["pid"]
    assert until(lambda: not lives(results[0].rows[0]["pid"]))


def test_a_worker_that_is_killed_between_two_runs_is_replaced() -> None:
    results = execute_all(
        [make_run("fine", i) for i in range(4)], task=TASK, jobs=1
    )
    first = next(results).rows[0]["pid"]
    os.kill(first, signal.SIGKILL)
    rest = list(results)
    assert [each.status for each in rest] == ["ok"] * 3
    assert rest[-1].rows[0]["pid"] != first


def test_a_killed_fork_server_costs_no_run(tmp_path: Path) -> None:
    mark, gate = tmp_path / "mark", tmp_path / "gate"
    runs = [make_run("marked", i, mark=str(mark), gate=str(gate)) for i in range(2)]
    results = execute_all([make_run("surroundings"), *runs], task=TASK, jobs=3)
    first = next(results)
    assert until(lambda: mark.exists() and len(mark.read_text().splitlines()) == 2)
    os.kill(first.rows[0]["ppid"], signal.SIGKILL)
    gate.touch()
    assert [each.status for each in results] == ["ok"] * 2
    pids = [int(line.split()[1]) for line in mark.read_text().splitlines()]
    assert until(lambda: not any(map(lives, pids)))


def test_a_timing_has_a_process_of_its_own() -> None:
    runs = [make_run("fine", i) for i in range(3)]
    timings = [dataclasses.replace(run, experiment="throughput") for run in runs]
    results = list(execute_all(timings, task=TASK, jobs=1))
    assert len({each.rows[0]["pid"] for each in results}) == 3


SUITE = """seeds: 2
budget: {steps: 3}
metrics: [loss, gradient_norm, min_eigenvalue, index_fraction]
problems:
  - {use: quadratic_saddle, eigenvalues: [10, -2]}
  - {use: mlp, dataset: digits, hidden: [3], n_examples: 20}
optimizers: [sfn, krylov_sfn, curveball, torch.optim.Adam, scipy.optimize.trust-krylov]
"""


def test_real_runs_share_a_worker(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What sfnbench and torch set up when they are first used costs no process."""
    started = []
    start = Workers._new_worker

    def counted(workers: Workers, order: Any) -> Any:
        started.append(order.run.title)
        return start(workers, order)

    monkeypatch.setattr(Workers, "_new_worker", counted)
    file = tmp_path / "real.yaml"
    file.write_text(SUITE)
    run_suite(file, out=tmp_path / "runs", jobs=1)
    assert len(started) == 1
