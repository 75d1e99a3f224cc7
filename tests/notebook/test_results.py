"""The results of a folder as an object."""

import json
import os

import numpy as np
import pandas as pd
import polars as pl
import pytest

import sfnbench
from sfnbench import Results, Store, run_suite
from sfnbench.errors import NoResultsError, SfnbenchError

SUITE = """
seeds: 2
budget: {steps: 30}
metrics: [loss, {use: gradient_norm, every: 10}]
problems:
  - monkey_saddle
  - {use: quadratic_saddle, label: saddle, eigenvalues: [1, -1], radius: 1e-3}
optimizers: [sfn, {use: gradient_descent, label: GD}]
"""


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    (folder / "pair.yaml").write_text(SUITE)
    return run_suite(folder / "pair.yaml", engine="inline", out=folder / "out")


def test_it_stands_for_its_folder(results):
    with Store(results) as store:
        assert len(store.ids()) == len(results) == 4
    assert os.fspath(results) == str(results.folder)
    with pytest.raises(NoResultsError):
        Results(results.folder / "none")


def test_it_says_what_became_of_its_runs(results):
    assert results.statuses == {"ok": 4}
    assert results.failures == {}
    assert repr(results) == f"<Results: {results.folder}, 4 runs: 4 ok>"
    assert "GD" in str(results)
    assert results._repr_html_().count("<tr") == 5  # its head, and a row a run


def test_representations_are_short(results):
    suite = sfnbench.load_suite(results.folder.parent / "pair.yaml")
    run = sfnbench.plan(suite)[0]
    with Store(results) as store:
        for thing in (suite, run, sfnbench.execute(run), store, results):
            assert len(repr(thing)) < 200


def test_rows_as_data_frames(results):
    frame = results.to_pandas()
    with Store(results) as store:
        losses = [
            row["final_loss"] for each in store.summaries() for row in each.rows
        ]
    assert frame["final_loss"].tolist() == losses
    assert results.to_polars()["final_loss"].to_list() == losses
    assert frame["problem_label"].unique().tolist() == ["monkey_saddle", "saddle"]


def test_curves_as_data_frames(results):
    frame = results.to_pandas(curves=True)
    chosen = frame.query("optimizer == 'GD' and problem == 'saddle' and seed == 1")
    with Store(results) as store:
        result = next(
            each for each in store.results() if each.run.title == "GD on saddle"
        )
    assert chosen["step"].tolist() == list(range(31))
    assert chosen["loss"].tolist() == result.series["loss"][1].tolist()
    norms = chosen.dropna(subset="gradient_norm")
    assert norms["step"].tolist() == [0, 10, 20, 30]
    assert chosen["cost"].tolist() == list(range(31))  # a gradient a step
    other = results.to_polars(curves=True)
    assert isinstance(other, pl.DataFrame)
    assert other.shape == frame.shape
    np.testing.assert_array_equal(
        other["loss"].to_numpy(), frame["loss"].to_numpy(dtype=float)
    )
    assert isinstance(frame, pd.DataFrame)


def test_figures_are_pictures(results, tmp_path):
    for drawing in (
        results.plot("loss"),
        results.plot("escape", against="cost"),
        results.figure(results.figures[0]),
    ):
        assert drawing._repr_png_().startswith(b"\x89PNG")
    assert len(results.plot("loss").canvas.axes) == 2  # a panel a problem
    assert (
        results.plot().save(tmp_path / "loss.svg").read_text().startswith("<?xml")
    )
    with pytest.raises(SfnbenchError, match="did you mean 'loss'"):
        results.plot("los")
    with pytest.raises(SfnbenchError, match="no figure 'x'"):
        results.figure("x")


def test_two_folders_are_compared(results):
    verdicts = {str(line["verdict"]) for line in results.compare(results)}
    assert verdicts == {"same"}
    assert "verdict" in repr(results.compare(results.folder))


def test_the_table_holds_the_numbers_of_the_command_line(results):
    from sfnbench.results.tables import render

    printed = json.loads(render(results.table, "json"))
    assert [each["optimizer"] for each in printed] == ["sfn", "GD"] * 2
