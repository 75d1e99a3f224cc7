"""A method that joins a suite by its name, and cannot run on all of its problems."""

import pytest

from sfnbench import load_suite, plan
from sfnbench.errors import SuiteError
from sfnbench.suite.plan import full_plan

SUITE = """
title: A toy beside a network
seeds: 1
budget: {steps: 2}
problems:
  - {use: quadratic_saddle, label: toy}
  - {use: mlp, label: net, dataset: digits, size: 4, n_examples: 20, hidden: [2]}
optimizers: [sfn]
"""


@pytest.fixture
def suite(tmp_path):
    (tmp_path / "s.yaml").write_text(SUITE)
    return load_suite(tmp_path / "s.yaml")


def test_what_wants_matrices_is_left_out_where_there_are_none(suite):
    made = full_plan(suite, optimizers=["sfn", "torch.optim.Muon"])
    assert [run.title for run in made.runs] == [
        "sfn on toy",
        "sfn on net",
        "torch.optim.Muon on net",
    ]
    (line,) = made.left_out
    assert line.startswith("torch.optim.Muon is left out on 1 problem, toy: ")
    assert "it is for matrices, and there are none" in line


def test_what_runs_on_none_is_refused(suite):
    with pytest.raises(SuiteError, match="it is for matrices, and there are none"):
        plan(suite, optimizers=["torch.optim.Muon"], problems=["toy"])


def test_the_command_says_what_it_leaves_out(sfnbench, here):
    (here / "suites" / "s.yaml").write_text(SUITE)
    words = ("run", "s", "-o", "torch.optim.Muon", "--dry-run")
    for _ in range(2):  # planned, and recalled
        code, out, err = sfnbench(*words)
        assert code == 0
        assert "Muon is left out on 1 problem, toy" in err
        assert "toy" not in out


def test_an_index_above_the_dimension_is_refused(tmp_path):
    (tmp_path / "f.yaml").write_text(
        "experiment: critical_points\nseeds: 1\nrandom: 1\n"
        "problems: [mueller_brown]\nfinders: [{use: sfn_k, index: 3}]\n"
    )
    with pytest.raises(SuiteError, match="index 3 is above the dimension, 2"):
        plan(load_suite(tmp_path / "f.yaml"))
