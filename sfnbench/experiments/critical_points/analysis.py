"""What a search for critical points has shown.

Success, distinct points, distance to theory, and the controls.

A statistic is of distinct points only. Beside every correlation of energy and alpha stand its
controls: the same for the start points, before any search, and for the ends that have not
converged.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from ...records import Result
from ...results.tables import Table
from ...survival.intervals import proportion
from ...theory.landscapes import Landscape, semicircle_below_zero, theory_of

CUT_OFFS = (1e-4, 1e-6, 1e-8, 1e-10, 1e-14, 1e-20)  # of the squared gradient norm
RESAMPLINGS = 2000
FEWEST = 4  # points that a correlation needs

Floats = NDArray[np.float64]
Rows = Sequence[dict[str, Any]]


@dataclass(frozen=True)
class Correlation:
    """Spearman's rank correlation with its bootstrap interval of 95 %."""

    n: int
    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return (
            f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]" if np.isfinite(self.value) else ""
        )


def summary_row(result: Result) -> dict[str, Any]:
    """A run in one row.

    How many starts converged, into how many distinct points, and how far from theory they are.
    """
    rows, run = result.rows, result.run
    row: dict[str, Any] = {"problem": run.problem.label, "finder": run.method.label}
    row["starts"] = len(rows) or result.status
    row["converged"] = share([bool(r["converged"]) for r in rows])
    row["gradient-flat"] = sum(is_flat(r) for r in rows) if rows else ""
    found = distinct(rows)
    row["distinct"] = len(found) if rows else ""
    known = [r["known"] for r in rows if r.get("known") is not None]
    row["as known"] = f"{sum(known)}/{len(known)}" if known else ""
    foretold = [
        r["predicted_index"] == r["index_strict"]
        for r in rows
        if r.get("predicted_index") is not None
    ]
    row["index as foretold"] = f"{sum(foretold)}/{len(foretold)}" if foretold else ""
    row["energy"] = _range(found, "energy")
    row["alpha"] = _range(found, "alpha")
    row["Spearman"] = str(correlation(found, ordinate_of(result)))
    by_energy, by_centre = distances(result)
    row["alpha - theory, rms"] = "" if by_energy is None else f"{by_energy:.4f}"
    row["at measured centre"] = "" if by_centre is None else f"{by_centre:.4f}"
    row["Hessians a start"] = f"{np.mean([r['n_hessian'] for r in rows]):.1f}" if rows else ""
    row["seconds a start"] = f"{np.mean([r['seconds'] for r in rows]):.2g}" if rows else ""
    return row


def ordinate_of(result: Result) -> str:
    """The column that statistics correlate with alpha.

    Energy, unless a network's total loss is the better ordinate.
    """
    return "energy" if result.environment.get("problem", {}).get("weight_decay") is None else "loss"


def distinct(rows: Rows, cut_off: float | None = None) -> list[dict[str, Any]]:
    """The distinct critical points among rows.

    With another cut-off, those that it would have let pass.

    Beyond the suite's own cut-off points are told apart by their loss, to a relative 1e-7.
    """
    if cut_off is None:
        return [row for row in rows if row["distinct"]]
    passed: list[dict[str, Any]] = []
    for row in rows:
        if row["index"] is None or not row["gradient_norm"] ** 2 < cut_off:
            continue
        if all(
            abs(row["loss"] - other["loss"]) > 1e-7 * (1 + abs(other["loss"])) for other in passed
        ):
            passed.append(row)
    return passed


def is_flat(row: dict[str, Any]) -> bool:
    """Whether nearly all of an end's gradient lies in the kernel of its Hessian, where no linear method goes on."""
    return bool(row["end_point"] == "gradient-flat")


def share(flags: Sequence[bool]) -> str:
    """``count/all (low-high)``, the interval Wilson's of 95 %."""
    if not flags:
        return ""
    _, low, high = proportion(np.array(flags))
    return f"{sum(flags)}/{len(flags)} ({low:.2f}-{high:.2f})"


def correlation(rows: Rows, energy: str = "energy", alpha: str = "alpha") -> Correlation:
    """Spearman's rank correlation of two columns, as far as both are there."""
    pairs = np.array(
        [(r[energy], r[alpha]) for r in rows if r[energy] is not None and r[alpha] is not None],
        dtype=float,
    )
    pairs = pairs.reshape(-1, 2)
    pairs = pairs[np.isfinite(pairs).all(1)]
    if len(pairs) < FEWEST or (np.ptp(pairs, axis=0) == 0).any():
        return Correlation(len(pairs), np.nan, np.nan, np.nan)
    rng = np.random.default_rng(0)
    picked = rng.integers(len(pairs), size=(RESAMPLINGS, len(pairs)))
    resampled = [_spearman(pairs[places]) for places in picked]
    low, high = np.nanquantile(resampled, (0.025, 0.975))
    return Correlation(len(pairs), _spearman(pairs), float(low), float(high))


def _spearman(pairs: Floats) -> float:
    ranks = rankdata(pairs, axis=0)
    ranks -= ranks.mean(0)
    lengths = np.sqrt((ranks**2).sum(0).prod())
    return float(ranks.prod(1).sum() / lengths) if lengths else np.nan


def distances(result: Result) -> tuple[float | None, float | None]:
    """The rms of alpha minus theory over distinct points.

    At their energies, and at their spectra's measured centres.
    """
    theory, found = (
        theory_of(result.run.problem.use, result.run.problem.params),
        distinct(result.rows),
    )
    if theory is None or not found:
        return None, None
    alpha = column(found, "alpha")
    by_centre = semicircle_below_zero(column(found, "centre"), theory.radius)
    return rms(alpha - theory.alpha(column(found, "energy"))), rms(alpha - by_centre)


def semicircle_distance(eigenvalues: Floats, centre: float, theory: Landscape) -> float:
    """Kolmogorov's distance of a spectrum (n,) from the semicircle at that centre.

    The largest gap of the two shares.
    """
    points = np.sort(eigenvalues)
    expected = semicircle_below_zero(centre - points, theory.radius)
    steps = np.arange(len(points) + 1) / len(points)
    return float(max(np.abs(expected - steps[1:]).max(), np.abs(expected - steps[:-1]).max()))


def cut_offs(result: Result) -> Table:
    """How the picture changes with the cut-off.

    Points that pass, distinct ones, their alphas and their correlation.

    Gradient-flat ends are let pass by their small gradient, as in the literature; how many distinct
    points there are without them is told beside.
    """
    energy = ordinate_of(result)
    table = []
    for cut_off in CUT_OFFS:
        passed = [r["index"] is not None and r["gradient_norm"] ** 2 < cut_off for r in result.rows]
        flat = sum(passes and is_flat(r) for passes, r in zip(passed, result.rows, strict=True))
        found = distinct(result.rows, cut_off)
        row = {
            "|grad|^2 below": f"{cut_off:g}",
            "ends": share(passed),
            "of them flat": flat,
            "distinct": len(found),
        }
        row["of them not flat"] = sum(not is_flat(r) for r in found)
        table.append(
            row | {"alpha": _range(found, "alpha"), "Spearman": str(correlation(found, energy))}
        )
    return table


def by_start(result: Result) -> Table:
    """Where theory is: how each kind of start samples.

    `outwards` is how much further from 0 than theory centres lie.

    `of it at least` is what the centre of one energy varies by in so many dimensions, by theory.
    Theory counts all critical points of an energy alike; a search prefers some, by where it starts.
    """
    theory = theory_of(result.run.problem.use, result.run.problem.params)
    if theory is None:
        return []
    paths = result.run.settings["paths"]
    table = []
    for kind, path in dict.fromkeys((row["start"], row["path"]) for row in result.rows):
        name = kind
        if path is not None:
            chosen = paths[path]["optimizer"]
            own = ", ".join(
                f"{key}={value:g}"
                for key, value in chosen["params"].items()
                if isinstance(value, int | float)
            )
            name = f"{chosen['label']} {own}{' up' if paths[path]['up'] else ''}"
        rows = [row for row in result.rows if (row["start"], row["path"]) == (kind, path)]
        found = distinct(rows)
        row = {
            "start": name,
            "converged": share([row["converged"] for row in rows]),
            "distinct": len(found),
        }
        if found:
            alpha, energy, centre = (column(found, key) for key in ("alpha", "energy", "centre"))
            expected = theory.centre(energy)
            row |= {
                "energy": _range(found, "energy"),
                "alpha - theory, rms": f"{rms(alpha - theory.alpha(energy)):.4f}",
            }
            row |= {"centre - theory, rms": f"{rms(centre - expected):.4f}"}
            row |= {
                "of it at least": f"{theory.centre_spread(result.run.problem.params['dim']):.4f}"
            }
            row |= {"outwards": f"{np.mean(np.sign(expected) * (centre - expected)):.4f}"}
        else:
            row |= dict.fromkeys(
                (
                    "energy",
                    "alpha - theory, rms",
                    "centre - theory, rms",
                    "of it at least",
                    "outwards",
                ),
                "",
            )
        table.append(row)
    return table


def controls(result: Result) -> Table:
    """The same correlation for critical points, by how they were found, for the other ends and for the starts."""
    energy = ordinate_of(result)
    found = distinct(result.rows)
    sets = {
        "distinct critical points": (found, energy, "alpha"),
        "of them found in the whole": (
            [r for r in found if r["subspace"] is None],
            energy,
            "alpha",
        ),
        "of them padded with dead units": (
            [r for r in found if r["subspace"] is not None],
            energy,
            "alpha",
        ),
        "ends that have not converged": (
            [r for r in result.rows if not r["converged"]],
            energy,
            "alpha",
        ),
        "start points, before any search": (result.rows, f"start_{energy}", "start_alpha"),
    }
    table = []
    for name, (rows, ordinate, abscissa) in sets.items():
        if rows:
            measured = correlation(rows, ordinate, abscissa)
            table.append(
                {
                    "what": name,
                    "points": measured.n,
                    "Spearman": str(measured),
                    "alpha": _range(rows, abscissa),
                }
            )
    return table


def findings(result: Result) -> str:
    """What the controls leave of a rising curve of energy against alpha, said plainly."""
    energy = ordinate_of(result)
    points, start = (
        correlation(distinct(result.rows), energy),
        correlation(result.rows, f"start_{energy}", "start_alpha"),
    )
    n_flat = sum(is_flat(row) for row in result.rows)
    n_other = sum(row["end_point"] == "not critical" for row in result.rows)
    said = [
        f"{points.n} distinct critical points; {n_flat} ends are gradient-flat and {n_other} are not critical."
    ]
    if np.isfinite(points.value):
        doubt = ", an interval that holds zero" if points.low <= 0 <= points.high else ""
        said.append(f"Over the critical points energy and alpha correlate by {points}{doubt}.")
    if np.isfinite(start.value):
        said.append(
            f"Over the start points, which are not critical, energy and alpha correlate by {start}."
        )
        if start.value > 0.5:
            said.append(
                "A curve that rises is therefore no evidence of critical points by itself, nor of random matrices."
            )
    n_dead = sum(row["subspace"] is not None for row in distinct(result.rows))
    if n_dead:
        said.append(
            f"{n_dead} of the distinct points are narrower networks padded with dead units, which alone raises alpha."
        )
    return " ".join(said)


def column(rows: Rows, name: str) -> Floats:
    """A column as floats (n,), NaN where there is nothing."""
    return np.array([np.nan if row[name] is None else row[name] for row in rows], dtype=float)


def rms(errors: Floats) -> float:
    """Root of the mean square."""
    return float(np.sqrt(np.mean(errors**2)))


def _range(rows: Rows, name: str) -> str:
    values = column(rows, name)
    values = values[np.isfinite(values)]
    return f"{values.min():.4g} to {values.max():.4g}" if len(values) else ""


def tables(results: Iterable[Result]) -> dict[str, Table]:
    """Every table of the report by its title."""
    results = list(results)
    titled = {"Finders": [summary_row(result) for result in results]}
    for result in results:
        titled |= controlled(result) if result.rows else {}
    return titled


def controlled(result: Result) -> dict[str, Table]:
    """The tables of one run by their titles, as far as there is something in them."""
    parts = {
        "by cut-off": cut_offs(result),
        "controls": controls(result),
        "by start": by_start(result),
    }
    return {f"{title(result)}: {what}": table for what, table in parts.items() if table}


def title(result: Result) -> str:
    """A run as figures and tables call it."""
    run = result.run
    return f"{run.problem.label}, {run.method.label}"
