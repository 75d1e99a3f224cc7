"""Statistics of critical points: distinct ones, their correlation, their distance from theory.

A statistic is of distinct points only. Beside every correlation of energy and alpha stand its
controls: the same for the start points, before any search, and for the ends that have not
converged.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.stats import rankdata

from ...arrays import Floats
from ...records import PointRow, Result
from ...theory.landscapes import Landscape, semicircle_below_zero, theory_of

CUT_OFFS = (1e-4, 1e-6, 1e-8, 1e-10, 1e-14, 1e-20)  # of the squared gradient norm
RESAMPLINGS = 2000
MOST_AT_ONCE = 2**18  # points in resamples that are ranked together
FEWEST_POINTS = 4  # points that a correlation needs
SAME_LOSS = 1e-7  # points whose losses differ by less, relatively, are one point

Rows = Sequence[PointRow]
Ordinate = Literal["energy", "loss"]
# the columns that statistics are of
Column = Literal[
    "energy", "loss", "alpha", "centre", "start_energy", "start_loss", "start_alpha"
]


@dataclass(frozen=True)
class Correlation:
    """Spearman's rank correlation with its bootstrap interval of 95 %; nan of too few points."""

    n: int
    value: float
    low: float
    high: float

    @property
    def is_known(self) -> bool:
        """Whether there were points enough, and not all at one place."""
        return bool(np.isfinite(self.value))

    def __str__(self) -> str:
        if not self.is_known:
            return ""
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def run_title(result: Result) -> str:
    """A run as figures and tables call it."""
    return f"{result.run.problem.label}, {result.run.method.label}"


def ordinate_of(result: Result) -> Ordinate:
    """The column that statistics correlate with alpha.

    Energy, unless a network's total loss is the better ordinate.
    """
    if result.facts.weight_decay is None:
        return "energy"
    return "loss"


def distinct(rows: Rows, cut_off: float | None = None) -> list[PointRow]:
    """The distinct critical points among rows; with a cut-off, those that it would let pass.

    Beyond the suite's own cut-off points differ where their losses do.
    """
    if cut_off is None:
        return [row for row in rows if row["distinct"]]
    passed: list[PointRow] = []
    for row in rows:
        if passes(row, cut_off) and not any(
            _share_a_loss(row, other) for other in passed
        ):
            passed.append(row)
    return passed


def passes(row: PointRow, cut_off: float) -> bool:
    """Whether an end would count as critical at this squared gradient norm."""
    return row["index"] is not None and row["gradient_norm"] ** 2 < cut_off


def _share_a_loss(row: PointRow, other: PointRow) -> bool:
    gap = abs(row["loss"] - other["loss"])
    return gap <= SAME_LOSS * (1 + abs(other["loss"]))


def is_flat(row: PointRow) -> bool:
    """Whether nearly all of the gradient lies in the Hessian's kernel: no linear method goes on."""
    return row["end_point"] == "gradient-flat"


def correlation(
    rows: Rows, energy: Column = "energy", alpha: Column = "alpha"
) -> Correlation:
    """Spearman's rank correlation of two columns, as far as both are there."""
    pairs = np.stack([column(rows, energy), column(rows, alpha)], axis=1)
    pairs = pairs[np.isfinite(pairs).all(1)]
    if len(pairs) < FEWEST_POINTS or (np.ptp(pairs, axis=0) == 0).any():
        return Correlation(len(pairs), np.nan, np.nan, np.nan)
    rng = np.random.default_rng(0)
    picked = rng.integers(len(pairs), size=(RESAMPLINGS, len(pairs)))
    blocks = np.array_split(picked, math.ceil(picked.size / MOST_AT_ONCE))
    resampled = np.concatenate([_spearman(pairs[places]) for places in blocks])
    low, high = np.nanquantile(resampled, (0.025, 0.975))
    return Correlation(len(pairs), float(_spearman(pairs)), float(low), float(high))


def _spearman(pairs: Floats) -> Floats:
    """Rank correlations () of pairs (n, 2), or (m,) of (m, n, 2); NaN where one is constant."""
    ranks = rankdata(pairs, axis=-2)
    ranks -= ranks.mean(-2, keepdims=True)
    lengths = np.sqrt((ranks**2).sum(-2).prod(-1))
    with np.errstate(invalid="ignore"):
        found: Floats = ranks.prod(-1).sum(-1) / lengths
    return found


def distances(result: Result) -> tuple[float | None, float | None]:
    """The rms of alpha minus theory over distinct points.

    At their energies, and at their spectra's measured centres.
    """
    theory = theory_of(result.run.problem.use, result.run.problem.params)
    found = distinct(result.points)
    if theory is None or not found:
        return None, None
    alpha = column(found, "alpha")
    by_centre = semicircle_below_zero(column(found, "centre"), theory.radius)
    return rms(alpha - theory.alpha(column(found, "energy"))), rms(
        alpha - by_centre
    )


def semicircle_distance(
    eigenvalues: Floats, centre: float, theory: Landscape
) -> float:
    """Kolmogorov's distance of a spectrum (n,) from the semicircle at that centre.

    The largest gap of the two shares.
    """
    points = np.sort(eigenvalues)
    expected = semicircle_below_zero(centre - points, theory.radius)
    steps = np.arange(len(points) + 1) / len(points)
    return float(
        max(np.abs(expected - steps[1:]).max(), np.abs(expected - steps[:-1]).max())
    )


def column(rows: Rows, name: Column) -> Floats:
    """A column as floats (n,), NaN where there is nothing."""
    values = [row[name] for row in rows]
    return np.array(
        [np.nan if value is None else value for value in values], dtype=float
    )


def rms(errors: Floats) -> float:
    """Root of the mean square."""
    return float(np.sqrt(np.mean(errors**2)))
