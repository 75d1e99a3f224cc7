"""Runs on a real Slurm of one node, on this machine."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from engine_tasks import DOWNHILL, make_run
from gate import Gate, until
from slurm_cluster import slurm_cluster, why_not

from sfnbench.errors import SfnbenchError
from sfnbench.records import Result, Run
from sfnbench.results.store import Store
from sfnbench.session.engines import execute_all

pytest.importorskip(
    "submitit", reason="the engine slurm needs the package submitit"
)


def needs_slurm(test: Callable[..., None]) -> Callable[..., None]:
    """It takes seconds until Slurm starts a job."""
    skips = pytest.mark.skipif(bool(why_not()), reason=why_not())
    return pytest.mark.slow(skips(test))


TASK = "engine_tasks:behave"
SMALL = {"mem": "1500MB"}
SUITE = """title: As jobs
seeds: 2
budget: {steps: 20}
problems: [quadratic_saddle]
optimizers: [downhill, sfn]
"""
GATED_SUITE = """title: At a gate
seeds: 2
budget: {steps: 20}
problems: [quadratic_saddle]
optimizers: [{use: gated, lr: {grid: [0.1, 0.2]}}]
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with slurm_cluster(tmp_path_factory.mktemp("slurm")) as config:
        yield config


@pytest.fixture
def on_slurm(
    cluster: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Path:
    """A folder of results; jobs find the tests' own modules."""
    monkeypatch.setenv("SLURM_CONF", str(cluster))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    monkeypatch.setattr("sfnbench.session.engines.slurm.POLL_S", 0.1)
    monkeypatch.setattr("sfnbench.session.engines.slurm.SACCT_S", 2.0)
    return tmp_path / "results"


def executed(runs: list[Run], folder: Path, **options: Any) -> dict[str, Result]:
    """Results by what the runs do."""
    results = execute_all(
        runs, task=TASK, engine="slurm", options={**SMALL, **options}, folder=folder
    )
    return {result.run.settings["act"]: result for result in results}


def without_seconds(table: str) -> list[dict[str, str]]:
    rows = csv.DictReader(table.splitlines())
    return [{key: row[key] for key in row if "seconds" not in key} for row in rows]


def queue() -> list[str]:
    """The ids of the jobs that Slurm has and has not ended."""
    found = subprocess.run(
        ("squeue", "--noheader", "--array", "--format=%A %T"),
        capture_output=True,
        text=True,
        check=True,
    )
    return found.stdout.splitlines()


def marks(path: Path) -> int:
    return len(path.read_text().splitlines()) if path.exists() else 0


@needs_slurm
def test_a_crash_costs_its_own_run(on_slurm: Path) -> None:
    runs = [make_run("killed"), make_run("fine"), make_run("fail")]
    found = executed(runs, on_slurm)
    statuses = {act: result.status for act, result in found.items()}
    assert statuses == {"killed": "error", "fine": "ok", "fail": "error"}
    assert "killed by SIGKILL" in found["killed"].log
    assert "ZeroDivisionError: of the test's own" in found["fail"].log
    assert not list(on_slurm.glob("slurm/*"))


@needs_slurm
def test_a_job_without_memory(on_slurm: Path) -> None:
    found = executed([make_run("greedy")], on_slurm, mem="300MB")
    assert found["greedy"].status == "oom", found["greedy"].log


@needs_slurm
def test_closing_cancels_what_is_submitted(on_slurm: Path, tmp_path: Path) -> None:
    mark, gate = tmp_path / "mark", tmp_path / "never"
    runs = [make_run("marked", i, mark=str(mark), gate=str(gate)) for i in (1, 2)]
    fine = make_run("fine")
    results = execute_all(
        [fine, *runs],
        task=TASK,
        engine="slurm",
        options=SMALL,
        folder=on_slurm,
    )
    assert next(results).status == "ok"
    assert until(lambda: marks(mark) >= 1)
    results.close()
    assert until(lambda: not queue())
    kept = [file.name for file in on_slurm.glob("slurm/*.job")]
    assert kept == [f"{fine.id}.job"], "who closed it may not have stored it"


@needs_slurm
def test_what_has_ended_waits_for_a_session_that_stores_it(
    on_slurm: Path, tmp_path: Path
) -> None:
    """Also what was handed out to a caller that could not store it."""
    mark, never = tmp_path / "mark", tmp_path / "never"
    runs = [
        make_run("marked", i, mark=str(mark), gate=str(never) if i == 2 else "")
        for i in range(3)
    ]
    results = execute_all(
        runs, task=TASK, engine="slurm", options=SMALL, folder=on_slurm
    )
    assert next(results).status == "ok"
    assert until(lambda: len(list(on_slurm.glob("slurm/*_result.pkl"))) == 2)
    assert until(lambda: marks(mark) == 3)
    results.close()
    assert until(lambda: not queue())
    never.touch()
    again = execute_all(
        runs, task=TASK, engine="slurm", options=SMALL, folder=on_slurm
    )
    assert [result.status for result in again] == ["ok"] * 3
    assert marks(mark) == 4, (
        "the one that was cancelled is executed again, no other"
    )
    assert not list(on_slurm.glob("slurm/*"))


@needs_slurm
def test_what_has_ended_when_ctrl_c_comes_is_stored(
    on_slurm: Path, tmp_path: Path
) -> None:
    gate = Gate(tmp_path)
    (tmp_path / "jobs.yaml").write_text(GATED_SUITE)
    command = [
        sys.executable,
        "-m",
        "sfnbench",
        "run",
        "jobs.yaml",
        "--device",
        "cpu",
    ]
    command += [
        "--out",
        str(on_slurm),
        "--engine",
        "slurm",
        "--slurm",
        "mem=1500MB",
    ]
    listen = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(
        command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, preexec_fn=listen
    ) as controller:
        try:
            assert until(lambda: len(list(gate.folder.glob("waiting-*"))) == 2)
            # the controller cannot take the first result
            controller.send_signal(signal.SIGSTOP)
            gate.open(1)
            assert until(lambda: any(on_slurm.glob("slurm/*_result.pkl")))
            controller.send_signal(signal.SIGINT)
            controller.send_signal(signal.SIGCONT)
            _, said = controller.communicate(timeout=120)
        finally:
            controller.kill()
    assert controller.returncode == 130, said
    assert "stopped: 1 of 2 runs done and stored" in said
    assert until(lambda: not queue())
    with Store(on_slurm) as store:
        assert [result.status for result in store.results()] == ["ok"]
    assert not list(on_slurm.glob("slurm/*"))


@needs_slurm
@pytest.mark.parametrize("is_noted", [True, False])
def test_a_new_session_finds_what_ran_meanwhile(
    on_slurm: Path, tmp_path: Path, is_noted: bool
) -> None:
    """Also where the old one was killed before it could note which job is which run's."""
    mark, gate = tmp_path / "mark", tmp_path / "gate"
    program = (
        "import sys; from pathlib import Path; from engine_tasks import make_run;"
        "from sfnbench.session.engines import execute_all;"
        f"list(execute_all([make_run('marked', mark={str(mark)!r}, gate={str(gate)!r})],"
        f" task={TASK!r}, engine='slurm', options={SMALL!r}, folder=Path({str(on_slurm)!r})))"
    )
    with subprocess.Popen([sys.executable, "-c", program]) as controller:
        try:
            assert until(lambda: marks(mark) == 1)
        finally:
            controller.kill()
    if not is_noted:
        for file in on_slurm.glob("slurm/*.job"):
            file.unlink()
    gate.touch()
    assert until(lambda: not queue())
    run = make_run("marked", mark=str(mark), gate=str(gate))
    assert executed([run], on_slurm)["marked"].status == "ok"
    assert marks(mark) == 1, "it was not executed again"


@needs_slurm
def test_a_suite_by_the_command_line(on_slurm: Path, tmp_path: Path) -> None:
    """A plugin beside the suite reaches the jobs; numbers are those of a run here."""
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "downhill.py").write_text(DOWNHILL)
    (tmp_path / "jobs.yaml").write_text(SUITE)
    (tmp_path / "options.yaml").write_text("mem: 1500MB\ntime: 10\n")
    command = (
        sys.executable,
        "-m",
        "sfnbench",
        "run",
        "jobs.yaml",
        "--format",
        "csv",
    )
    tables = [
        subprocess.run(
            (*command, "--device", "cpu", *flags),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for flags in (
            ("--out", "here", "--engine", "inline"),
            ("--engine", "slurm", "--slurm", "options.yaml", "--slurm", "time=12"),
        )
    ]
    here, there = map(without_seconds, tables)
    assert len(here) == 2
    assert here == there


@needs_slurm
def test_refused_by_slurm(on_slurm: Path) -> None:
    with pytest.raises(SfnbenchError, match=r"Slurm refuses the runs: .*nowhere"):
        executed([make_run("fine")], on_slurm, partition="nowhere")


def test_no_runs_no_slurm() -> None:
    assert list(execute_all([], engine="slurm")) == []


def test_wrong_use(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    runs = [make_run("fine")]
    with pytest.raises(
        SfnbenchError, match="'processes' has no option 'partition'"
    ):
        execute_all(runs, options={"partition": "gpu"})
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    with pytest.raises(
        SfnbenchError, match=r"'partitoin' .did you mean 'partition'"
    ):
        executed(runs, tmp_path, partitoin="gpu")
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(SfnbenchError, match="finds no Slurm here"):
        executed(runs, tmp_path)
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(SfnbenchError, match=r"pip install .*\[slurm\]'"):
        execute_all(runs, engine="slurm")
