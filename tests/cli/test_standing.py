"""A new method among those of an archive: show, report, compare."""

import json
import shutil

import pytest

import sfnbench
from sfnbench.standing.archive import write_archive

pytest.importorskip("pyarrow")
SUITE = """
title: Small
seeds: 6
budget: {steps: 30, cost: 60}
problems:
  - {use: quadratic_saddle, label: steep}
  - {use: quadratic_saddle, label: flat, eigenvalues: [1, -1], radius: 0.1}
  - {use: monkey_saddle, label: monkey}
  - {use: strict_saddle_quartic, label: bounded, radius: 0.1}
optimizers:
  - {use: gradient_descent, lr: 0.05}
  - {use: sfn, damping: 0}
  - {use: damped_newton, damping: 0}
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """That suite, and the archive of its results."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "small.yaml").write_text(SUITE)
    runs = sfnbench.plan(sfnbench.load_suite(folder / "small.yaml"))
    write_archive(folder / "small.parquet", {"": map(sfnbench.execute, runs)})
    return folder


@pytest.fixture
def archived(here, made):
    """A folder to work in with both."""
    for name in ("small.yaml", "small.parquet"):
        shutil.copy(made / name, here / "suites")
    return here


def run_mine(sfnbench, *words):
    code, _, err = sfnbench(
        "run", "small", "-o", "msgd", "--engine", "inline", *words
    )
    assert code == 0, err


def records(out):
    return {line["optimizer"]: line for line in json.loads(out)}


def test_the_archive_alone(archived, sfnbench):
    code, out, err = sfnbench("show", "--with", "small", "--format", "json")
    found = records(out)
    assert (code, err) == (0, "")
    assert next(iter(found)) == "sfn"  # it doubles its distance in every step
    assert found["damped_newton"]["escaped"]["value"] == 0
    assert found["damped_newton"]["gradients an escape"]["value"] is None
    assert found["sfn"]["rank"]["value"] == 1
    assert {line["over"] for line in found.values()} == {
        "all: 4 problems, authors' settings"
    }


def test_a_new_method_stands_among_them(archived, sfnbench):
    run_mine(sfnbench)
    code, out, err = sfnbench("show", "--with", "small", "--format", "json")
    mine = records(out)["msgd (yours)"]
    assert code == 0
    assert mine["rank"]["low"] <= mine["rank"]["value"] <= mine["rank"]["high"]
    assert "msgd (yours): rank " in err
    assert "of 4 over 4 problems; ties with " in err


def test_a_table_for_each_kind_of_saddle(archived, sfnbench):
    run_mine(sfnbench)
    code, out, _ = sfnbench("show", "--with", "small", "--by", "kind")
    assert code == 0
    strict = out.index("strict: 3 problems, authors' settings")
    degenerate = out.index("degenerate of order 3, with zero modes: 1 problem,")
    assert strict < degenerate
    assert out.count("msgd (yours)") == 2


def test_what_was_run_on_other_terms_is_left_out_with_its_reason(
    archived, sfnbench
):
    text = (archived / "suites" / "small.yaml").read_text()
    (archived / "suites" / "small.yaml").write_text(
        text.replace("cost: 60", "cost: 90")
    )
    run_mine(sfnbench, "--seeds", 2)
    code, out, err = sfnbench("show", "--with", "small")
    assert code == 0
    assert "yours" not in out
    assert "left out, msgd on steep, " in err
    assert ": budget.cost was 60.0, is 90.0" in err


def test_fewer_seeds_and_problems_narrow_the_contest(archived, sfnbench):
    run_mine(sfnbench, "--seeds", 2, "-p", "steep", "-p", "monkey")
    _, out, err = sfnbench("show", "--with", "small", "--format", "json")
    assert records(out)["sfn"]["escaped"]["of"] == 4
    assert "of 4 over 2 problems" in err


def test_an_archived_row_whose_code_changed_is_marked(
    archived, sfnbench, monkeypatch
):
    from sfnbench.standing import changes

    known = changes.source_hash

    def changed(kind, use, params):
        return "other" if use == "sfn" else known(kind, use, params)

    monkeypatch.setattr(changes, "source_hash", changed)
    _, out, _ = sfnbench("show", "--with", "small", "--format", "json")
    found = records(out)
    assert found["sfn"]["changed since"] == "its source changed"
    assert not found["gradient_descent"].get("changed since")


def test_compare_says_against_whom_it_is_better(archived, sfnbench):
    run_mine(sfnbench, "-p", "steep", "-p", "flat")
    code, out, _ = sfnbench(
        "compare", "runs/small", "--with", "small", "--format", "json"
    )
    found = {line["against"]: line for line in json.loads(out)}
    assert code == 0
    assert set(found) == {"gradient_descent", "sfn", "damped_newton"}
    assert found["damped_newton"]["by escape area"] == "tie"  # none of both escapes
    assert found["sfn"]["by escape area"] == "worse"


def test_the_page_has_the_tables(archived, sfnbench):
    pytest.importorskip("plotly")
    run_mine(sfnbench)
    code, _, err = sfnbench(
        "report", "runs/small", "--with", "small", "-o", "r.html"
    )
    assert code == 0
    assert "msgd (yours): rank" in err
    page = (archived / "r.html").read_text()
    assert "Standing, all: 4 problems" in page
    assert "Standing, strict: 3 problems" in page


def test_wrong_use_is_one_line(archived, sfnbench):
    for words, line in (
        (("show", "--with", "toy"), "--with toy: no archive has that name"),
        (
            ("show", "--with", "small", "--at", "steps=3"),
            "--with small and --at do not go together: leave one out",
        ),
        (
            ("show", "--with", "small", "--by", "problem"),
            "--with small and --by problem do not go together: leave one out",
        ),
        (("compare", "made"), "compare takes two sides: A B, or A --with ARCHIVE"),
    ):
        code, _, err = sfnbench(*words)
        assert (code, err.count("\n")) == (2, 1)
        assert line in err
