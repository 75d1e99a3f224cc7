"""Straight lines by least squares through values, some of them censored."""

from __future__ import annotations

import math
import warnings
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .intervals import Floats

N_NEWTON = 50  # steps at most; two or three do


class Lines(NamedTuple):
    """Straight lines y = intercept + slope x, as many as were fitted."""

    slope: Floats  # (R,)
    intercept: Floats  # (R,)


def censored_lines(x: ArrayLike, y: ArrayLike, bounds: ArrayLike) -> Lines:
    """R lines by least squares through values y (R, m) at x (m,), some of which are known only to lie above bounds (m,).

        sum over known y of (y - l(x))^2  +  sum over y = inf of max(0, bound - l(x))^2

    So a value that is censored lifts the line where it passes below, and says nothing where it
    passes above: to leave it out would make what is slow look fast. The sum is convex; Newton's
    method finds its least in a few steps. nan is left out. A line needs two values known at
    different x, and is nan without.
    """
    x, y, bounds = (np.asarray(each, float) for each in (x, y, bounds))
    known, censored = np.isfinite(y), np.isposinf(y)
    values = np.where(known, y, bounds)
    used = known
    for _ in range(N_NEWTON):
        lines = _least_squares(x, values, used)
        now = known | (censored & (lines.intercept[:, None] + lines.slope[:, None] * x < bounds))
        if (now == used).all():
            break
        used = now
    at = np.where(known, x, math.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where nothing is known
        enough = np.nanmax(at, 1) > np.nanmin(at, 1)
    return Lines(*(np.where(enough, each, math.nan) for each in lines))


def _least_squares(x: Floats, y: Floats, used: NDArray[np.bool_]) -> Lines:
    """Lines through y (R, m) at x (m,) where they are used (R, m)."""
    with np.errstate(invalid="ignore", divide="ignore"):  # where too few are
        n = used.sum(1)
        mean_x, mean_y = (
            np.where(used, each, 0.0).sum(1) / n for each in (np.broadcast_to(x, y.shape), y)
        )
        apart = np.where(used, x - mean_x[:, None], 0.0)
        slope = (apart * np.where(used, y, 0.0)).sum(1) / (apart**2).sum(1)
        return Lines(slope, mean_y - slope * mean_x)
