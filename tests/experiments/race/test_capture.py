"""Who is captured by a saddle, and for how long they stay near it.

Exact laws, measured by the race.
"""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfnbench.session.execute import execute


@settings(max_examples=30)
@given(st.floats(1e-6, 1e-2), st.floats(0.01, 0.19))
def test_gradient_descent_is_near_until_it_has_doubled_its_distance(make_run, y, lr):
    growth = math.log(2) / math.log(1 + 2 * lr)  # steps
    if abs(round(growth) - growth) < 1e-6:
        return  # on the border rounding decides
    (row,) = execute(
        make_run(
            "quadratic_saddle",
            {"start_at": [0.0, y]},
            "gradient_descent",
            {"lr": lr},
            seeds=1,
            steps=900,
        )
    ).rows
    assert row["escape_step"] > growth
    assert row["dwell_steps"] == math.floor(growth)
    assert row["captured"] is False


@pytest.mark.parametrize("problem", ["quadratic_saddle", "monkey_saddle"])
def test_newton_is_captured_with_a_certificate_on_either_saddle(make_run, problem):
    rows = execute(make_run(problem, {}, "damped_newton", {"damping": 0.0}, seeds=8, steps=40)).rows
    kind = {"quadratic_saddle": "strict saddle", "monkey_saddle": "degenerate"}[problem]
    for row in rows:
        assert (row["captured"], row["end_point"], row["dwell_steps"], row["escape_step"]) == (
            True,
            kind,
            40,
            None,
        )


def test_saddle_free_newton_is_captured_nowhere_on_the_quadratic(make_run):
    rows = execute(make_run("quadratic_saddle", {}, "sfn", {}, seeds=8, steps=60)).rows
    assert [row["captured"] for row in rows] == [False] * 8
    assert {row["end_point"] for row in rows} == {"not critical"}


def test_on_the_stable_manifold_everybody_is_captured(make_run):
    run = make_run(
        "quadratic_saddle",
        {"start_at": [0.1, 0.0]},
        "gradient_descent",
        {"lr": 0.05},
        seeds=1,
        steps=80,
    )
    (row,) = execute(run).rows
    assert (row["captured"], row["dwell_steps"]) == (True, 80)


def test_what_lies_far_off_or_has_a_slope_is_no_capture(make_run):
    """Too few steps to leave, and a slope all the while; then a minimum, where everything ends."""
    (early,) = execute(
        make_run("quadratic_saddle", {}, "gradient_descent", {"lr": 0.05}, seeds=1, steps=3)
    ).rows
    assert (early["captured"], early["dwell_steps"], early["end_point"]) == (
        False,
        3,
        "not critical",
    )
    autoencoder = {"n_inputs": 2, "n_hidden": 1, "radius": 0.1}
    (row,) = execute(
        make_run(
            "linear_autoencoder", autoencoder, "gradient_descent", {"lr": 0.2}, seeds=1, steps=999
        )
    ).rows
    assert row["escape_step"] is not None
    assert row["gradient_norm"] < 1e-6
    assert row["captured"] is False


def test_without_a_saddle_there_is_nothing_to_say(make_run):
    bowl = {"eigenvalues": [1.0, 2.0]}
    (row,) = execute(
        make_run("quadratic_saddle", bowl, "gradient_descent", {}, seeds=1, steps=5)
    ).rows
    assert (row["captured"], row["dwell_steps"]) == (None, None)


def test_who_has_escaped_is_near_no_more_however_near_its_minimum_lies(make_run):
    """Lee's minima lie at 1 from the saddle, which is within twice a start's distance of 0.5."""
    (row,) = execute(
        make_run("lee", {"radius": 0.5}, "gradient_descent", {"lr": 0.1}, seeds=1, steps=200)
    ).rows
    assert row["dwell_steps"] == row["escape_step"] - 1
    (below,) = execute(
        make_run("lee", {"start_at": [0.0, 1.0]}, "gradient_descent", {"lr": 0.1}, seeds=1, steps=9)
    ).rows
    assert (below["escape_step"], below["dwell_steps"]) == (1, 0)


def test_from_the_saddle_itself_one_dwells_until_the_escape(make_run):
    asked = {"start_at": [0.0, 0.0]}
    (stays,) = execute(
        make_run("lee", asked, "gradient_descent", {"lr": 0.1}, seeds=1, steps=30)
    ).rows
    assert (stays["dwell_steps"], stays["captured"]) == (30, True)
    (leaves,) = execute(
        make_run("lee", asked, "noisy_gradient_descent", {"lr": 0.1}, seeds=1, steps=300)
    ).rows
    assert leaves["dwell_steps"] == leaves["escape_step"] - 1 > 1
