"""A race that was stopped in its middle goes on where it was, with the same numbers to the bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sfnbench.experiments.checkpoints import Checkpoint, checkpoints_in
from sfnbench.experiments.critical_points import execute as critical_points
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
STOCK = """title: Optimizers of torch, on tensors of their own
seeds: 2
budget: {steps: 40}
problems: [{use: linear_autoencoder, n_inputs: 3, n_hidden: 2}]
optimizers:
  - {use: torch.optim.Adam, lr: 0.01, schedule: {use: cosine, warmup: 3}}
  - {use: torch.optim.ASGD, lr: 0.01}
  - {use: torch.optim.NAdam, lr: 0.01, schedule: {use: MultiStepLR, milestones: [9, 30]}}
  - {use: torch.optim.SGD, lr: 0.01, momentum: 0.9, schedule: {use: OneCycleLR, max_lr: 0.1}}
  - {use: torch.optim.Adafactor, lr: 0.01}
  - {use: torch.optim.SGD, label: on a plateau, lr: 0.1, schedule: {use: ReduceLROnPlateau}}
  - {use: torch.optim.LBFGS, lr: 0.5, max_iter: 3}
  - {use: torch.optim.Muon, lr: 0.01}
"""
POINTS = """title: Critical points, from paths, a start and a cube
experiment: critical_points
seeds: 2
subspaces: true
problems: [{use: mlp, dataset: digits, n_examples: 20, hidden: [1], weight_decay: 0.1}]
paths:
  - {optimizer: {use: msgd, lr: 0.1, batch_size: 5}, steps: 9, every: 3, count: 1, noise: [0.1]}
random: 1
cube: {count: 1, amplitude: 0.2}
finders: [{use: levenberg_marquardt, steps: 12}, {use: newton_mr, steps: 7}]
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


def continued(
    run: Run, file: Path, n: int
) -> tuple[Result, list[float], list[float]]:
    """The result of a second try, after a first that was stopped at its n-th block.

    And what each of them said about the share that is done.
    """
    before: list[float] = []
    seen: list[float] = []
    with checkpoints_in(file, 0.0):
        with pytest.raises(Stop):
            execute(run, stop_after(n, before))
        assert file.exists()
        return execute(run, stop_after(-1, seen)), before, seen


@pytest.mark.parametrize(
    "text", [SUITE, ON_BATCHES, STOCK], ids=["saddles", "batches", "stock"]
)
def test_a_race_goes_on_where_it_was(tmp_path: Path, text: str) -> None:
    for run in runs_of(text, tmp_path):
        expected = numbers(execute(run))
        result, before, seen = continued(run, tmp_path / f"{run.id}.pt", 2)
        assert numbers(result) == expected, run.title
        assert min(seen) > before[-1], "it goes on behind what was done"


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
    result, _, seen = continued(run, tmp_path / "state.pt", at_last + 1)
    assert numbers(result) == expected
    assert min(seen) > 2 / 3


def stop_at_offer(patch: pytest.MonkeyPatch, n: int) -> list[str]:
    """A Stop after so many states of parts that go on were kept; the list has their names."""
    kept: list[str] = []
    offer = Checkpoint.offer

    def counted(
        checkpoint: Checkpoint, name: str, state: Any, is_done: bool = False
    ) -> None:
        offer(checkpoint, name, state, is_done)
        if not is_done:
            kept.append(name)
        if len(kept) == n:
            raise Stop

    patch.setattr(Checkpoint, "offer", counted)
    return kept


@pytest.mark.slow
@pytest.mark.parametrize("i", [0, 1], ids=["at once", "one by one"])
def test_searches_go_on_where_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, i: int
) -> None:
    """On a path to their starts, in their middle, and while their ends are measured."""
    if i:
        monkeypatch.setattr(critical_points, "VMAP_DIM", 1)
    run = runs_of(POINTS, tmp_path)[i]
    with monkeypatch.context() as patch, checkpoints_in(tmp_path / "other.pt", 0.0):
        whole = stop_at_offer(patch, -1)
        expected = numbers(execute(run))
    assert "path" in whole[4]
    measured = next(
        k for k, each in enumerate(whole, 1) if each.endswith("measured")
    )
    for n in (4, measured, len(whole) - 1):
        with checkpoints_in(tmp_path / f"{n}.pt", 0.0):
            with monkeypatch.context() as patch:
                stop_at_offer(patch, n)
                with pytest.raises(Stop):
                    execute(run)
            with monkeypatch.context() as patch:
                again = stop_at_offer(patch, -1)
                assert numbers(execute(run)) == expected
        assert again == whole[n:], "nothing is made twice"


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
    text = (
        SUITE.partition("optimizers:")[0] + "optimizers: [{use: scipy.optimize.CG}]"
    )
    run = runs_of(text, tmp_path)[0]
    with checkpoints_in(tmp_path / "state.pt", 0.0):
        result = execute(run)
    assert numbers(result) == numbers(execute(run))
    assert not (tmp_path / "state.pt").exists()
