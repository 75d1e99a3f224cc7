"""Exact laws of escape, to be drawn beside what was measured. Numpy alone.

>>> gradient_descent_escape([10.0, -2.0], [0.0, 1e-3], lr=0.05, drop=1.0)
73
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike


def gradient_descent_escape(eigenvalues: ArrayLike, start: ArrayLike, lr: float, drop: float) -> float:
    """The first step at which gradient descent on a quadratic saddle is more than `drop` below it; inf where it never is.

        f(x_k) = 1/2 sum_i lambda_i (1 - lr lambda_i)^(2k) c_i^2 < -drop

    `eigenvalues` lambda (d,) and `start` c (d,), the start's coordinates along their eigenvectors; 0 < lr <= 2 / max
    lambda, for which no term ever grows, so that bisection finds the step. Where one negative curvature rules, it is near
    ln(sqrt(2 drop / |lambda|) / |c|) / ln(1 + lr |lambda|): logarithmic in the distance, and slow as 1 / (lr |lambda|).
    ValueError for another lr, or shapes that differ.
    """
    curvatures, c = np.asarray(eigenvalues, float), np.asarray(start, float)
    if curvatures.shape != c.shape or curvatures.ndim != 1:
        raise ValueError(f"eigenvalues {curvatures.shape} and start {c.shape} must be vectors of one length")
    steepest = float(curvatures.max(initial=0.0))
    if lr <= 0 or lr * steepest > 2:
        raise ValueError(f"lr must be above 0 and at most 2 / {steepest:g}, got {lr:g}")
    there = (curvatures != 0) & (c != 0)
    curvatures, c = curvatures[there], c[there]
    if not (curvatures < 0).any():
        return math.inf
    with np.errstate(divide="ignore"):  # lr lambda = 1 annuls its coordinate at once
        log_start, log_factor = np.log(np.abs(curvatures)) + 2 * np.log(np.abs(c)), 2 * np.log(np.abs(1 - lr * curvatures))

    def escaped(k: int) -> bool:
        with np.errstate(over="ignore"):  # far down is far enough
            terms = np.exp(log_start + k * log_factor) if k else np.exp(log_start)
        return bool((np.sign(curvatures) * terms).sum() / 2 < -drop)

    if escaped(0):
        return 0
    low, high = 0, 1
    while not escaped(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if escaped(middle) else (middle, high)
    return high
