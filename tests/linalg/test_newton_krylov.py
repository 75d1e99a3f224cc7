"""Newton's step and signs by products, against the whole matrix."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sfnbench.linalg.lanczos import lanczos
from sfnbench.linalg.newton_krylov import (
    CHANCE,
    MOST_PRODUCTS,
    Signs,
    hidden,
    krylov_step,
)


def matrix(values, seed=0):
    """A symmetric matrix (d, d) with these eigenvalues."""
    rng = np.random.default_rng(seed)
    Q, _ = np.linalg.qr(rng.standard_normal((len(values), len(values))))
    return Q @ np.diag(values) @ Q.T


def signs(values, k, seed=0):
    H = torch.from_numpy(matrix(values))
    start = torch.from_numpy(
        np.random.default_rng(seed).standard_normal(len(values))
    )
    return Signs(lanczos(lambda v: H @ v, start, k), len(values))


@given(st.integers(0, 99), st.floats(-100, 100), st.floats(-100, 100))
def test_the_step_is_that_of_the_whole_matrix_in_any_units(seed, power, g_power):
    rng = np.random.default_rng(seed)
    H = 10**power * matrix(rng.choice([-1, 1], 12) * rng.uniform(0.1, 10, 12), seed)
    g = 10**g_power * rng.standard_normal(12)
    step, size, unsolved = krylov_step(g, lambda v: H @ v, math.inf)
    exact = np.linalg.solve(H, -g)
    assert np.linalg.norm(step - exact) <= 1e-6 * np.linalg.norm(exact)
    assert size <= np.linalg.norm(H, 2) * (1 + 1e-12)
    left = np.linalg.norm(H @ step + g) / np.linalg.norm(g)
    assert unsolved == pytest.approx(left, abs=1e-9)


def test_a_singular_matrix_has_the_shortest_step_or_none():
    H, Q = np.diag([3.0, -1.0, 0.0]), matrix([1.0, 1.0, 1.0])
    step = krylov_step(np.array([3.0, 1.0, 0.0]), lambda v: H @ v, math.inf).step
    assert step == pytest.approx([-1.0, 1.0, 0.0])
    for g in (np.array([3.0, 1.0, 0.1]), np.array([0.0, 0.0, 1.0])):
        found = krylov_step(g, lambda v: H @ v, math.inf)
        assert np.isnan(found.step).all()
        kernel = abs(g[2]) / np.linalg.norm(g)
        assert found.unsolved == pytest.approx(kernel, rel=1e-6)
    assert not krylov_step(np.zeros(3), lambda v: Q @ v, math.inf)[0].any()


def test_a_step_that_becomes_too_long_is_none():
    H = np.diag([1.0, 1e-3])
    g = np.array([1.0, 1.0])  # a step of 1000
    assert np.isfinite(krylov_step(g, lambda v: H @ v, 1001.0)[0]).all()
    found = krylov_step(g, lambda v: H @ v, 999.0)
    assert np.isinf(found.step).all()
    assert math.isnan(found.unsolved)


def test_a_system_that_is_not_solved_has_no_step():
    values = np.geomspace(1e-12, 1, 1000)
    found = krylov_step(np.ones(1000), lambda v: values * v, math.inf)
    assert np.isnan(found.step).all()
    assert 1e-3 < found.unsolved < 1


def counted(values, n):
    """A product with diag(values) (d,) that adds to a list."""

    def product(v):
        n.append(1)
        return values * v

    return product


def test_a_hasty_solve_gives_up_early_where_a_patient_one_would_in_vain():
    values = np.geomspace(1e-12, 1, 1000)
    patient, hasty = [], []
    krylov_step(np.ones(1000), counted(values, patient), math.inf)
    found = krylov_step(np.ones(1000), counted(values, hasty), math.inf, hasty=True)
    assert np.isnan(found.step).all()
    assert 1e-3 < found.unsolved < 1
    assert len(patient) == MOST_PRODUCTS + 2
    assert len(hasty) <= 110


@pytest.mark.parametrize("lowest", [0.02, 0.1, 0.5])
def test_a_hasty_solve_that_succeeds_has_the_same_step(lowest):
    """On one interval, and on two with a gap around zero, where MINRES takes two products each."""
    for values in (
        np.linspace(lowest, 1, 1000),
        np.concatenate([-np.linspace(lowest, 1, 500), np.linspace(lowest, 1, 500)]),
        np.append(np.linspace(0.5, 1, 999), [-1e-3]),
    ):
        g = np.random.default_rng(0).standard_normal(1000)
        patient, hasty = (
            krylov_step(g, lambda v, L=values: L * v, math.inf, hasty=each)
            for each in (False, True)
        )
        assert np.array_equal(patient.step, hasty.step, equal_nan=True)
        assert patient.size == hasty.size


def test_no_eigenvalue_hides_further_out_than_the_gap():
    """The worst spectra have a single eigenvalue outside of a band (Kuczynski, Wozniakowski)."""
    for outlier in (1.01, 1.1, 2.0):
        values = np.append(np.linspace(-1, 1, 299), outlier)
        for seed in range(20):
            found = signs(values, k=25, seed=seed)
            assert not found.is_exhausted
            assert found.values[-1] <= outlier + 1e-12
            assert outlier <= found.values[-1] + found.gap


def test_the_gap_is_that_of_the_theorem():
    # 1.648 sqrt(m) exp(-(2 k - 1) sqrt(share)) is the chance
    k, m = 60, 10_000
    ratio = hidden(k, m)
    share = ratio / (1 + 2 * ratio)
    chance = 1.648 * math.sqrt(m) * math.exp(-(2 * k - 1) * math.sqrt(share))
    assert chance == pytest.approx(CHANCE)


@pytest.mark.parametrize(
    ("values", "k", "expected"),
    [
        ([1.0, 2.0, -3.0], 3, (True, True)),
        ([1.0, 2.0, 3.0], 3, (False, True)),
        ([0.0, 0.0, 0.0], 3, (False, False)),
        ([-1.0] * 30, 10, (True, False)),  # one eigenvalue is soon seen
        (np.linspace(0.01, 1, 300), 60, None),  # a negative one may hide
        (np.linspace(0.5, 1, 300), 60, (False, True)),
        (np.linspace(-1, 1, 300), 5, (True, True)),
        (np.linspace(0.5, 1, 300), 5, None),  # five products see too little
    ],
)
def test_signs_are_given_where_products_show_them(values, k, expected):
    found = signs(values, k)
    flags = found.found(1e-6 * found.size, np.zeros(len(found.values), dtype=bool))
    if flags is not None:
        flags = tuple(bool(each.any()) for each in flags)
    assert flags == expected
