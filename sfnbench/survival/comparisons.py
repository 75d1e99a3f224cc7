"""One method against another: paired by seed, or run by run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from .intervals import Estimate, Floats, bootstrap


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

    nan counts as infinitely bad, and two that are both infinite as equal. A rival that shares no
    seed is a ValueError.
    """
    found = {}
    for name, values in rivals.items():
        seeds = sorted(reference.keys() & values.keys())
        if not seeds:
            raise ValueError(f"{name} and its reference have no seed in common")
        a, b = (np.array([side[seed] for seed in seeds], float) for side in (reference, values))
        a[np.isnan(a)], b[np.isnan(b)] = np.inf, np.inf
        found[name] = np.subtract(b, a, where=a != b, out=np.zeros(len(seeds)))
    ps = {name: _signed_rank(differences) for name, differences in found.items()}
    corrected = dict(zip(ps, holm(list(ps.values())), strict=True))
    return {
        name: Comparison(bootstrap(np.median, d), ps[name], corrected[name], len(d))
        for name, d in found.items()
    }


def holm(ps: Sequence[float]) -> list[float]:
    """P-values corrected for their number by Holm's step-down rule.

    Rejecting those below 5 % errs once in 20 families.
    """
    order = np.argsort(ps)
    stepped = np.maximum.accumulate(np.array(ps)[order] * np.arange(len(ps), 0, -1))
    corrected = np.empty(len(ps))
    corrected[order] = np.minimum(stepped, 1.0)
    return [float(p) for p in corrected]


def probability_of_improvement(a: ArrayLike, b: ArrayLike) -> Estimate:
    """How likely a run of `a` (n,) ends lower than one of `b` (m,), ties half.

    Interval by bootstrap over both.

    nan counts as infinite. Agarwal et al. 2021, "Deep reinforcement learning at the edge of the
    statistical precipice".
    """

    def share(a: Floats, b: Floats, axis: int = -1) -> Floats:
        a, b = np.moveaxis(a, axis, -1)[..., :, None], np.moveaxis(b, axis, -1)[..., None, :]
        return np.asarray(((a < b) + 0.5 * (a == b)).mean((-2, -1)))

    return bootstrap(
        share,
        *(np.nan_to_num(np.asarray(side, float), nan=np.inf, posinf=np.inf) for side in (a, b)),
    )


def _signed_rank(differences: Floats) -> float:
    from scipy import stats

    if not differences.any():
        return 1.0
    ranks = stats.rankdata(np.abs(differences)) * np.sign(
        differences
    )  # infinite differences rank last, and equal
    return float(stats.wilcoxon(ranks).pvalue)
