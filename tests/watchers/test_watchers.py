"""Trackers, read back by their own readers: each has what the result has."""

import numpy as np
import pytest

from sfnbench.errors import SfnbenchError
from sfnbench.records import Result
from sfnbench.session import execute
from sfnbench.session.observer import Several
from sfnbench.watchers import find_watcher, watched


@pytest.fixture(scope="module")
def result(make_run):
    run = make_run(
        "quadratic_saddle",
        {"eigenvalues": [1.0, -1.0], "radius": 0.1},
        "gradient_descent",
        {"lr": 0.25},
        seeds=2,
        steps=4,
        metrics=["loss", ("gradient_norm", 2)],
    )
    return execute.execute(run)


def expected(result, seed):
    """The curves of a seed as {name: {step: value}}."""
    curves = {}
    for name, every in (("loss", 1), ("gradient_norm", 2)):
        values = result.series[name][seed]
        found = enumerate(values)
        curves[name] = {every * k: x for k, x in found if not np.isnan(x)}
    return curves


def hear(watcher, result):
    watcher.begin([result.run], 0, [])
    watcher.finished(result)
    watcher.end()


def test_tensorboard_has_the_curves_of_each_seed(result, tmp_path):
    accumulating = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator"
    )
    hear(find_watcher(f"tensorboard:{tmp_path}"), result)
    where = tmp_path / "test" / "quadratic_saddle" / "gradient_descent"
    for seed in (0, 1):
        events = accumulating.EventAccumulator(str(where / f"seed {seed}"))
        events.Reload()
        for name, curve in expected(result, seed).items():
            got = {each.step: each.value for each in events.Scalars(name)}
            assert got == pytest.approx(curve, rel=1e-6)  # it keeps float32
        (end,) = events.Scalars("end/final_loss")
        assert end.value == pytest.approx(result.rows[seed]["final_loss"], rel=1e-6)


def test_mlflow_has_a_run_for_each_seed(result, tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    with pytest.raises(SfnbenchError, match="mlflow:nothing://there: "):
        find_watcher("mlflow:nothing://there")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    place = (tmp_path / "store").as_uri()
    hear(find_watcher(f"mlflow:{place}"), result)
    client = mlflow.MlflowClient(tracking_uri=place)
    experiment = client.get_experiment_by_name("test")
    runs = {
        each.info.run_name: each
        for each in client.search_runs([experiment.experiment_id])
    }
    assert len(runs) == 2
    for seed in (0, 1):
        run = runs[f"quadratic_saddle, gradient_descent, seed {seed}"]
        assert run.info.status == "FINISHED"
        assert run.data.params["optimizer.lr"] == "0.25"
        assert run.data.params["run_id"] == result.run.id
        for name, curve in expected(result, seed).items():
            history = client.get_metric_history(run.info.run_id, name)
            assert {each.step: each.value for each in history} == curve
        assert run.data.metrics["end/steps"] == result.rows[seed]["steps"]


@pytest.mark.slow
def test_wandb_writes_offline(result, tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.setenv("WANDB_SILENT", "true")
    hear(find_watcher("wandb:saddles"), result)
    wandb.teardown()
    (folder, _) = sorted((tmp_path / "wandb").glob("offline-run-*"))
    (file,) = folder.glob("*.wandb")
    assert b"quadratic_saddle, gradient_descent, seed 0" in file.read_bytes()


def test_an_unknown_tracker_and_one_that_is_not_installed(monkeypatch, result):
    with pytest.raises(SfnbenchError, match="did you mean 'wandb'"):
        find_watcher("wanbd")
    import sys

    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(SfnbenchError, match=r"pip install .*\[wandb\]'"):
        find_watcher("wandb:project")


class Heard:
    def __init__(self):
        self.calls = []

    def __getattr__(self, name):
        return lambda *given: self.calls.append((name, given))


def test_several_observers_hear_all():
    first, second = Heard(), Heard()
    both = Several([first, second])
    both.stage("tuning")
    both.begin([], 1, [])
    both.progress("run", 0.5)
    both.finished("result")
    both.tuned("found")
    both.end()
    assert first.calls == second.calls
    names = [name for name, _ in first.calls]
    assert names == ["stage", "begin", "progress", "finished", "tuned", "end"]
    assert watched(first, []) is first


def test_trials_of_a_tuning_are_left_out_and_what_broke_is_there(result, tmp_path):
    pytest.importorskip("tensorboard")
    watcher = find_watcher(f"tensorboard:{tmp_path}")
    watcher.stage("tuning")
    watcher.finished(result)
    assert not list(tmp_path.rglob("*"))
    watcher.stage("results")
    watcher.finished(Result(result.run, "error", log="broke"))
    watcher.finished(result)
    assert list(tmp_path.rglob("events.*"))
