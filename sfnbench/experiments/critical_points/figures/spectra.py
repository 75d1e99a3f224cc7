"""Densities of the Hessian's eigenvalues at a low, a middle and a high critical point."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ....arrays import Floats
from ....records import PointRow, Result
from ....report.figure import Axis, Figure, Panel, Trace
from ....theory.landscapes import Landscape, semicircle_density, theory_of
from .. import analysis
from .alpha import span

# quantiles of the points' energies
LEVELS = {"Lowest": 0.0, "Middle": 0.5, "Highest": 1.0}
N_SEMICIRCLE_POINTS = 100  # of a semicircle


@dataclass(frozen=True, eq=False)
class DrawnSpectrum:
    """The eigenvalues of one critical point as a histogram, beside theory's semicircle."""

    at: Floats  # middles of the bins
    density: Floats  # nan where it is zero
    note: str
    semicircle: tuple[Floats, Floats] | None


Spectra = dict[str, DrawnSpectrum]  # by level


def extract(result: Result) -> Spectra | None:
    """The spectra of a run; None where it found no critical point, or kept no eigenvalues."""
    energy = analysis.ordinate_of(result)
    found = [i for i, row in enumerate(result.points) if row["distinct"]]
    if not found or "eigenvalues" not in result.series:
        return None
    found.sort(key=lambda i: result.points[i][energy])
    theory = theory_of(result.run.problem.use, result.run.problem.params)
    # the density is an estimate, and no semicircle is held against it
    if "weights" in result.series:
        theory = None
    return {
        level: _spectrum(result, found[round(quantile * (len(found) - 1))], theory)
        for level, quantile in LEVELS.items()
    }


def figures(runs: Sequence[tuple[Result, Spectra]]) -> Iterator[Figure]:
    """A figure for each problem, a panel for each level."""
    problems: dict[str, list[tuple[Result, Spectra]]] = {}
    for result, by_level in runs:
        problems.setdefault(result.run.problem.label, []).append((result, by_level))
    for problem, found in problems.items():
        spectra = [each for _, by_level in found for each in by_level.values()]
        across = Axis(
            "eigenvalue", range=span(np.concatenate([each.at for each in spectra]))
        )
        heights = np.concatenate([each.density for each in spectra])
        limits = float(np.nanmin(heights)) / 2, 2 * float(np.nanmax(heights))
        upright = Axis("density", "log", limits)
        panels = [
            _spectrum_panel(found, level, across, upright) for level in LEVELS
        ]
        yield Figure(f"{problem} spectra", problem, panels, problem)


# -- inside ----------------------------------------------------------------------------------------


def _spectrum(result: Result, i: int, theory: Landscape | None) -> DrawnSpectrum:
    row = result.points[i]
    eigenvalues = result.series["eigenvalues"][i]
    is_there = np.isfinite(eigenvalues)
    if "weights" in result.series:
        weights = result.series["weights"][i][is_there]
    else:
        weights = None
    values = eigenvalues[is_there]
    n_bins = round(np.clip(1.5 * len(values) ** 0.5, 8, 60))
    density, edges = np.histogram(values, n_bins, weights=weights, density=True)
    energy = analysis.ordinate_of(result)
    note = f"{energy} {row[energy]:.3g}, alpha {row['alpha']:.3f}"
    semicircle = None
    if theory is not None:
        semicircle = _semicircle(theory, row)
        centre = float(theory.centre(row["energy"]))
        distance = analysis.semicircle_distance(values, centre, theory)
        note += f", {distance:.3f} from theory (Kolmogorov's distance)"
    middles = (edges[1:] + edges[:-1]) / 2
    return DrawnSpectrum(
        middles, np.where(density > 0, density, np.nan), note, semicircle
    )


def _semicircle(theory: Landscape, row: PointRow) -> tuple[Floats, Floats]:
    centre = float(theory.centre(row["energy"]))
    angles = np.linspace(np.pi, 0, N_SEMICIRCLE_POINTS)[1:-1]
    x = centre + theory.radius * np.cos(angles)  # closer together where it falls
    return x, semicircle_density(x, centre, theory.radius)


def _spectrum_panel(
    found: Sequence[tuple[Result, Spectra]], level: str, across: Axis, upright: Axis
) -> Panel:
    traces = []
    findings = []
    marks = [(0.0, "zero")]
    for result, by_level in found:
        method = result.run.method.label
        spectrum = by_level[level]
        traces.append(
            Trace(spectrum.at, spectrum.density, method, style="histogram")
        )
        findings.append(f"{method}: {spectrum.note}.")
        if spectrum.semicircle is not None:
            traces.append(Trace(*spectrum.semicircle, label="theory", width=1))
    decay = found[0][0].facts.weight_decay
    if decay:
        marks.append((float(decay), "weight decay"))
        findings.append(f"Dotted lines: zero, and the weight decay {decay:g}.")
    title = f"Eigenvalues of the Hessian: {level.lower()} critical point"
    return Panel(
        level.lower(), title, across, upright, traces, (), findings, marks=marks
    )
