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


ASKED = """
experiment: critical_points
seeds: 1
random: 1
problems: [mueller_brown]
finders: [sfn_k, {use: prfo, longest: 0.2}, levenberg_marquardt]
"""


def labels(path, text, **asked):
    path.write_text(text)
    return {
        run.method.label: run.method.params.get("index")
        for run in plan(load_suite(path), **asked)
    }


def test_one_key_asks_all_finders_for_an_index(tmp_path):
    path = tmp_path / "f.yaml"
    assert labels(path, ASKED) == {
        "sfn_k": 1,
        "prfo": 1,
        "levenberg_marquardt": None,
    }
    assert labels(path, f"{ASKED}index: any\n") == labels(path, ASKED)
    assert labels(path, f"{ASKED}index: 2\n") == {
        "sfn_k": 2,
        "prfo": 2,
        "levenberg_marquardt": None,
    }
    assert labels(path, f"{ASKED}index: [0, 1]\n") == {
        "sfn_k index=0": 0,
        "sfn_k index=1": 1,
        "prfo index=0": 0,
        "prfo index=1": 1,
        "levenberg_marquardt": None,
    }


def test_a_finder_that_joins_is_asked_too(tmp_path):
    text = f"{ASKED}index: 2\n"
    assert labels(tmp_path / "f.yaml", text, optimizers=["hisd"]) == {"hisd": 2}


def test_how_an_index_is_asked_decides_no_id(tmp_path):
    path = tmp_path / "f.yaml"
    path.write_text(ASKED)
    [alone] = plan(load_suite(path), optimizers=["sfn_k"])
    path.write_text(f"{ASKED}index: 1\n")
    [asked] = plan(load_suite(path), optimizers=["sfn_k"])
    assert asked.id == alone.id


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("index: 3", "index 3 is above the dimension, 2"),
        ("index: -1", "f.yaml:7:8: index must be at least 0, not -1"),
        (
            "index: lowest",
            "f.yaml:7:8: index must be a whole number, a list or .any.",
        ),
        ("index: [0, 0]", "the grid of index has 0 twice"),
    ],
)
def test_indices_that_cannot_be_asked(tmp_path, line, message):
    (tmp_path / "f.yaml").write_text(f"{ASKED}{line}\n")
    with pytest.raises(SuiteError, match=message):
        plan(load_suite(tmp_path / "f.yaml"))


def test_an_index_is_asked_in_one_place(tmp_path):
    text = ASKED.replace("longest: 0.2", "index: 1")
    (tmp_path / "f.yaml").write_text(f"{text}index: 1\n")
    message = (
        "f.yaml:6:30: the suite asks for an index already: leave one of them out"
    )
    with pytest.raises(SuiteError, match=message):
        load_suite(tmp_path / "f.yaml")
