"""Inertia against eigenvalues."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import eigvalsh

from sfnbench.linalg.inertia import count_below


@given(n=st.integers(1, 40), seed=st.integers(0, 10**6), value=st.floats(-3, 3))
def test_counts_what_lies_below(n, seed, value):
    H = np.random.default_rng(seed).standard_normal((n, n))
    H = (H + H.T) / 2
    assert count_below(H, value) == (eigvalsh(H) < value).sum()


@given(n=st.integers(2, 30), rank=st.integers(0, 30), seed=st.integers(0, 10**6))
def test_zeros_are_not_negative_below_a_threshold(n, rank, seed):
    """A saddle with a kernel.

    The index with a threshold is the number of planted negative directions.
    """
    rng = np.random.default_rng(seed)
    Q = np.linalg.qr(rng.standard_normal((n, n)))[0]
    eigenvalues = np.where(
        np.arange(n) < min(rank, n), rng.choice([-1.0, 2.0], n), 0.0
    )
    assert count_below(Q * eigenvalues @ Q.T, -1e-6) == (eigenvalues < 0).sum()


def test_pairs_of_pivots():
    assert count_below(np.array([[0.0, 1.0], [1.0, 0.0]])) == 1
    assert count_below(np.kron(np.eye(3), np.array([[0.0, 1.0], [1.0, 0.0]]))) == 3
    assert count_below(np.zeros((3, 3))) == 0


def test_only_the_lower_triangle_is_read_and_nothing_written():
    H = np.array([[1.0, 99.0], [2.0, 1.0]])
    kept = H.copy()
    assert count_below(H) == 1
    assert (kept == H).all()


@pytest.mark.parametrize(
    "H", [np.zeros((2, 3)), np.zeros(4), np.array([[1.0, np.nan], [np.nan, 1.0]])]
)
def test_misuse(H):
    with pytest.raises(
        ValueError, match=r"the Hessian is not finite|a Hessian is square"
    ):
        count_below(H)
