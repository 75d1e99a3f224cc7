"""Exact laws.

Against iteration in exact arithmetic, and against the race on the quadratic generator.
"""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sfnbench.experiments.randomness import generator
from sfnbench.problems.quadratic_saddle import QuadraticSaddle
from sfnbench.session.execute import execute
from sfnbench.theory import escape_laws as laws


def iterated(eigenvalues, start, lr, drop, at_most):
    """Gradient descent in rational numbers."""
    x = list(start)
    for k in range(at_most + 1):
        if sum(a * c * c for a, c in zip(eigenvalues, x, strict=True)) / 2 < -drop:
            return k
        x = [c * (1 - lr * a) for a, c in zip(eigenvalues, x, strict=True)]
    return math.inf


tenths = st.integers(-40, 40).map(lambda i: Fraction(i, 10))


@given(
    st.lists(st.tuples(tenths, st.integers(-8, 8)), min_size=1, max_size=4),
    st.integers(1, 5),
)
def test_the_law_is_what_exact_iteration_finds(axes, tenth_of_lr):
    eigenvalues = [curvature for curvature, _ in axes]
    start = [Fraction(c, 16) for _, c in axes]
    lr, drop = Fraction(tenth_of_lr, 10), Fraction(1, 3)
    found = laws.gradient_descent_escape(
        [float(a) for a in eigenvalues],
        [float(c) for c in start],
        float(lr),
        float(drop),
    )
    if not any(a < 0 and c for a, c in zip(eigenvalues, start, strict=True)):
        assert found == math.inf
    elif found < 60:  # numbers grow as long as the way is
        assert found == iterated(eigenvalues, start, lr, drop, 61)
    else:
        assert iterated(eigenvalues, start, lr, drop, 40) == math.inf


@settings(max_examples=200)
@given(
    negative=st.lists(st.floats(-5, -0.05), min_size=1, max_size=3),
    others=st.lists(st.floats(0, 10), max_size=4),
    radius=st.floats(-5, 0).map(lambda e: 10**e),
    share=st.floats(0.05, 1.9),
    rotation=st.one_of(st.none(), st.integers(0, 5)),
    seed=st.integers(0, 10**6),
)
def test_the_race_measures_the_exact_law_within_one_step(
    make_run, negative, others, radius, share, rotation, seed
):
    eigenvalues = [*negative, *others]
    lr = share / max(map(abs, eigenvalues))
    params = {"eigenvalues": eigenvalues, "rotation": rotation, "radius": radius}
    problem = QuadraticSaddle(**{**params, "eigenvalues": tuple(eigenvalues)})
    start = problem.start(generator(seed, "start"))
    along = (start if rotation is None else start @ problem.axes(start)).numpy()
    exact = laws.gradient_descent_escape(
        eigenvalues, along, lr, problem.escape_drop
    )
    run = make_run(
        "quadratic_saddle",
        params,
        "gradient_descent",
        {"lr": lr},
        seeds=[seed],
        steps=250,
    )
    (row,) = execute(run).rows
    if exact > 251:
        assert row["escape_step"] is None
    elif exact < 250:
        assert abs(row["escape_step"] - exact) <= 1


def test_the_logarithm_in_the_distance_and_the_inverse_curvature():
    """Ten times nearer takes ln 10 / ln(1 + lr |lambda|) steps more."""
    steps = [
        laws.gradient_descent_escape([-0.1], [10.0**-e], 0.1, 1.0)
        for e in range(1, 200, 20)
    ]
    assert np.diff(steps) == pytest.approx(
        20 * math.log(10) / math.log(1.01), rel=2e-3
    )


@given(
    st.lists(st.tuples(*[st.floats(-1, 1)] * 3), min_size=1, max_size=9).filter(
        lambda starts: len(starts) % 2
    )
)
def test_of_several_starts_it_is_the_median(starts):
    eigenvalues = [1.0, -0.3, -0.05]
    each = [
        laws.gradient_descent_escape(eigenvalues, start, 0.5, 2.0)
        for start in starts
    ]
    assert laws.gradient_descent_escape(eigenvalues, starts, 0.5, 2.0) == np.median(
        each
    )


@pytest.mark.parametrize(("flat", "median_share"), [(1, 0.5), (2, 0.25)])
def test_the_median_over_a_sphere_is_that_of_the_median_direction(
    flat, median_share
):
    """The squared share of one direction is sin^2 on the circle, and the square of a
    uniform number on the sphere."""
    curvature, lr, radius, drop = -0.1, 0.2, 1e-3, 1.0
    found = laws.gradient_descent_median_escape(
        [curvature, *[0.0] * flat], radius, lr, drop
    )
    exact = math.log(
        math.sqrt(2 * drop / -curvature / median_share) / radius
    ) / math.log1p(-lr * curvature)
    # three standard errors of the median of ln |c|: its density is 1/2 or more
    off = 3 * 0.5 / math.sqrt(laws.N_STARTS) / 0.5
    assert abs(found - exact) <= 1 + off * laws.steps_an_e_fold(lr, curvature)


def test_an_e_fold_nearer():
    near, far = (
        laws.gradient_descent_escape([-0.1], [math.exp(-n)], 0.2, 1.0)
        for n in (400, 10)
    )
    assert abs((near - far) - 390 * laws.steps_an_e_fold(0.2, -0.1)) <= 1


def test_what_has_escaped_at_once_and_what_never_does():
    assert laws.gradient_descent_escape([-2.0], [2.0], 0.1, 1.0) == 0
    assert (
        laws.gradient_descent_escape([1.0, -2.0], [1.0, 0.0], 0.1, 1.0) == math.inf
    )
    assert (
        laws.gradient_descent_escape([1.0, 0.0], [1.0, 1.0], 0.1, 1.0) == math.inf
    )


@pytest.mark.parametrize("lr", [0.0, -0.1, 0.21])
def test_misuse(lr):
    with pytest.raises(ValueError, match="lr must be above 0 and at most 2 / 10"):
        laws.gradient_descent_escape([10.0, -2.0], [0.0, 1.0], lr, 1.0)
    with pytest.raises(
        ValueError,
        match=r"eigenvalues \(2,\) and start \(1,\) must be vectors of one length",
    ):
        laws.gradient_descent_escape([10.0, -2.0], torch.ones(1).numpy(), 0.1, 1.0)
