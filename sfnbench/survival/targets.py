"""Times at which runs reach targets; inf where they never do."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import Floats


def hitting_times(
    losses: ArrayLike, times: ArrayLike, targets: ArrayLike
) -> Floats:
    """When each of S runs first had a loss at or below each of T targets (S, T); inf: never.

    Losses (S, n) are nan after a run's end; times are (S, n) or (n,).
    """
    losses = np.asarray(losses, float)[:, None, :]  # (S, 1, n)
    hit = losses <= np.asarray(targets, float)[:, None]  # (S, T, n)
    if not hit.size:  # argmax has no answer to nothing
        return np.full(hit.shape[:2], np.inf)
    at = np.broadcast_to(np.asarray(times, float), losses[:, 0].shape)
    first = np.take_along_axis(at, hit.argmax(2), axis=1)
    return np.where(hit.any(2), first, np.inf)


def ecdf(times: ArrayLike) -> tuple[Floats, Floats]:
    """All finite hitting times in order (m,), and the share of times that are at most each (m,).

    Times of all problems, targets and runs belong in one array, of any shape. Targets are absolute,
    so a new rival changes no other curve, and one that no run reaches keeps the shares below 1.
    Hansen et al. 2021, "COCO", section 5.
    """
    flat = np.asarray(times, float).ravel()
    at, counts = np.unique(flat[np.isfinite(flat)], return_counts=True)
    return at, np.cumsum(counts) / max(1, len(flat))


def performance_ratios(times: ArrayLike) -> Floats:
    """Times of P problems by S methods (P, S) over the best time on each problem; inf: never.

    nan counts as never. Where the best took no time and another took some there is no ratio: that
    problem's row is nan. The ECDF of a column is a method's performance profile. Unlike the ECDF of
    hitting times it depends on the rivals. Dolan, Moré 2002, equation 2.1.
    """
    known = np.nan_to_num(np.asarray(times, float), nan=np.inf, posinf=np.inf)
    solved = np.isfinite(known)
    ratios = np.full(known.shape, math.inf)
    for row, problem, is_solved in zip(ratios, known, solved, strict=True):
        reached = problem[is_solved]
        if reached.any() and reached.min() == 0:
            row[:] = math.nan
        elif reached.any():
            row[is_solved] = reached / reached.min()
        else:  # all of them took no time, or none reached anything
            row[is_solved] = 1.0
    return ratios
