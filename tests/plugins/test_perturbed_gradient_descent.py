"""Perturbed gradient descent: the paper's loop, its parameters, and the ball."""

import importlib
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from sfnbench.members import registry
from sfnbench.session.execute import execute
from sfnbench.trajectories.single import Looped

PGD = registry.load(registry.find("optimizer", "perturbed_gradient_descent"))
Lee = registry.load(registry.find("problem", "lee"))
_in_ball = importlib.import_module(PGD.__module__)._in_ball

positive = st.floats(0.05, 20)


@given(
    st.integers(1, 1000),
    positive,
    positive,
    st.floats(0.01, 1),
    positive,
    st.floats(0.01, 0.9),
    st.floats(0.01, 1),
)
def test_the_schedule_keeps_the_papers_equations(
    d, smoothness, rho, epsilon, gap, failure, c
):
    """Relations between the parameters, not their formulas once more.

    Lemmas 16 and 17 use them so.
    """
    method = PGD(
        smoothness=smoothness,
        hessian_lipschitz=rho,
        accuracy=epsilon,
        gap=gap,
        failure=failure,
        c=c,
    )
    now = method.schedule(d)
    chi = (c * math.sqrt(epsilon**3 / rho) / now.decrease) ** (1 / 3)
    assert max(chi / 3, 4) == pytest.approx(chi / 3)
    assert chi / 3 == pytest.approx(4) or d * smoothness * gap / (
        c * epsilon**2 * failure
    ) == pytest.approx(math.exp(chi / 3))
    assert (
        now.radius * smoothness
        == pytest.approx(now.gradient)
        == pytest.approx(math.sqrt(c) * epsilon / chi**2)
    )
    assert now.lr * smoothness == pytest.approx(c)
    assert (
        now.wait - 1
        < chi * smoothness / (c**2 * math.sqrt(rho * epsilon)) * (1 + 1e-12)
        <= now.wait * (1 + 1e-9)
    )


def by_the_paper(problem, method, theta, noises, n_steps):
    """Algorithm 2 with its own loop and `if`s; every point that it visits."""
    now = method.schedule(len(theta))
    gradient, since, anchor, points = (
        torch.func.grad(lambda t: problem.loss(t, None)),
        now.wait + 1,
        None,
        [],
    )
    while len(points) < n_steps:
        if gradient(theta).norm() <= now.gradient and since > now.wait:
            anchor, since = theta, 0
            theta = theta + now.radius * _in_ball(noises[len(points)])
            points.append(theta)
        waited = since == now.wait and anchor is not None
        if (
            waited
            and problem.loss(theta, None) - problem.loss(anchor, None)
            > -now.decrease
        ):
            return points + [anchor] * (n_steps - len(points))
        theta, since = theta - now.lr * gradient(theta), since + 1
        points.append(theta)
    return points[:n_steps]


@settings(max_examples=25)
@given(st.integers(0, 1000), st.sampled_from([0.0, 1e-4, 0.3]), st.integers(1, 20))
@pytest.mark.slow
def test_it_is_the_papers_algorithm(seed, y, wait):
    problem, n_steps = Lee(), 120
    method = PGD(
        smoothness=3.0,
        accuracy=0.5,
        c=0.5,
        wait=wait,
        radius=0.01,
        gradient_threshold=0.01,
    )
    start = torch.tensor([0.1, y], dtype=torch.float64)
    noises = torch.randn(
        n_steps,
        2,
        2,
        generator=torch.Generator().manual_seed(seed),
        dtype=torch.float64,
    )
    expected = by_the_paper(problem, method, start, noises, n_steps)
    trajectory = Looped(problem, method, start[None])
    for k in range(n_steps):
        trajectory.step([(None,)], noises[k : k + 1])
        torch.testing.assert_close(
            trajectory.theta[0], expected[k], rtol=1e-12, atol=1e-14
        )


@pytest.mark.parametrize("d", [1, 2, 7])
def test_the_ball_is_uniform(d):
    noise = torch.randn(
        4000, 2, d, generator=torch.Generator().manual_seed(d), dtype=torch.float64
    )
    points = torch.stack([_in_ball(each) for each in noise])
    # the share of the ball's volume that lies further in
    inside = points.norm(dim=1) ** d
    assert stats.kstest(inside.numpy(), "uniform").pvalue > 1e-3
    # the bound is four standard errors
    assert points.mean(0).abs().max() < 4 / math.sqrt(4000 * (d + 2))


def test_it_leaves_a_saddle_that_gradient_descent_never_leaves_and_ends_at_a_minimum(
    make_run,
):
    start = {"start_at": [0.5, 0.0]}
    (stays,) = execute(
        make_run("lee", start, "gradient_descent", {"lr": 0.3}, seeds=1, steps=600)
    ).rows
    assert stays["captured"] is True
    settings = {"smoothness": 3.0, "accuracy": 0.1}
    rows = execute(
        make_run(
            "lee",
            start,
            "perturbed_gradient_descent",
            settings,
            seeds=8,
            steps=3000,
        )
    ).rows
    for row in rows:
        assert row["escape_step"] is not None
        assert row["final_loss"] == pytest.approx(-0.25, abs=1e-4)
        assert row["n_grad"] == row["steps"]


def test_where_a_perturbation_gains_nothing_it_returns_and_stays(make_run):
    """In a bowl: a gradient that is small, the noise, `wait` steps in vain, and back."""
    bowl = {"eigenvalues": [1.0, 2.0], "start_at": [1e-6, 0.0]}
    method = {"smoothness": 2.0, "wait": 10, "c": 1.0}
    for returns, status in ((True, "stays"), (False, "goes on")):
        run = make_run(
            "quadratic_saddle",
            bowl,
            "perturbed_gradient_descent",
            {**method, "returns": returns},
            steps=60,
        )
        finals = [row["final_loss"] for row in execute(run).rows]
        assert all((loss == 0.5e-12) == (status == "stays") for loss in finals)
