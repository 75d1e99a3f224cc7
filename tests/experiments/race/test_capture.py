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
def test_gradient_descent_is_near_until_it_has_doubled_its_distance(
    make_run, y, lr
):
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
    assert row["steps_near"] == math.floor(growth)
    assert row["captured"] is False


@pytest.mark.parametrize("problem", ["quadratic_saddle", "monkey_saddle"])
def test_newton_is_captured_with_a_certificate_on_either_saddle(make_run, problem):
    rows = execute(
        make_run(problem, {}, "damped_newton", {"damping": 0.0}, seeds=8, steps=40)
    ).rows
    kind = {"quadratic_saddle": "min-max saddle", "monkey_saddle": "degenerate"}[
        problem
    ]
    for row in rows:
        assert (
            row["captured"],
            row["end_point"],
            row["steps_near"],
            row["escape_step"],
        ) == (True, kind, 40, None)


def test_saddle_free_newton_is_captured_nowhere_on_the_quadratic(make_run):
    rows = execute(
        make_run("quadratic_saddle", {}, "sfn", {"damping": 0.0}, seeds=8, steps=60)
    ).rows
    assert [row["captured"] for row in rows] == [False] * 8
    assert {row["end_point"] for row in rows} == {"not certified"}


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
    assert (row["captured"], row["steps_near"]) == (True, 80)


def test_what_lies_far_off_or_has_a_slope_is_no_capture(make_run):
    """A run that is still beside its saddle is held, one at a minimum is not."""
    (early,) = execute(
        make_run(
            "quadratic_saddle",
            {},
            "gradient_descent",
            {"lr": 0.05},
            seeds=1,
            steps=3,
        )
    ).rows
    assert (early["captured"], early["steps_near"], early["end_point"]) == (
        True,
        3,
        "not certified",
    )
    autoencoder = {"n_inputs": 2, "n_hidden": 1, "radius": 0.1}
    (row,) = execute(
        make_run(
            "linear_autoencoder",
            autoencoder,
            "gradient_descent",
            {"lr": 0.2},
            seeds=1,
            steps=999,
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
    assert (row["captured"], row["steps_near"]) == (None, None)


def test_who_has_escaped_is_near_no_more_however_near_its_minimum_lies(make_run):
    """Lee's minima lie at 1 from the saddle, which is within twice a start's distance of 0.5."""
    (row,) = execute(
        make_run(
            "lee",
            {"radius": 0.5},
            "gradient_descent",
            {"lr": 0.1},
            seeds=1,
            steps=200,
        )
    ).rows
    assert row["steps_near"] == row["escape_step"] - 1
    (below,) = execute(
        make_run(
            "lee",
            {"start_at": [0.0, 1.0]},
            "gradient_descent",
            {"lr": 0.1},
            seeds=1,
            steps=9,
        )
    ).rows
    assert (below["escape_step"], below["steps_near"]) == (1, 0)


def test_from_the_saddle_itself_one_dwells_until_the_escape(make_run):
    asked = {"start_at": [0.0, 0.0]}
    (stays,) = execute(
        make_run("lee", asked, "gradient_descent", {"lr": 0.1}, seeds=1, steps=30)
    ).rows
    assert (stays["steps_near"], stays["captured"]) == (30, True)
    (leaves,) = execute(
        make_run(
            "lee", asked, "noisy_gradient_descent", {"lr": 0.1}, seeds=1, steps=300
        )
    ).rows
    assert leaves["steps_near"] == leaves["escape_step"] - 1 > 1


def test_a_run_that_is_leaving_in_small_units_is_not_captured(make_run):
    """Eigenvalue -0.1 from 1e-6: its gradient is tiny for hundreds of steps, but it has left."""
    run = make_run(
        "quadratic_saddle",
        {"eigenvalues": [10, 3, -0.1], "rotation": 1, "radius": 1e-6},
        "gradient_descent",
        {"lr": 0.05},
        seeds=4,
        steps=300,
    )
    for row in execute(run).rows:
        assert row["gradient_norm"] < 1e-5
        assert row["steps_near"] < 300
        assert (row["captured"], row["end_point"], row["limit"]) == (
            False,
            "not certified",
            "steps",
        )


def test_a_tail_is_no_minimum(make_run):
    """A separable set fitted exactly: the loss falls for ever, its gradient with it."""
    problem = {"dataset": "digits", "size": 3, "n_examples": 20, "hidden": [3]}
    run = make_run("mlp", problem, "sfn", {"damping": 0.01}, seeds=1, steps=60)
    (row,) = execute(run).rows
    assert row["final_loss"] < 1e-2
    assert row["end_point"] in ("not certified", "ran away")


def test_a_loss_that_ends_far_above_its_start_is_worse(make_run):
    problem = {"dataset": "digits", "size": 3, "n_examples": 50, "hidden": [3]}
    run = make_run(
        "mlp", problem, "gradient_descent", {"lr": 1e6}, seeds=2, steps=20
    )
    result = execute(run)
    assert result.status == "worse"
    assert {row["status"] for row in result.rows} == {"worse"}
    assert not result.status.sound


@pytest.mark.parametrize("unit", [1e-4, 1.0, 1e5])
def test_units_of_parameters_change_no_label(make_run, unit):
    """A saddle seen at another distance, and methods that scale with it: the same words."""
    for optimizer, params in (
        ("damped_newton", {"damping": 0.0}),
        ("gradient_descent", {"lr": 0.05}),
    ):
        run = make_run(
            "quadratic_saddle",
            {"radius": unit},
            optimizer,
            params,
            seeds=2,
            steps=5,
        )
        words = {
            (row["end_point"], row["captured"], row["status"])
            for row in execute(run).rows
        }
        expected = (
            "min-max saddle" if optimizer == "damped_newton" else "not certified"
        )
        assert words == {(expected, True, "ok")}


def test_however_far_newton_goes_the_monkey_saddle_is_degenerate(make_run):
    """Each step halves the distance, until the Hessian is 1e-150 of the one at the start."""
    run = make_run(
        "monkey_saddle", {}, "damped_newton", {"damping": 0.0}, seeds=2, steps=500
    )
    assert {row["end_point"] for row in execute(run).rows} == {"degenerate"}


def test_newton_is_captured_where_the_gradient_at_zero_is_rounding(make_run):
    """The saddle of a planted field is 0, where large terms cancel: no step falls any more."""
    field = {"dim": 8, "features": 640, "parabola": 0.3, "planted": True}
    run = make_run(
        "gaussian_field",
        field,
        "damped_newton",
        {"damping": 0.0},
        seeds=2,
        steps=30,
    )
    for row in execute(run).rows:
        assert (row["captured"], row["end_point"]) == (True, "min-max saddle")
        assert row["root_distance"] < 1e-9
