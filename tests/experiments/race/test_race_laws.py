"""Exact laws of the talk's toy saddles, measured by the race itself."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sfnbench.core.oracle import Oracle
from sfnbench.optimizers.damped_newton import DampedNewton
from sfnbench.optimizers.gradient_descent import GradientDescent
from sfnbench.optimizers.sfn import SaddleFreeNewton
from sfnbench.problems.monkey_saddle import MonkeySaddle
from sfnbench.problems.quadratic_saddle import QuadraticSaddle
from sfnbench.records import Run, Spec
from sfnbench.session.execute import execute

coordinate = st.floats(0.01, 1).flatmap(lambda x: st.sampled_from([x, -x]))
angle = st.floats(0, 2 * math.pi)

UNDAMPED = {"damping": 0.0}


def race(
    problem, problem_params, optimizer, optimizer_params=None, *, steps, seeds=(0,)
):
    return Run(
        suite="laws",
        experiment="race",
        problem=Spec(problem, problem, problem_params, ""),
        method=Spec(optimizer, optimizer, optimizer_params or {}, ""),
        seeds=tuple(seeds),
        settings={"budget": {"steps": steps}, "metrics": [["loss", 1]]},
    )


def step(optimizer, problem, point):
    theta = torch.tensor(point, dtype=torch.float64)
    after, _ = optimizer.step(
        Oracle(problem, theta=theta), theta, optimizer.init(theta)
    )
    return after


def at(radius, theta):
    return (radius * math.cos(theta), radius * math.sin(theta))


@given(coordinate, coordinate)
def test_newton_lands_on_the_quadratic_saddle_in_one_step(x, y):
    assert (
        step(DampedNewton(damping=0.0), QuadraticSaddle(), (x, y)).norm() <= 1e-15
    )


@given(coordinate, coordinate)
def test_sfn_annuls_positive_curvature_and_doubles_negative(x, y):
    after = step(SaddleFreeNewton(damping=0.0), QuadraticSaddle(), (x, y))
    assert abs(after[0]) <= 1e-15
    assert float(after[1]) == pytest.approx(2 * y, rel=1e-14)


@given(coordinate, coordinate, st.floats(0.001, 0.19))
def test_gradient_descent_multiplies_by_one_minus_lr_times_curvature(x, y, lr):
    after = step(GradientDescent(lr=lr), QuadraticSaddle(), (x, y))
    assert after.tolist() == pytest.approx(
        [(1 - 10 * lr) * x, (1 + 2 * lr) * y], rel=1e-12, abs=1e-15
    )


@given(coordinate, coordinate, st.floats(1e-4, 10))
def test_damped_sfn_divides_by_damped_absolute_curvature(x, y, damping):
    after = step(SaddleFreeNewton(damping=damping), QuadraticSaddle(), (x, y))
    expected = [x * damping / (10 + damping), y * (4 + damping) / (2 + damping)]
    assert after.tolist() == pytest.approx(expected, rel=1e-12, abs=1e-15)


@given(st.floats(1e-3, 10), angle)
def test_newton_halves_the_radius_on_the_monkey_saddle(radius, theta):
    after = step(DampedNewton(damping=0.0), MonkeySaddle(), at(radius, theta))
    assert after.tolist() == pytest.approx(
        [c / 2 for c in at(radius, theta)], rel=1e-12, abs=1e-14 * radius
    )


@given(st.floats(1e-3, 10), angle)
def test_sfn_changes_the_radius_of_the_monkey_saddle_by_the_known_factor(
    radius, theta
):
    after = step(SaddleFreeNewton(damping=0.0), MonkeySaddle(), at(radius, theta))
    assert float(after.norm()) / radius == pytest.approx(
        math.sqrt(1.25 - math.cos(3 * theta)), rel=1e-10
    )


@pytest.mark.parametrize("theta", [math.pi / 3, math.pi, -math.pi / 3])
def test_sfn_grows_by_three_halves_along_the_steepest_rays(theta):
    point = at(0.1, theta)
    for _ in range(5):
        after = step(SaddleFreeNewton(damping=0.0), MonkeySaddle(), point)
        assert after.tolist() == pytest.approx([1.5 * c for c in point], rel=1e-9)
        point = tuple(after.tolist())


@settings(max_examples=20)
@given(st.floats(1e-6, 0.4), st.floats(0.5, 20))
def test_sfn_leaves_at_the_logarithm_of_the_distance(y, escape_radius):
    law = math.ceil(math.log2(escape_radius / y))
    if abs(law - math.log2(escape_radius / y)) < 1e-6:
        return  # on the border rounding decides
    # x is annulled by the first step, so that |y| > R is f = -y^2 < -R^2
    params = {"start_at": [0.0, y], "escape_drop": escape_radius**2}
    (row,) = execute(
        race("quadratic_saddle", params, "sfn", UNDAMPED, steps=60)
    ).rows
    assert (row["escape_step"], row["steps"]) == (law, law)


@settings(max_examples=20)
@given(st.floats(1e-4, 0.4), st.floats(0.05, 0.19))
def test_gradient_descent_leaves_at_the_step_that_its_factor_says(y, lr):
    # steps until |y| = 1 and f = -1, from x = 0
    growth = math.log(1 / y) / math.log(1 + 2 * lr)
    if abs(round(growth) - growth) < 1e-6:
        return
    run = race(
        "quadratic_saddle",
        {"start_at": [0.0, y], "escape_drop": 1.0},
        "gradient_descent",
        {"lr": lr},
        steps=400,
    )
    (row,) = execute(run).rows
    assert row["escape_step"] == math.ceil(growth)
    assert row["escape_cost"] == row["n_grad"] == row["escape_step"]


@pytest.mark.parametrize(
    ("optimizer", "params"),
    [
        ("gradient_descent", {}),
        ("msgd", {}),
        ("damped_newton", UNDAMPED),
        ("sfn", UNDAMPED),
    ],
)
@pytest.mark.parametrize(
    ("problem", "start"),
    [("quadratic_saddle", [0.1, 0.0]), ("monkey_saddle", [0.1, 0.0])],
)
def test_on_the_stable_manifold_a_noise_free_method_is_censored(
    problem, start, optimizer, params
):
    (row,) = execute(
        race(problem, {"start_at": start}, optimizer, params, steps=80)
    ).rows
    assert row["escape_step"] is None
    assert row["escape_cost"] is None
    assert row["steps"] == 80
    assert row["status"] == "ok"


def test_noise_leaves_the_stable_manifold():
    run = race(
        "quadratic_saddle",
        {"start_at": [0.1, 0.0]},
        "sfn",
        {**UNDAMPED, "noise": 1e-3},
        steps=80,
        seeds=range(8),
    )
    rows = execute(run).rows
    assert all(row["escape_step"] is not None for row in rows)
    assert len({row["final_loss"] for row in rows}) == 8


def test_newton_is_captured_and_saddle_free_newton_is_not():
    newton = execute(
        race(
            "quadratic_saddle",
            {},
            "damped_newton",
            UNDAMPED,
            steps=5,
            seeds=range(8),
        )
    ).rows
    assert {row["end_point"] for row in newton} == {"min-max saddle"}
    assert {row["index_fraction"] for row in newton} == {0.5}
    sfn = execute(
        race("quadratic_saddle", {}, "sfn", UNDAMPED, steps=60, seeds=range(8))
    ).rows
    assert {row["end_point"] for row in sfn} == {"not certified"}
    assert all(row["escape_step"] is not None for row in sfn)


@settings(max_examples=10)
@given(st.floats(0.01, 2), st.integers(0, 5))
def test_trust_region_step_has_the_stated_length(delta, seed):
    problem = QuadraticSaddle(
        eigenvalues=(5.0, 2.0, -1.0, -0.3), rotation=seed, radius=0.7
    )
    theta = problem.start(torch.Generator().manual_seed(seed))
    d = (
        step(
            SaddleFreeNewton(damping=0.0, trust_radius=delta),
            problem,
            theta.tolist(),
        )
        - theta
    )
    values, Q = np.linalg.eigh(problem.hessian(theta, None).numpy())
    absolute = (Q * np.abs(values)) @ Q.T
    assert float(d.numpy() @ absolute @ d.numpy()) == pytest.approx(delta, rel=1e-9)
    # the same direction, only its length is set
    free = step(SaddleFreeNewton(damping=0.0), problem, theta.tolist()) - theta
    assert float(
        torch.nn.functional.cosine_similarity(d, free, dim=0)
    ) == pytest.approx(1, abs=1e-12)
