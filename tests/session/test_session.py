"""A suite from plan to store, called from Python."""

import shutil

import pytest

from sfnbench import Store, load_suite, run_suite
from sfnbench.errors import DeviceError, StoreError
from sfnbench.session.device import device_kind
from sfnbench.session.engines import execute_all
from sfnbench.session.folders import latest
from sfnbench.session.observer import Observer


class Notes(Observer):
    def __init__(self):
        self.begun, self.done, self.ended = None, [], 0

    def begin(self, todo, n_stored, stale):
        self.begun = len(todo), n_stored, list(stale)

    def finished(self, result):
        self.done.append(result.run.id)

    def end(self):
        self.ended += 1


@pytest.fixture
def suite(tmp_path):
    path = tmp_path / "pair.yaml"
    path.write_text(
        "seeds: 2\nbudget: {steps: 3}\nproblems: [monkey_saddle]\noptimizers: [sfn, "
        "gradient_descent]\n"
    )
    return path


def test_what_is_missing_is_executed_and_told(suite, tmp_path):
    for expected in ((2, 0), (0, 2)):
        notes = Notes()
        run_suite(suite, engine="inline", out=tmp_path / "out", observer=notes)
        assert notes.begun[:2] == expected
        assert len(notes.done) == expected[0]
        assert notes.ended == 1


def test_what_an_engine_has_when_ctrl_c_comes_is_stored(
    suite, tmp_path, monkeypatch
):
    def execute(runs, **_):
        """As a cluster does it: the second result is there when the first is handed out."""
        first, second = execute_all(list(runs), engine="inline")
        try:
            yield first
        except KeyboardInterrupt:
            yield second
            raise

    class Stop(Notes):
        def finished(self, result):
            super().finished(result)
            if len(self.done) == 1:
                raise KeyboardInterrupt

    monkeypatch.setattr("sfnbench.session.session.execute_all", execute)
    notes = Stop()
    with pytest.raises(KeyboardInterrupt):
        run_suite(suite, out=tmp_path / "out", observer=notes)
    assert (len(notes.done), notes.ended) == (2, 1)
    with Store(tmp_path / "out") as store:
        assert store.ids() == set(notes.done)


def test_fresh_keeps_the_old_result_until_the_new_one_is_there(
    suite, tmp_path, monkeypatch
):
    folder = run_suite(suite, engine="inline", out=tmp_path / "out")

    class Stop(Notes):
        def finished(self, result):
            super().finished(result)
            raise KeyboardInterrupt

    notes = Stop()
    with pytest.raises(KeyboardInterrupt):
        run_suite(suite, engine="inline", out=folder, fresh=True, observer=notes)
    assert notes.ended == 1
    with Store(folder) as store:
        assert len(store.ids()) == 2


def test_a_result_that_cannot_be_kept_stops_the_session_and_costs_no_other(
    suite, tmp_path, monkeypatch
):
    kept = Store.put

    def full(self, result):
        if result.run.method.label == "gradient_descent":
            raise StoreError("database or disk is full")
        kept(self, result)

    monkeypatch.setattr(Store, "put", full)
    notes = Notes()
    with pytest.raises(StoreError, match="disk is full"):
        run_suite(suite, out=tmp_path / "out", jobs=1, observer=notes)
    assert notes.ended == 1
    with Store(tmp_path / "out") as store:
        assert [result.run.method.label for result in store.summaries()] == ["sfn"]


def test_the_last_results_are_found(suite, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StoreError, match="no results in runs"):
        latest()
    folder = run_suite(load_suite(suite), engine="inline")
    assert latest() == folder.folder


def test_devices_by_name():
    assert device_kind("cpu") == "cpu"
    with pytest.raises(DeviceError, match="unknown device 'gpu'"):
        device_kind("gpu")


def test_a_folder_that_is_deleted_midway_ends_the_session_at_once(tmp_path):
    """The runs left would be executed, called ok, and lost."""

    class Vandal(Observer):
        n_finished = 0

        def finished(self, result):
            self.n_finished += 1
            shutil.rmtree(tmp_path / "out")

    vandal = Vandal()
    with pytest.raises(
        StoreError, match="was deleted or replaced while it was in use"
    ):
        run_suite(
            "smoke", engine="inline", out=tmp_path / "out", seeds=1, observer=vandal
        )
    assert vandal.n_finished == 1
