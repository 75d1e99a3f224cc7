"""Intervals of medians, shares and whatever is resampled."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from sfnbench.survival.intervals import median, proportion, resampled_interval


def test_a_resample_without_a_value_may_have_been_anything():
    assert resampled_interval(3.0, np.arange(1001)) == (3, 25, 975)
    assert resampled_interval(3.0, [*range(900), *[math.nan] * 100]) == (
        3,
        -math.inf,
        math.inf,
    )


def test_wilson():
    """The roots p of (k/n - p)^2 = z^2 p (1 - p) / n."""
    n, k, z = 16, 12, stats.norm.ppf(0.975)
    found = proportion([True] * k + [False] * (n - k))
    assert found.value == k / n
    for p in found[1:]:
        assert (k / n - p) ** 2 == pytest.approx(z**2 * p * (1 - p) / n)
    assert math.isnan(proportion([]).value)


@pytest.mark.parametrize("n", [6, 7, 8, 9, 16, 25, 64, 101])
def test_the_interval_of_a_median_is_the_narrowest_that_inverts_the_sign_test(n):
    rng = np.random.default_rng(n)
    values = rng.normal(size=n)
    found = median(values)
    exact = stats.quantile_test(values, p=0.5).confidence_interval(0.95)
    assert (found.low, found.high) == (exact.low, exact.high)
    k = int(np.flatnonzero(np.sort(values) == found.low)[0]) + 1
    outside = stats.binom.cdf([k - 1, k], n, 0.5)
    assert 2 * outside[0] <= 0.05 < 2 * outside[1]


@pytest.mark.parametrize("n", [6, 8, 15, 40])
def test_the_interval_of_a_median_covers_it(n):
    """As often as the binomial distribution says, of a distribution as skew as one likes."""
    values = np.sort(
        np.random.default_rng(n).lognormal(sigma=2.0, size=(20_000, n)), axis=1
    )
    found = median(values[0])
    low, high = (int(np.flatnonzero(values[0] == end)[0]) for end in found[1:])
    covered = ((values[:, low] <= 1) & (values[:, high] >= 1)).mean()
    exact = 1 - 2 * stats.binom.cdf(low, n, 0.5)
    assert exact >= 0.95
    assert covered == pytest.approx(exact, abs=0.005)


def test_medians_of_values_that_are_not_finite():
    assert median([math.nan, *[math.inf] * 5]) == (math.inf, math.inf, math.inf)
    assert median([1.0, 2.0, math.inf, math.nan, 3.0, 4.0]) == (3.5, 1.0, math.inf)
    assert median([2.0] * 6) == (2, 2, 2)
    assert median([-math.inf, 1.0]).value == -math.inf


@given(st.lists(st.booleans(), min_size=1, max_size=40))
def test_a_proportion_agrees_with_statsmodels(flags):
    low, high = proportion_confint(sum(flags), len(flags), method="wilson")
    assert proportion(flags)[1:] == pytest.approx((low, high), abs=1e-12)


def test_without_values_there_is_no_estimate():
    assert all(math.isnan(each) for each in median([]))
    value, *interval = resampled_interval(1.0, [])
    assert value == 1.0
    assert np.isnan(interval).all()


@pytest.mark.parametrize("n", [1, 2, 5])
def test_fewer_than_six_have_no_interval(n):
    """Five lie on one side of the true median in 2 of 32 samples."""
    found = median(np.arange(float(n)))
    assert math.isfinite(found.value)
    assert math.isnan(found.low)
    assert math.isnan(found.high)
