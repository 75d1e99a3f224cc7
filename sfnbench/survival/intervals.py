"""Estimates with their 95 % intervals, of two nan where there are too few runs for one."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

LEVEL = 0.95  # of every interval
N_RESAMPLES = 2000
# that bound a median on some side: fewer lie all on one side of it more often than once in 20 times
MIN_RUNS = 5


class Estimate(NamedTuple):
    """A number and the interval that covers its true value 95 times of 100."""

    value: float
    low: float
    high: float


def proportion(flags: ArrayLike) -> Estimate:
    """The share of true ones among booleans (n,), with Wilson's interval (1927).

    All three nan where n is 0.
    """
    from scipy import stats

    known = np.asarray(flags, bool)
    if not len(known):
        return Estimate(math.nan, math.nan, math.nan)
    around = stats.binomtest(int(known.sum()), len(known)).proportion_ci(LEVEL, method="wilson")
    return Estimate(float(known.mean()), float(around.low), float(around.high))


def median(values: ArrayLike) -> Estimate:
    """The median of numbers (n,) with its bootstrap interval.

    What is not a number counts as infinite.
    """
    known = np.array(values, float)
    known[np.isnan(known)] = np.inf
    return bootstrap(np.median, known)


def resampled_interval(value: float, resampled: ArrayLike) -> Estimate:
    """A value with the interval of what it was in resamples (R,), by percentiles.

    Nan there is infinite on both sides.
    """
    known = np.asarray(resampled, float)
    if not len(known):
        return Estimate(value, math.nan, math.nan)
    tail = (1 - LEVEL) / 2
    low, high = (
        float(np.quantile(np.where(np.isnan(known), worst, known), level, method="inverted_cdf"))
        for level, worst in ((tail, -math.inf), (1 - tail, math.inf))
    )
    return Estimate(value, low, high)


def bootstrap(statistic: Callable[..., Any], *samples: Floats, paired: bool = False) -> Estimate:
    """The statistic of the samples with its interval.

    Bias-corrected (Efron 1987), or plain where that is undefined.

    It is undefined for constant data, for infinite ones, and where leaving out any one run changes
    nothing.
    """
    from scipy import stats

    n = min(map(len, samples))
    with np.errstate(invalid="ignore"):
        value = float(statistic(*samples, axis=-1)) if n else math.nan
        if n < MIN_RUNS:
            return Estimate(value, math.nan, math.nan)
        if all((sample == sample[0]).all() for sample in samples):
            return Estimate(value, value, value)
        finite = all(np.isfinite(sample).all() for sample in samples)
        for method in ("BCa", "percentile") if finite else ("percentile",):
            with warnings.catch_warnings():
                warnings.simplefilter(
                    "ignore"
                )  # scipy warns where the correction is undefined, and gives nan
                around = stats.bootstrap(
                    samples,
                    statistic,
                    n_resamples=N_RESAMPLES,
                    paired=paired,
                    vectorized=True,
                    confidence_level=LEVEL,
                    method=method,
                    random_state=0,  # scipy's name for it before 1.15
                ).confidence_interval
            if not (math.isnan(around.low) or math.isnan(around.high)):
                break
    return Estimate(value, float(around.low), float(around.high))
