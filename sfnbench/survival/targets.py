"""Times at which runs reach targets; inf where they never do."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from .intervals import Floats


def hitting_times(losses: ArrayLike, times: ArrayLike, targets: ArrayLike) -> Floats:
    """When each of S runs first had a loss at or below each of T targets, (S, T).

    Inf where it never had.

    Losses (S, n), nan after a run's end, at times (S, n) or (n,).
    """
    losses = np.asarray(losses, float)[:, None, :]  # (S, 1, n)
    hit = losses <= np.asarray(targets, float)[:, None]  # (S, T, n)
    if not hit.size:  # argmax has no answer to nothing
        return np.full(hit.shape[:2], np.inf)
    at = np.broadcast_to(np.asarray(times, float), losses[:, 0].shape)
    first = np.take_along_axis(at, hit.argmax(2), axis=1)
    return np.where(hit.any(2), first, np.inf)


def ecdf(times: ArrayLike) -> tuple[Floats, Floats]:
    """The share of hitting times of any shape that are at most t.

    All finite t in order (m,), and the shares (m,).

    Times of all problems, targets and runs belong in one array: the targets are absolute, so a new
    rival changes nobody's curve; one that nobody reaches keeps the shares below 1. Hansen et al.
    2021, section 5.
    """
    flat = np.asarray(times, float).ravel()
    at, counts = np.unique(flat[np.isfinite(flat)], return_counts=True)
    return at, np.cumsum(counts) / max(1, len(flat))


def performance_ratios(times: ArrayLike) -> Floats:
    """Times of P problems by S methods (P, S) over the best on each problem.

    Inf (or nan) where never, nobody's best.

    The ECDF of a column is that method's performance profile. Dolan, Moré 2002, equation 2.1;
    unlike the ECDF of hitting times it depends on who takes part.
    """
    known: Floats = np.nan_to_num(np.asarray(times, float), nan=np.inf, posinf=np.inf)
    best = known.min(1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratios = known / best
    ratios[known == best] = 1.0  # two that took no time at all are alike
    return np.where(np.isfinite(known), ratios, np.inf)
