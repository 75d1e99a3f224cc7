"""Straight lines by least squares through values, some of them censored."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import Flags, Floats

N_NEWTON = 50  # steps at most; two or three do


class Lines(NamedTuple):
    """R straight lines y = intercept + slope x."""

    slope: Floats  # (R,)
    intercept: Floats  # (R,)


def censored_lines(x: ArrayLike, y: ArrayLike, bounds: ArrayLike) -> Lines:
    """R lines by least squares through y (R, m) at x (m,); a y of inf is only known to be larger.

        sum over known y of (y - l(x))^2  +  sum over y = inf of max(0, bound - l(x))^2

    A censored value lies above its bound, one of bounds (m,). It lifts a line that passes below
    that, and adds nothing to one that passes above: without it, slow methods would look fast. The
    sum is convex; Newton's method finds its least value in a few steps. nan is left out. A line
    needs two known values at different x, and is nan without.
    """
    x = np.asarray(x, float)
    y = np.asarray(y, float)
    bounds = np.asarray(bounds, float)
    known = np.isfinite(y)
    censored = np.isposinf(y)
    values = np.where(known, y, bounds)
    used = known
    for _ in range(N_NEWTON):
        lines = _least_squares(x, values, used)
        passes_below = lines.intercept[:, None] + lines.slope[:, None] * x < bounds
        now = known | (censored & passes_below)
        if (now == used).all():
            break
        used = now
    highest = np.where(known, x, -math.inf).max(1)
    lowest = np.where(known, x, math.inf).min(1)
    slope, intercept = (
        np.where(highest > lowest, each, math.nan) for each in lines
    )
    return Lines(slope, intercept)


def _least_squares(x: Floats, y: Floats, used: Flags) -> Lines:
    """Lines through y (R, m) at x (m,) where they are used (R, m)."""
    n = used.sum(1)
    y = np.where(used, y, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):  # where too few are
        mean_x = np.where(used, x, 0.0).sum(1) / n
        mean_y = y.sum(1) / n
        apart = np.where(used, x - mean_x[:, None], 0.0)
        slope = (apart * y).sum(1) / (apart**2).sum(1)
        return Lines(slope, mean_y - slope * mean_x)
