"""Exact laws of escape, to be drawn beside what was measured. Numpy alone.

>>> gradient_descent_escape([10.0, -2.0], [0.0, 1e-3], lr=0.05, drop=1.0)
73
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import Floats

# starts that stand for a sphere: their median |c| is then known to 2 %, its logarithm to 0.02
N_STARTS = 4001


def gradient_descent_escape(
    eigenvalues: ArrayLike, start: ArrayLike, lr: float, drop: float
) -> float:
    """The first step of gradient descent more than `drop` below a quadratic saddle, or inf.

        f(x_k) = 1/2 sum_i lambda_i (1 - lr lambda_i)^(2k) c_i^2 < -drop

    `eigenvalues` lambda (d,) and `start` c (d,), the start's coordinates along their eigenvectors;
    0 < lr <= 2 / max lambda, so that no positive term grows and bisection finds the step. n starts
    (n, d) have their median: the first step at which half of them are below. Where one negative
    curvature rules, it is near ln(sqrt(2 drop / |lambda|) / |c|) / ln(1 + lr |lambda|): logarithmic
    in the distance, and slow as 1 / (lr |lambda|). ValueError for another lr, or shapes that
    differ.
    """
    curvatures, c = _checked_arrays(eigenvalues, start, lr)
    if ((c != 0) & (curvatures < 0)).any(-1).mean() < 0.5:
        return math.inf
    curvatures, c = curvatures[curvatures != 0], c[..., curvatures != 0]
    # log 0 is meant: a coordinate of 0 stays 0, and lr lambda = 1 makes it 0
    with np.errstate(divide="ignore"):
        log_start = np.log(np.abs(curvatures)) + 2 * np.log(np.abs(c))
        log_factor = 2 * np.log(np.abs(1 - lr * curvatures))

    def escaped(k: int) -> bool:
        with np.errstate(over="ignore"):  # far down is far enough
            terms = np.exp(log_start + k * log_factor) if k else np.exp(log_start)
        return bool(
            ((np.sign(curvatures) * terms).sum(-1) / 2 < -drop).mean() >= 0.5
        )

    return _first_step(escaped)


def _checked_arrays(
    eigenvalues: ArrayLike, start: ArrayLike, lr: float
) -> tuple[Floats, Floats]:
    """Eigenvalues (d,) and starts ((n,) d) as arrays; ValueError where they or lr do not fit."""
    curvatures, c = np.asarray(eigenvalues, float), np.asarray(start, float)
    if curvatures.shape != c.shape[-1:] or c.ndim > 2:
        raise ValueError(
            f"eigenvalues {curvatures.shape} and start {c.shape} must be vectors of one length"
        )
    steepest = float(curvatures.max(initial=0.0))
    if lr <= 0 or lr * steepest > 2:
        raise ValueError(
            f"lr must be above 0 and at most 2 / {steepest:g}, got {lr:g}"
        )
    return curvatures, c


def _first_step(escaped: Callable[[int], bool]) -> int:
    """The first step at which it is true; it stays true from there on."""
    if escaped(0):
        return 0
    low, high = 0, 1
    while not escaped(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if escaped(middle) else (middle, high)
    return high


def gradient_descent_median_escape(
    eigenvalues: ArrayLike, radius: float, lr: float, drop: float
) -> float:
    """The median of `gradient_descent_escape` over starts uniform on a sphere round the saddle.

    It takes `N_STARTS` of them, the same each time. Only the length within each eigenspace matters,
    and its square is a share of chi-squared variables, one an eigenspace.
    """
    distinct, multiplicities = np.unique(
        np.asarray(eigenvalues, float), return_counts=True
    )
    squares = np.random.default_rng(0).chisquare(
        multiplicities, (N_STARTS, len(distinct))
    )
    return gradient_descent_escape(
        distinct,
        radius * np.sqrt(squares / squares.sum(1, keepdims=True)),
        lr,
        drop,
    )


def steps_an_e_fold(lr: float, curvature: float) -> float:
    """The steps more that gradient descent takes along lambda < 0 from e times nearer.

    1 / ln(1 + lr |lambda|).
    """
    return 1 / math.log1p(lr * abs(curvature))
