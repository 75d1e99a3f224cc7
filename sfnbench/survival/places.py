"""Places of methods by a score, with intervals over seeds and problems, and ties.

>>> import numpy as np
>>> scores = np.array([[[3.0, 3.0]], [[1.0, 1.0]], [[1.0, 1.0]]])  # three methods, one problem
>>> [(place.rank.value, place.ties) for place in places(scores)]
[(1.0, ()), (2.0, (2,)), (2.0, (1,))]
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import Floats
from .intervals import N_RESAMPLES, TAIL, Estimate, resampled_interval

SAME_SCORE = 1e-12  # scores nearer than this are equal


class Place(NamedTuple):
    """Where a method stands: a mean score, a rank (1 is the best), and with whom it ties."""

    score: Estimate
    rank: Estimate
    ties: tuple[int, ...]  # the methods that the sample cannot tell from it


def places(scores: ArrayLike, seed: int = 0) -> list[Place]:
    """The place of each of M methods by scores (M, P, S) over P problems and S seeds; high is good.

    A method's score is the mean over problems of its means over seeds. Its rank is one more than
    the number of methods with a higher score. Intervals are percentiles of a bootstrap that draws
    problems, and within each of them seeds, with replacement and the same for all methods: seeds
    are paired. Two methods tie where the interval of the difference of their scores holds 0.
    """
    known = np.asarray(scores, float)
    n_problems, n_seeds = known.shape[1:]
    flat = known.reshape(len(known), -1)
    # drawn: (R, M)
    drawn = _weights(n_problems, n_seeds, np.random.default_rng(seed)) @ flat.T
    means = flat.mean(1)
    ranks = _ranks(means[None])[0]
    drawn_ranks = _ranks(drawn)
    return [
        Place(
            resampled_interval(float(means[i]), drawn[:, i]),
            _around(float(ranks[i]), drawn_ranks[:, i]),
            _ties(drawn, i),
        )
        for i in range(len(known))
    ]


def difference(ours: ArrayLike, theirs: ArrayLike, seed: int = 0) -> Estimate:
    """The difference of two methods' scores, each (P, S), by the bootstrap of `places`."""
    gap = np.asarray(ours, float) - np.asarray(theirs, float)
    n_problems, n_seeds = gap.shape
    drawn = _weights(n_problems, n_seeds, np.random.default_rng(seed)) @ gap.ravel()
    return resampled_interval(float(gap.mean()), drawn)


# -- inside ----------------------------------------------------------------------------------------


def _weights(n_problems: int, n_seeds: int, rng: np.random.Generator) -> Floats:
    """The weight of each run in each resample (R, P S); each row sums to 1."""
    shape = N_RESAMPLES, n_problems
    of_problems = rng.multinomial(
        n_problems, np.full(n_problems, 1 / n_problems), shape[0]
    )
    # of_seeds: (R, P, S)
    of_seeds = rng.multinomial(n_seeds, np.full(n_seeds, 1 / n_seeds), shape)
    counts = of_problems[:, :, None] * of_seeds
    return counts.reshape(N_RESAMPLES, -1) / (n_problems * n_seeds)


def _ranks(scores: Floats) -> Floats:
    """One more than the number of higher scores in each row (R, M)."""
    # higher: (R, M, M), whether i is above j
    higher = scores[:, :, None] > scores[:, None, :] + SAME_SCORE
    return np.asarray(1.0 + higher.sum(1))


def _around(value: float, resampled: Floats) -> Estimate:
    """The percentiles of resamples, with the value itself within them."""
    _, low, high = resampled_interval(value, resampled)
    return Estimate(value, min(low, value), max(high, value))


def _ties(drawn: Floats, i: int) -> tuple[int, ...]:
    """The other methods whose difference to the i-th has an interval that holds 0."""
    low, high = np.quantile(drawn - drawn[:, [i]], (TAIL, 1 - TAIL), axis=0)
    tied = (low <= SAME_SCORE) & (high >= -SAME_SCORE)
    tied[i] = False
    return tuple(map(int, np.flatnonzero(tied)))
