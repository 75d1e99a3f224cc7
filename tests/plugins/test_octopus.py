"""The octopus: two ways of writing it, and how long gradient descent takes."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sfnbench.members import registry
from sfnbench.optimizers.gradient_descent import GradientDescent
from sfnbench.session.execute import execute
from sfnbench.survival.targets import hitting_times
from sfnbench.trajectories.single import Looped

Octopus = registry.load(registry.find("problem", "octopus"))


def by_cases(p, x):
    """The definition of Du et al. 2017, case by case, one coordinate at a time."""
    L, gamma, tau, d = p.smoothness, p.gamma, p.tau, len(x)

    def g1(s):
        u = s - tau
        return (
            -gamma * s**2
            + (-14 * L + 10 * gamma) / (3 * tau) * u**3
            + (5 * L - 3 * gamma) / (2 * tau**2) * u**4
        )

    def g2(s):
        u = s - 2 * tau
        return -gamma - (L + gamma) * (
            10 * u**3 / tau**3 + 15 * u**4 / tau**4 + 6 * u**5 / tau**5
        )

    nu = -g1(2 * tau) + 4 * L * tau**2
    i = next((j for j in range(d) if abs(x[j]) <= 2 * tau), d)
    f = sum(L * (abs(x[j]) - 4 * tau) ** 2 - nu for j in range(i))
    if i == d:
        return f
    if abs(x[i]) <= tau:
        return f - gamma * x[i] ** 2 + L * sum(x[j] ** 2 for j in range(i + 1, d))
    f += g1(abs(x[i]))
    if i + 1 < d:
        f += g2(abs(x[i])) * x[i + 1] ** 2
    return f + L * sum(x[j] ** 2 for j in range(i + 2, d))


@given(
    st.lists(st.floats(-6, 6), min_size=4, max_size=4),
    st.floats(1, 3),
    st.floats(0.1, 1),
    st.floats(0.5, 3),
)
def test_the_loss_is_the_definition(x, smoothness, gamma, tau):
    problem = Octopus(
        n=4, smoothness=smoothness, gamma=gamma, tau=tau, half_width=0.1
    )
    point = torch.tensor([tau * each for each in x], dtype=torch.float64)
    assert problem.loss(point, None).item() == pytest.approx(
        by_cases(problem, point.tolist()), rel=1e-10, abs=1e-9
    )


@given(
    st.floats(1, 3), st.floats(0.1, 1), st.sampled_from([1, 2]), st.floats(-1, 1)
)
def test_along_the_chain_slope_and_curvature_have_no_jump(
    smoothness, gamma, n_tau, y
):
    """At |x_1| = tau, and at 2 tau, where the second coordinate becomes the one that leaves."""
    problem = Octopus(n=2, smoothness=smoothness, gamma=gamma)
    before, after = (
        torch.tensor(
            [n_tau * problem.tau * (1 + h), y * problem.tau], dtype=torch.float64
        )
        for h in (-1e-12, 1e-12)
    )
    gradient = torch.func.grad(lambda t: problem.loss(t, None))
    torch.testing.assert_close(
        gradient(before), gradient(after), rtol=1e-9, atol=1e-9
    )
    torch.testing.assert_close(
        problem.hessian(before, None),
        problem.hessian(after, None),
        rtol=1e-8,
        atol=1e-8,
    )


def test_gradient_descent_takes_ever_longer():
    """The published setting L = gamma = 1, tau = e, lr = 1/4L, from a start uniform in the
    cube [-1, 1]^10."""
    problem = Octopus(n=10)
    start = torch.from_numpy(np.random.default_rng(0).uniform(-1, 1, (1, 10)))
    trajectory, losses = Looped(problem, GradientDescent(lr=0.25), start), []
    for _ in range(1500):
        trajectory.step([(None,)], None)
        losses.append(trajectory.loss_before.item())  # of the step before
    halfway = [-(k + 0.5) * problem.nu for k in range(6)]
    (left,) = hitting_times([losses], np.arange(1500), halfway)
    assert left.tolist() == [8, 26, 72, 198, 539, 1465]
    kappa = 1 + math.log(2) / math.log(1.5)
    assert np.diff(left)[1:] / np.diff(left)[:-1] == pytest.approx(
        np.full(4, kappa), rel=0.08
    )


def test_saddle_free_newton_without_noise_leaves_one_saddle_and_is_caught_by_the_next(
    make_run,
):
    rows = execute(
        make_run("octopus", {"n": 4}, "sfn", {"damping": 0.0}, seeds=4, steps=100)
    ).rows
    nu = Octopus(n=4).nu
    for row in rows:
        assert row["final_loss"] == pytest.approx(-nu)
        assert (row["captured"], row["end_point"]) == (True, "min-max saddle")


def test_misuse():
    with pytest.raises(
        ValueError, match="gamma must be at most smoothness = 1, got 2"
    ):
        Octopus(gamma=2.0)
    with pytest.raises(
        ValueError, match=r"half_width must be at most tau = 0\.5, got 1"
    ):
        Octopus(tau=0.5)
    with pytest.raises(ValueError, match="n_left must be at most n = 5, got 6"):
        Octopus(n_left=6)
