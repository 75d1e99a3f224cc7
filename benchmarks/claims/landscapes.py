"""Claims about critical points: their index, where they lie, and their spectra."""

from __future__ import annotations

import numpy as np

from claims.claim import DEPENDS, NO, YES, Claim, Results, text, verdict_of
from sfnbench.experiments.critical_points.analysis import (
    column,
    correlation,
    distinct,
    ordinate_of,
    rms,
    semicircle_distance,
)
from sfnbench.records import Result
from sfnbench.survival.intervals import Estimate, median
from sfnbench.theory.landscapes import semicircle_below_zero, theory_of

RANDOM = ("spin_glass", "gaussian_field")
NETWORKS = ("critical_points_mnist", "critical_points_cifar10")
N_RESAMPLES = 2000
N_MATRICES = 20  # of the control for networks


def index_grows_with_error(found: Results) -> Claim:
    """Figure 1 a, c of the paper."""
    figures, holds = [], {}
    for suite in (*RANDOM, *NETWORKS):
        for result in found.of(suite):
            of = ordinate_of(result)
            points = correlation(distinct(result.points), of)
            starts = correlation(
                result.points,
                "start_energy" if of == "energy" else "start_loss",
                "start_alpha",
            )
            ends = [row for row in result.points if not row["converged"]]
            others = correlation(ends, of)
            holds[_name(result)] = points.low > 0
            figures.append(
                {
                    "landscape": _name(result),
                    "critical points": str(points.n),
                    "Spearman of loss and index": str(points),
                    "control: starts, not critical": str(starts),
                    "control: ends, not critical": str(others),
                }
            )
    verdict = verdict_of(list(holds.values()))
    doubtful = [name for name, is_there in holds.items() if not is_there]
    line = "on every landscape"
    if doubtful:
        line = f"on every landscape but {', '.join(doubtful)}: there the interval holds zero"
    return Claim(
        "The index of critical points grows with their error",
        verdict,
        line,
        "Rule: yes where the interval of Spearman's rank correlation of loss (or energy) "
        "and index, over"
        " distinct critical points with |gradient|^2 < 1e-20, lies above zero on every landscape.",
        figures,
        (
            "Points that are not critical draw the same curve on the random landscapes: a rising"
            " curve is no evidence of critical points by itself. Networks have weight decay 1e-2:"
            " without it their critical points lie at infinity.",
        ),
    )


def critical_points_concentrate(found: Results) -> Claim:
    """The talk: they lie on a curve, the closer the higher the dimension."""
    figures, spread = [], {}
    for suite in RANDOM:
        for result in found.of(suite):
            theory = theory_of(result.run.problem.use, result.run.problem.params)
            rows = distinct(result.points)
            gaps = column(rows, "alpha") - theory.alpha(column(rows, "energy"))
            starts = result.points
            of_starts = column(starts, "start_alpha") - theory.alpha(
                column(starts, "start_energy")
            )
            spread[_name(result)] = _rms(gaps)
            figures.append(
                {
                    "landscape": _name(result),
                    "dimension": str(result.run.problem.params["dim"]),
                    "critical points": str(len(rows)),
                    "index share - theory, rms": text(_rms(gaps), ".4f"),
                    "control: starts": text(_rms(of_starts), ".4f"),
                }
            )
    small, large = (spread[f"spin_glass {n}"] for n in ("N = 60", "N = 100"))
    is_closer, is_apart = large.value < small.value, large.high < small.low
    verdict = YES if is_apart else DEPENDS if is_closer else NO
    return Claim(
        "Critical points concentrate on a curve of index against energy",
        verdict,
        f"in the 3-spin glass, from N = 60 to 100, their distance from theory falls from"
        f" {text(small, '.4f')} to {text(large, '.4f')}",
        "Rule: yes where the distance of the index from theory's curve is smaller for "
        "N = 100 than for N = 60"
        " of the 3-spin glass, intervals (bootstrap over points) apart.",
        figures,
        (
            "In the field 1/(1+u) the spectrum's centre varies at one energy, so its points are"
            " further from the curve. Starts of the glass concentrate as well: there the curve"
            " holds at every point, critical or not.",
        ),
    )


def spectrum_shifts(found: Results) -> Claim:
    """Bray and Dean 2007: a semicircle whose centre follows the energy."""
    figures, holds = [], {}
    for suite in RANDOM:
        for result in found.of(suite):
            theory = theory_of(result.run.problem.use, result.run.problem.params)
            shifted, fixed = [], []
            for row, L in _spectra(result):
                centre = float(theory.centre(row["energy"]))
                shifted.append(semicircle_distance(L, centre, theory))
                fixed.append(semicircle_distance(L, 0.0, theory))
            near, far = median(shifted), median(fixed)
            holds[_name(result)] = near.high < far.low
            figures.append(
                {
                    "landscape": _name(result),
                    "spectra": str(len(shifted)),
                    "distance from the shifted semicircle": text(near),
                    "control": f"{text(far)} from one that stays at 0",
                }
            )
    for suite in NETWORKS:
        for result in found.of(suite):
            own, random = _network(result)
            holds[_name(result)] = own.high < random
            figures.append(
                {
                    "landscape": _name(result),
                    "spectra": str(len(distinct(result.points))),
                    "distance from the shifted semicircle": text(own),
                    "control": f"{random:.2g} at most of {N_MATRICES} random matrices",
                }
            )
    on_networks = [holds[name] for name in holds if name.split()[0] in NETWORKS]
    where = "on random landscapes"
    if not any(on_networks):
        where += "; the spectrum of a network is no semicircle at all"
    return Claim(
        "The spectrum is a semicircle that shifts with the energy",
        verdict_of(list(holds.values())),
        where,
        "Rule: yes where the median Kolmogorov distance of spectra from theory's "
        "semicircle, shifted to their"
        " energy, lies below that from one that does not shift, intervals apart; and for networks"
        " the distance from the semicircle of their own centre and width is no larger than that"
        " of random symmetric matrices.",
        figures,
    )


def _spectra(result: Result) -> list:
    """Each distinct critical point with its eigenvalues."""
    pairs = zip(result.points, result.series["eigenvalues"], strict=True)
    return [(row, L[np.isfinite(L)]) for row, L in pairs if row["distinct"]]


def _network(result: Result) -> tuple[Estimate, float]:
    """Distances of its spectra from semicircles of their centre and width, and random ones'."""
    spectra = [L for _, L in _spectra(result)]
    rng, n = np.random.default_rng(0), len(spectra[0])
    random = []
    for _ in range(N_MATRICES):
        A = rng.standard_normal((n, n))
        random.append(_own_distance(np.linalg.eigvalsh(A + A.T)))
    return median([_own_distance(L) for L in spectra]), max(random)


def _own_distance(L: np.ndarray) -> float:
    """Kolmogorov's distance from the semicircle with the spectrum's own mean and variance."""
    points, n = np.sort(L), len(L)
    below = semicircle_below_zero(L.mean() - points, 2 * L.std())
    steps = np.arange(n + 1) / n
    gaps = np.abs(below - steps[1:]), np.abs(below - steps[:-1])
    return float(np.maximum(*gaps).max())


def _rms(gaps: np.ndarray) -> Estimate:
    """The root of their mean square, with its bootstrap interval."""
    rng = np.random.default_rng(0)
    picked = rng.integers(len(gaps), size=(N_RESAMPLES, len(gaps)))
    low, high = np.quantile(
        [rms(gaps[places]) for places in picked], (0.025, 0.975)
    )
    return Estimate(rms(gaps), float(low), float(high))


def _name(result: Result) -> str:
    return f"{result.run.suite} {result.run.problem.label}"
