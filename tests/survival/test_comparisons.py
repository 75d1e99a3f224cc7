"""One method against another, by textbooks and second implementations."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from sfnbench.survival.comparisons import holm, paired_differences, probability_of_improvement


def test_holm_of_the_definition():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_rejects_step_down(ps):
    """In order of size, the i-th of m is rejected while it is below 0.05 / (m - i), and none after the first that is not."""
    order = sorted(range(len(ps)), key=ps.__getitem__)
    rejected, going = set(), True
    for i, place in enumerate(order):
        going = going and ps[place] * (len(ps) - i) < 0.05
        rejected |= {place} if going else set()
    assert {i for i, p in enumerate(holm(ps)) if p < 0.05} == rejected


def test_differences_are_paired_by_seed():
    reference = {
        seed: 10.0 * seed for seed in range(10)
    }  # the spread over seeds hides a shift that pairing shows
    rivals = {
        "worse": {seed: 10.0 * seed + 1 + seed / 10 for seed in range(9, 2, -1)},
        "same": dict(reference),
    }
    found = paired_differences(reference, rivals)
    assert found["worse"].difference.value == pytest.approx(1.6)
    assert found["worse"].n == 7
    assert found["worse"].p == 2 * 0.5**7  # all signs alike, two-sided
    assert found["worse"].p_holm == 2 * found["worse"].p
    assert found["same"] == ((0, 0, 0), 1.0, 1.0, 10)


def test_what_is_not_a_number_is_infinitely_worse_and_both_are_equal():
    found = paired_differences(
        {0: 1.0, 1: math.nan, 2: 1.0}, {"b": {0: math.nan, 1: math.inf, 2: 1.0}}
    )["b"]
    assert found.difference.value == 0
    assert found.n == 3
    with pytest.raises(ValueError, match="b and its reference have no seed in common"):
        paired_differences({0: 1.0}, {"b": {1: 1.0}})


@given(
    st.lists(st.integers(0, 5), min_size=5, max_size=8),
    st.lists(st.integers(0, 5), min_size=5, max_size=8),
)
def test_probability_of_improvement_is_mann_whitneys_u(a, b):
    found = probability_of_improvement(a, b)
    u = stats.mannwhitneyu(b, a).statistic if len({*a, *b}) > 1 else len(a) * len(b) / 2
    assert found.value == pytest.approx(u / (len(a) * len(b)))
    assert 0 <= found.low <= found.high <= 1


def test_without_runs_there_is_no_probability():
    assert all(math.isnan(each) for each in probability_of_improvement([], [1.0]))


@pytest.mark.parametrize("n", [1, 2, 4])
def test_fewer_than_five_have_no_interval(n):
    values = np.arange(float(n))
    paired = paired_differences(dict(enumerate(values)), {"b": dict(enumerate(2 * values))})
    for found in (paired["b"].difference, probability_of_improvement(values, values + 1)):
        assert math.isfinite(found.value)
        assert math.isnan(found.low)
        assert math.isnan(found.high)
