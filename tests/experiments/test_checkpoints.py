"""A race that was stopped in its middle goes on where it was, with the same numbers to the bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sfnbench.experiments.checkpoints import checkpoints_in
from sfnbench.records import Result, Run
from sfnbench.session.execute import execute
from sfnbench.suite.plan import plan
from sfnbench.suite.reading import load_suite

SUITE = """title: Stopped and started again
seeds: 3
budget: {steps: 60}
metrics: [loss, gradient_norm, {use: min_eigenvalue, every: 7}]
problems:
  - {use: quadratic_saddle, radius: 1e-3}
  - monkey_saddle
optimizers:
  - {use: gradient_descent, lr: 0.05}
  - {use: noisy_gradient_descent, lr: 0.05}
  - {use: msgd, lr: 0.05, momentum: 0.9}
  - sfn
  - krylov_sfn
"""
ON_BATCHES = """title: Minibatches, each seed alone
seeds: 2
budget: {steps: 30}
problems: [{use: mlp, dataset: digits}]
optimizers: [{use: msgd, lr: 0.01, momentum: 0.9, batch_size: 20}]
"""


class Stop(BaseException):
    """Ends a race as a kill would, but for the process."""


def runs_of(text: str, folder: Path) -> list[Run]:
    file = folder / "stopped.yaml"
    file.write_text(text)
    return list(plan(load_suite(file)))


def numbers(result: Result) -> tuple[list[dict[str, Any]], dict[str, bytes]]:
    """What the seeds decide, and no clock."""
    rows = [
        {name: repr(value) for name, value in row.items() if "seconds" not in name}
        for row in result.rows
    ]
    series = {
        name: np.ascontiguousarray(each).tobytes()
        for name, each in result.series.items()
        if "seconds" not in name
    }
    return rows, series


def stop_after(n: int, seen: list[float]) -> Any:
    """Progress that stops the race when it has heard so often of it."""

    def progress(fraction: float) -> None:
        seen.append(fraction)
        if len(seen) == n:
            raise Stop

    return progress


def stopped_and_continued(run: Run, file: Path, n: int) -> tuple[Result, list[float]]:
    """The result of a second try, after a first that was stopped at its n-th block."""
    with checkpoints_in(file, 0.0):
        with pytest.raises(Stop):
            execute(run, stop_after(n, []))
        assert file.exists()
        seen: list[float] = []
        return execute(run, stop_after(-1, seen)), seen


@pytest.mark.parametrize("text", [SUITE, ON_BATCHES], ids=["saddles", "batches"])
def test_a_race_goes_on_where_it_was(tmp_path: Path, text: str) -> None:
    for run in runs_of(text, tmp_path):
        expected = numbers(execute(run))
        result, seen = stopped_and_continued(run, tmp_path / f"{run.id}.pt", 3)
        assert numbers(result) == expected, run.title
        assert min(seen, default=1.0) > 1 / 60, "it does not begin at the first step"


def test_seeds_that_are_done_are_not_raced_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where seeds run alone, and the race is stopped in a later one."""
    monkeypatch.setattr("sfnbench.experiments.setup.VMAP_DIM", 1)
    run = runs_of(SUITE, tmp_path)[2]
    expected = numbers(execute(run))
    n_blocks: list[float] = []
    execute(run, n_blocks.append)
    at_last = next(i for i, each in enumerate(n_blocks) if each > 2 / 3)
    result, seen = stopped_and_continued(run, tmp_path / "state.pt", at_last + 1)
    assert numbers(result) == expected
    assert min(seen) > 2 / 3


def test_a_checkpoint_that_is_damaged_costs_nothing(tmp_path: Path) -> None:
    run = runs_of(SUITE, tmp_path)[0]
    file = tmp_path / "state.pt"
    file.write_bytes(b"no state")
    with checkpoints_in(file, 300.0):
        assert numbers(execute(run)) == numbers(execute(run))


def test_short_runs_write_none(tmp_path: Path) -> None:
    run = runs_of(SUITE, tmp_path)[0]
    with checkpoints_in(tmp_path / "state.pt", 300.0):
        execute(run)
    assert not (tmp_path / "state.pt").exists()


def test_a_method_whose_state_is_out_of_sight_begins_again(tmp_path: Path) -> None:
    text = SUITE.partition("optimizers:")[0] + "optimizers: [{use: scipy.optimize.CG}]"
    run = runs_of(text, tmp_path)[0]
    with checkpoints_in(tmp_path / "state.pt", 0.0):
        result = execute(run)
    assert numbers(result) == numbers(execute(run))
    assert not (tmp_path / "state.pt").exists()
