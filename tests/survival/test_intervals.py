"""Intervals of medians, shares and whatever is resampled."""

import math

import numpy as np
import pytest
from scipy import stats

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


def test_bootstrap_intervals_where_their_correction_is_undefined():
    assert median([2.0] * 5) == (2, 2, 2)
    assert median([math.nan, *[math.inf] * 4]) == (math.inf, math.inf, math.inf)
    one = median([2.0])
    assert one.value == 2
    assert math.isnan(one.low)
    for values in ([1.0, 1.0, 1.0, 1.0, 2.0], [1.0, 2.0, math.inf, math.inf, 3.0]):
        found = median(values)
        assert min(values) <= found.low <= found.value <= found.high <= max(values)


def test_without_values_there_is_no_estimate():
    assert all(math.isnan(each) for each in median([]))
    value, *interval = resampled_interval(1.0, [])
    assert value == 1.0
    assert np.isnan(interval).all()


@pytest.mark.parametrize("n", [1, 2, 4])
def test_fewer_than_five_have_no_interval(n):
    """Of two, a bootstrap's would cover the true median every other time."""
    found = median(np.arange(float(n)))
    assert math.isfinite(found.value)
    assert math.isnan(found.low)
    assert math.isnan(found.high)
