"""`sfnbench run` beside others, on a full disk, and with a clock that goes back."""

import contextlib
import subprocess
from datetime import UTC, datetime, timedelta

import pytest
from gate import Gate, session, until
from small_disk import small_disk

LONG = """seeds: 3
budget: {steps: 20}
problems: [quadratic_saddle, monkey_saddle]
optimizers: [{use: gated, lr: {grid: [0.01, 0.02, 0.03, 0.04]}}]
"""
LARGE = """seeds: 150
budget: {steps: 100}
metrics: [loss, gradient_norm]
problems: [{use: quadratic_saddle, radius: 1e-3}]
optimizers: [{use: noisy_gradient_descent, lr: {grid: [.01, .02, .03, .04, .05, .06, .07, .08]}}]
"""


def is_same(sfnbench, *folders):
    """Whether two folders hold the same numbers."""
    return sfnbench("compare", *folders, "--bits")[:2] == (0, "")


@pytest.mark.slow
@pytest.mark.parametrize("n", [2, 4])
def test_of_several_on_one_folder_one_writes_and_readers_read(n, here, sfnbench):
    (here / "suites" / "long.yaml").write_text(LONG)
    gate = Gate(here)
    with contextlib.ExitStack() as started:
        runs = [
            started.enter_context(session("long", "--jobs", "1")) for _ in range(n)
        ]
        assert until(lambda: sum(run.poll() is not None for run in runs) == n - 1)
        (writer,) = [run for run in runs if run.poll() is None]
        for run in runs:
            if run is not writer:
                assert run.returncode == 2
                (line,) = run.stderr.read().splitlines()
                assert "another run is writing there" in line
        gate.open(1)
        assert until(lambda: sfnbench("show", "runs/long")[0] == 0)
        for n_open in range(2, 9):
            gate.open(n_open)
            for words in (
                ("show",),
                ("export", "rows.csv"),
                ("report", "-o", "p.html"),
            ):
                code, _, said = sfnbench(words[0], "runs/long", *words[1:])
                assert code == 0, said
        assert until(lambda: writer.poll() is not None)
        assert writer.returncode == 0
    gate.open(99)
    assert sfnbench("run", "long", "--engine", "inline", "--out", "peace")[0] == 0
    assert is_same(sfnbench, "runs/long", "peace")


def test_a_full_disk_is_one_line_and_a_larger_one_goes_on(here, sfnbench):
    (here / "suites" / "large.yaml").write_text(LARGE)
    disk = here / "disk"
    disk.mkdir()
    words = ("run", "large", "--engine", "inline", "--out")
    with small_disk(disk, "2m"):
        code, _, said = sfnbench(*words, disk / "runs")
        assert code == 2
        assert "no space left" in said.splitlines()[-1]
        n_stored = sfnbench("run", "large", "--dry-run", "--out", disk / "runs")[
            1
        ].count("there")
        assert 0 < n_stored < 8
        larger = ["mount", "-o", "remount,size=64m", str(disk)]
        subprocess.run(larger, check=True)
        code, _, said = sfnbench(*words, disk / "runs")
        assert code == 0
        assert f"{8 - n_stored} runs to do, {n_stored} already there" in said
        assert sfnbench(*words, "peace")[0] == 0
        assert is_same(sfnbench, disk / "runs", "peace")


def test_a_clock_that_goes_back_changes_nothing(run, sfnbench, monkeypatch):
    class SetBack(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(UTC) - timedelta(days=9000)

    assert run("-o", "sfn")[0] == 0
    with monkeypatch.context() as patched:
        patched.setattr("sfnbench.results.stored_row.datetime", SetBack)
        code, _, said = run()
        assert code == 0
        assert "2 runs to do, 2 already there" in said
        assert run("--fresh", "-p", "monkey_saddle")[0] == 0
    assert run("--out", "peace")[0] == 0
    assert is_same(sfnbench, "runs/tiny", "peace")
    shown = [
        sfnbench("show", folder, "--format", "csv")[1]
        for folder in ("runs/tiny", "peace")
    ]
    rows = [[line.split(",")[:2] for line in text.splitlines()] for text in shown]
    assert rows[0] == rows[1]
