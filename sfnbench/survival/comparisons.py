"""One method against another: paired by seed, or run by run.

>>> holm([0.01, 0.04, 0.03])
[0.03, 0.06, 0.06]
>>> probability_of_improvement([1.0, 2.0], [2.0, 3.0]).value
0.875
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import Floats
from .intervals import LEVEL, MIN_RUNS, Estimate, median

N_EXACT = 1000  # differences up to which the null distribution of their ranks is counted out


class Comparison(NamedTuple):
    """Rival minus reference, seed by seed."""

    difference: Estimate  # the median difference
    p: float  # of Wilcoxon's signed-rank test
    p_holm: float  # corrected for the number of rivals
    n: int  # seeds that both have


def paired_differences(
    reference: Mapping[int, float], rivals: Mapping[str, Mapping[int, float]]
) -> dict[str, Comparison]:
    """Each rival against the reference, both by seed, with p-values corrected after Holm (1979).

    nan counts as infinitely bad, and two infinite values as equal. A rival that shares no seed with
    the reference is a ValueError.
    """
    differences = {
        name: _differences(reference, name, of) for name, of in rivals.items()
    }
    ps = {name: signed_rank_p(each) for name, each in differences.items()}
    corrected = dict(zip(ps, holm(list(ps.values())), strict=True))
    return {
        name: Comparison(median(each), ps[name], corrected[name], len(each))
        for name, each in differences.items()
    }


def signed_rank_p(differences: ArrayLike) -> float:
    """The two-sided p-value of Wilcoxon's signed-rank test (1945) of differences (n,).

    Zeros are left out and ties share their mean rank. The p-value is exact, with ties, too: all
    2^n signs are counted out, by convolution. From 1,001 differences on it is approximate, by the
    normal distribution.
    """
    from scipy import stats

    known = np.asarray(differences, float)
    known = known[known != 0]
    if not len(known):
        return 1.0
    # infinite differences rank last, and equal
    ranks = stats.rankdata(np.abs(known))
    if len(known) > N_EXACT:
        return float(stats.wilcoxon(ranks * np.sign(known), method="approx").pvalue)
    doubled = np.rint(2 * ranks).astype(int)  # ties make halves
    total = int(doubled.sum())
    chances = np.zeros(total + 1)  # of each sum of the positive ranks
    chances[0] = 1.0
    for rank in doubled:
        moved = np.zeros_like(chances)
        moved[rank:] = chances[: total + 1 - rank]
        chances = (chances + moved) / 2
    positive = int(doubled[known > 0].sum())
    rarer = min(positive, total - positive)
    return min(1.0, 2 * float(chances[: rarer + 1].sum()))


def holm(ps: Sequence[float]) -> list[float]:
    """P-values corrected for their number by Holm's step-down rule (1979).

    To reject those below 5 % is wrong for any true hypothesis in at most 1 of 20 families.
    """
    order = np.argsort(ps)
    stepped = np.maximum.accumulate(np.array(ps)[order] * np.arange(len(ps), 0, -1))
    corrected = np.empty(len(ps))
    corrected[order] = np.minimum(stepped, 1.0)
    return [float(p) for p in corrected]


def probability_of_improvement(a: ArrayLike, b: ArrayLike) -> Estimate:
    """The chance that a run of `a` (n,) ends lower than a run of `b` (m,); a tie counts half.

    nan counts as infinite. The value is Mann and Whitney's U over n m, the interval Newcombe's
    (2006, "Confidence intervals for an effect size measure based on the Mann-Whitney statistic",
    part 2, method 5), which is none for fewer than six runs on either side. Agarwal et al. 2021,
    "Deep reinforcement learning at the edge of the statistical precipice".
    """
    ours = np.nan_to_num(np.asarray(a, float), nan=np.inf)
    theirs = np.nan_to_num(np.asarray(b, float), nan=np.inf)
    n = len(ours)
    m = len(theirs)
    if not n or not m:
        return Estimate(math.nan, math.nan, math.nan)
    lower = (ours[:, None] < theirs).mean()
    equal = (ours[:, None] == theirs).mean()
    chance = float(lower + equal / 2)
    if min(n, m) < MIN_RUNS:
        return Estimate(chance, math.nan, math.nan)
    return Estimate(chance, *_newcombe(chance, n, m))


# -- inside ----------------------------------------------------------------------------------------


def _differences(
    reference: Mapping[int, float], name: str, rival: Mapping[int, float]
) -> Floats:
    """Rival minus reference (n,) over the seeds of both, in order."""
    seeds = sorted(reference.keys() & rival.keys())
    if not seeds:
        raise ValueError(f"{name} and its reference have no seed in common")
    a, b = (
        np.array([side[seed] for seed in seeds], float)
        for side in (reference, rival)
    )
    a[np.isnan(a)] = np.inf
    b[np.isnan(b)] = np.inf
    return np.subtract(b, a, where=a != b, out=np.zeros(len(seeds)))


def _newcombe(chance: float, n: int, m: int) -> tuple[float, float]:
    """The chances that lie as many standard errors, of their own, away from the one observed."""
    from scipy import optimize, stats

    z = stats.norm.ppf((1 + LEVEL) / 2)

    def excess(t: float) -> float:
        spread = 1 + ((n + m) / 2 - 1) * ((1 - t) / (2 - t) + t / (1 + t))
        return (t - chance) ** 2 - z**2 * t * (1 - t) * spread / (n * m)

    edge = 1e-9  # 0 and 1 are no standard error away from themselves
    low = 0.0
    if chance > 0:
        low = optimize.brentq(excess, 0.0, min(chance, 1 - edge))
    high = 1.0
    if chance < 1:
        high = optimize.brentq(excess, max(chance, edge), 1.0)
    return float(low), float(high)
