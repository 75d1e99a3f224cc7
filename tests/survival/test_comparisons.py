"""One method against another, by textbooks and second implementations."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.nonparametric import rank_compare_2indep

from sfnbench.survival.comparisons import (
    holm,
    paired_differences,
    probability_of_improvement,
    signed_rank_p,
)


def test_holm_of_the_definition():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


@settings(max_examples=25)  # a tenth of a second each
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_agrees_with_statsmodels(ps):
    assert holm(ps) == pytest.approx(list(multipletests(ps, method="holm")[1]))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_rejects_step_down(ps):
    """In order of size, the i-th of m is rejected while it is below 0.05 / (m - i), and
    none after the first that is not."""
    order = sorted(range(len(ps)), key=ps.__getitem__)
    rejected, going = set(), True
    for i, place in enumerate(order):
        going = going and ps[place] * (len(ps) - i) < 0.05
        rejected |= {place} if going else set()
    assert {i for i, p in enumerate(holm(ps)) if p < 0.05} == rejected


def test_differences_are_paired_by_seed():
    # the spread over seeds hides a shift that pairing shows
    reference = {seed: 10.0 * seed for seed in range(10)}
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
    with pytest.raises(
        ValueError, match="b and its reference have no seed in common"
    ):
        paired_differences({0: 1.0}, {"b": {1: 1.0}})


@given(
    st.lists(st.integers(0, 5), min_size=6, max_size=9),
    st.lists(st.integers(0, 5), min_size=6, max_size=9),
)
def test_probability_of_improvement_is_mann_whitneys_u(a, b):
    found = probability_of_improvement(a, b)
    u = (
        stats.mannwhitneyu(b, a).statistic
        if len({*a, *b}) > 1
        else len(a) * len(b) / 2
    )
    assert found.value == pytest.approx(u / (len(a) * len(b)))
    assert 0 <= found.low <= found.value <= found.high <= 1
    mirrored = probability_of_improvement(b, a)
    assert (1 - mirrored.high, 1 - mirrored.low) == pytest.approx(found[1:])


def test_probability_of_improvement_agrees_with_statsmodels():
    a, b = np.random.default_rng(0).normal(size=(2, 30))
    assert probability_of_improvement(a, b).value == pytest.approx(
        rank_compare_2indep(b, a).prob1
    )


def test_probability_of_improvement_of_runs_that_broke():
    good, broken = [1.0] * 6, [math.nan] * 3 + [math.inf] * 3
    found = probability_of_improvement(good, broken)
    assert found.value == 1
    assert 0.5 < found.low < 1  # six against six prove no certainty
    assert probability_of_improvement(broken, broken).value == 0.5


@pytest.mark.parametrize(("n", "m"), [(6, 6), (8, 8), (6, 20), (32, 32)])
@pytest.mark.parametrize("shift", [0.0, 1.0, 2.0])
def test_the_interval_of_the_probability_of_improvement_covers_it(n, m, shift):
    """The chance that one normal variable is below another is known."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(1000, n)), rng.normal(shift, 1, size=(1000, m))
    exact = stats.norm.cdf(shift / math.sqrt(2))
    found = [probability_of_improvement(*each) for each in zip(a, b, strict=True)]
    covered = sum(each.low <= exact <= each.high for each in found)
    assert 920 <= covered <= 990


# -- Wilcoxon's signed-rank test -------------------------------------------------------------------


@given(st.lists(st.integers(-4, 4), min_size=1, max_size=10))
def test_the_signed_rank_test_with_ties_counts_all_signs(differences):
    """By definition: every choice of signs is equally likely under the null hypothesis."""
    known = np.array([each for each in differences if each], float)
    if not len(known):
        assert signed_rank_p(differences) == 1
        return
    ranks = stats.rankdata(np.abs(known))
    signs = np.array(list(itertools.product([0, 1], repeat=len(known))))
    sums = signs @ ranks
    middle = ranks.sum() / 2
    seen = ranks[known > 0].sum()
    as_far = (np.abs(sums - middle) >= abs(seen - middle) - 1e-9).mean()
    assert signed_rank_p(differences) == pytest.approx(as_far)


@pytest.mark.parametrize("n", [5, 14, 30, 50])
def test_the_signed_rank_test_without_ties_is_scipys_exact_one(n):
    differences = np.random.default_rng(n).normal(0.3, 1, n)
    exact = stats.wilcoxon(differences, method="exact").pvalue
    assert signed_rank_p(differences) == pytest.approx(exact, rel=1e-9)


@pytest.mark.parametrize("n", [500, 1500])
def test_the_signed_rank_test_of_many_is_near_the_normal_distribution(n):
    differences = np.random.default_rng(n).normal(0.1, 1, n).round(1)
    near = stats.wilcoxon(differences, method="approx").pvalue
    assert signed_rank_p(differences) == pytest.approx(near, rel=0.02)


def test_without_runs_there_is_no_probability():
    assert all(math.isnan(each) for each in probability_of_improvement([], [1.0]))


@pytest.mark.parametrize("n", [1, 2, 5])
def test_fewer_than_six_have_no_interval(n):
    values = np.arange(float(n))
    paired = paired_differences(
        dict(enumerate(values)), {"b": dict(enumerate(2 * values))}
    )
    for found in (
        paired["b"].difference,
        probability_of_improvement(values, values + 1),
    ):
        assert math.isfinite(found.value)
        assert math.isnan(found.low)
        assert math.isnan(found.high)
