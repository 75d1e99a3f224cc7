"""The page of the talk's claims: its rules, and that its suites and arms exist."""

import pytest
from claims.__main__ import SUITES, _table
from claims.claim import DEPENDS, NO, YES, Results, text, verdict_of
from claims.escapes import newton_is_drawn
from claims.training import FROM_STALL, FROM_START

from sfnbench import load_suite, plan
from sfnbench.experiments.race.execute import execute
from sfnbench.survival.intervals import Estimate

INF, NAN = float("inf"), float("nan")


def test_a_verdict_is_yes_only_where_all_hold():
    assert verdict_of([True, True]) == YES
    assert verdict_of([True, False]) == DEPENDS
    assert verdict_of([False, False]) == NO


@pytest.mark.parametrize(
    ("estimate", "expected"),
    [
        (Estimate(1.25, 1.0, 2.0), "1.25 [1, 2]"),
        (Estimate(3.0, NAN, NAN), "3"),
        (Estimate(INF, 5.0, INF), "beyond the budget [5, inf]"),
        (Estimate(INF, INF, INF), "beyond the budget"),
    ],
)
def test_a_number_stands_with_its_interval(estimate, expected):
    assert text(estimate) == expected


def test_a_table_has_all_columns_and_escapes_its_bars():
    lines = [{"method": "|H|"}, {"method": "H", "loss": "1"}]
    assert list(_table(lines)) == [
        "| method | loss |",
        "|---|---|",
        "| \\|H\\| |  |",
        "| H | 1 |",
    ]


@pytest.mark.parametrize("suite", SUITES)
def test_what_the_claims_rest_on_exists(suite):
    words = SUITES[suite]
    profile = words[words.index("--profile") + 1] if "--profile" in words else None
    found = load_suite(suite, profile)
    labels = {run.method.label for run in plan(found)}
    assert labels
    if suite in ("autoencoder", "rnn"):
        assert labels >= {*FROM_START, *FROM_STALL}


def test_newton_is_drawn_where_it_is_captured_and_its_controls_are_not(make_run):
    methods = {
        "damped_newton": {"damping": 0.0},
        "gradient_descent": {"lr": 0.05},
        "sfn": {"damping": 0.0},
    }
    results = [
        execute(
            make_run("quadratic_saddle", {}, use, params, seeds=8, steps=200),
            lambda _: None,
        )
        for use, params in methods.items()
    ]
    found = newton_is_drawn(
        Results({"toy": results, "escape": [], "landscapes": []})
    )
    assert found.verdict == YES
    assert found.figures[0]["Newton captured"] == "1.00 [0.68, 1.00]"
