"""Estimates with 95 % intervals. Too few runs have an estimate, and two nan for its interval.

>>> median([4.0, 1.0, 3.0, 6.0, 2.0, 5.0])
Estimate(value=3.5, low=1.0, high=6.0)
>>> median([1.0, 2.0, 3.0])
Estimate(value=2.0, low=nan, high=nan)
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import Floats

LEVEL = 0.95  # of every interval
TAIL = (1 - LEVEL) / 2  # on either side
N_RESAMPLES = 2000
# all of six lie on one side of the median in 2 of 64 samples; of five in 2 of 32, too often
MIN_RUNS = 6


class Estimate(NamedTuple):
    """A number and the interval that covers its true value in 95 of 100 samples."""

    value: float
    low: float
    high: float


def proportion(flags: ArrayLike) -> Estimate:
    """The share of true ones among booleans (n,), with Wilson's interval (1927).

    All three are nan where n is 0.
    """
    from scipy import stats

    known = np.asarray(flags, bool)
    if not len(known):
        return Estimate(math.nan, math.nan, math.nan)
    test = stats.binomtest(int(known.sum()), len(known))
    interval = test.proportion_ci(LEVEL, method="wilson")
    return Estimate(float(known.mean()), float(interval.low), float(interval.high))


def median(values: ArrayLike) -> Estimate:
    """The median of numbers (n,) with the interval that inverts the sign test; nan counts as inf.

    Its ends are two of the values themselves, the k-th from below and the k-th from above. They
    enclose the true median in at least 95 % of samples, whatever the distribution: exactly
    1 - 2 P(Binomial(n, 1/2) < k) of a continuous one. Fewer than six values have no interval.
    David, Nagaraja 2003, "Order statistics", section 7.1.
    """
    from scipy import stats

    ordered = np.array(values, float)
    ordered[np.isnan(ordered)] = math.inf
    ordered.sort()
    n = len(ordered)
    if not n:
        return Estimate(math.nan, math.nan, math.nan)
    middle = _mean(float(ordered[(n - 1) // 2]), float(ordered[n // 2]))
    if n < MIN_RUNS:
        return Estimate(middle, math.nan, math.nan)
    k = int(stats.binom.ppf(TAIL, n, 0.5))
    return Estimate(middle, float(ordered[k - 1]), float(ordered[n - k]))


def resampled_interval(value: float, resampled: ArrayLike) -> Estimate:
    """A value with the percentiles of its values in resamples (R,).

    A resample without a value, nan, may have had any: it counts as -inf below and as inf above.
    """
    known = np.asarray(resampled, float)
    if not len(known):
        return Estimate(value, math.nan, math.nan)
    low = percentile(known, TAIL, -math.inf)
    high = percentile(known, 1 - TAIL, math.inf)
    return Estimate(value, low, high)


def _mean(a: float, b: float) -> float:
    """The mean of two values; equal infinities have one, too."""
    return a if a == b else (a + b) / 2


def percentile(values: Floats, level: float, instead_of_nan: float) -> float:
    """The value (inverted distribution function) at a level in (0, 1) of values (n,)."""
    known = np.where(np.isnan(values), instead_of_nan, values)
    return float(np.quantile(known, level, method="inverted_cdf"))
