"""Figures of critical points, as SVG, PDF and PNG files.

Index against energy, spectra, and what the cut-off does.

matplotlib's own objects, without pyplot: no state, no window, any thread.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import SfnbenchError
from ..experiments.critical_points import analysis as cp
from ..records import Result
from ..theory.landscapes import semicircle_density, theory_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = ("svg", "pdf", "png")
UNDATED = {
    "svg": {"Date": None},
    "pdf": {"CreationDate": None},
}  # the same results make the same file
LEVELS = (("low", 0.0), ("middle", 0.5), ("high", 1.0))  # of the points' energies, as quantiles

STYLE = {"alpha": 0.8, "linewidths": 0}


def draw(results: Iterable[Result], folder: Path) -> list[Path]:
    """Draw every run's figures into a folder; the files that were written, one of each format.

    SfnbenchError where matplotlib is not installed or nothing is to be drawn.
    """
    results = [
        result for result in results if result.run.experiment == "critical_points" and result.rows
    ]
    if not results:
        raise SfnbenchError(
            "there are no critical points here to draw: run a suite of the experiment critical_points"
        )
    prepare(folder)
    written = []
    for result in results:
        name = f"{slug(result.run.suite)}_{slug(cp.title(result))}"
        figures = {
            "index": index_against_energy(result),
            "spectra": spectra(result),
            "cut_offs": by_cut_off(result),
        }
        for kind, figure in figures.items():
            for suffix in FORMATS:
                written.append(save(figure, folder / f"{name}_{kind}.{suffix}"))
    return written


def prepare(folder: Path) -> None:
    """Make the folder where it is not there.

    SfnbenchError where that cannot be, or where matplotlib is not installed.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise SfnbenchError(
            "figures need the package matplotlib: pip install 'sfnbench[report]'"
        ) from None
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SfnbenchError(
            f"{folder}: figures cannot be written there ({error.strerror or error})"
        ) from error


def save(figure: Figure, path: Path) -> Path:
    """Write a figure in the format of the file's name; the same results make the same file."""
    import matplotlib

    with matplotlib.rc_context({"svg.hashsalt": "sfnbench"}), warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message="Glyph"
        )  # of labels in scripts that the font has not
        figure.savefig(path, dpi=150, metadata=UNDATED.get(path.suffix[1:]))
    return path


def slug(text: str) -> str:
    """As it can stand in a file's name."""
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_") or "figure"


def index_against_energy(result: Result) -> Figure:
    """Energy over alpha: of critical points with theory's curve.

    Beside it of the starts and of what did not converge.
    """
    figure, (left, right) = _figure(2, share=True)
    found, energy = cp.distinct(result.rows), cp.ordinate_of(result)
    whole = [row for row in found if row["subspace"] is None]
    padded = [row for row in found if row["subspace"] is not None]
    _scatter(left, whole, "alpha", energy, f"{len(whole)} critical points", marker="o", color="C0")
    _scatter(
        left,
        padded,
        "alpha",
        energy,
        f"{len(padded)} narrower nets, padded",
        marker="^",
        color="C1",
    )
    _theory(left, result)
    left.set_title(_law(result), fontsize=9)
    others = [row for row in result.rows if not row["converged"]]
    low, high = _span(cp.column(result.rows, energy))
    n_beyond = int((cp.column(result.rows, f"start_{energy}") > high).sum())
    said = f"{len(result.rows)} starts" + (f", {n_beyond} of them above" if n_beyond else "")
    _scatter(right, result.rows, "start_alpha", f"start_{energy}", said, marker=".", color="C7")
    _scatter(right, others, "alpha", energy, f"{len(others)} not converged", marker="x", color="C3")
    right.set_title("controls: none of these is critical", fontsize=9)
    left.set_ylabel(energy if energy == "loss" else result.run.settings["energy"].replace("_", " "))
    left.set_ylim(low, high)
    for axes in (left, right):
        axes.set_xlabel("alpha, the fraction of negative eigenvalues")
        if axes.get_legend_handles_labels()[0]:  # nothing may have converged, or everything
            axes.legend(fontsize=8)
    return _titled(figure, result, f"|grad|^2 < {result.run.settings['cut_off']:g}")


def spectra(result: Result) -> Figure:
    """Densities of the eigenvalues at a low, a middle and a high critical point, on a log axis, with theory's semicircle."""
    figure, panels = _figure(len(LEVELS), share=True)
    theory = theory_of(result.run.problem.use, result.run.problem.params)
    energy = cp.ordinate_of(result)
    found = [i for i, row in enumerate(result.rows) if row["distinct"]]
    found.sort(key=lambda i: result.rows[i][energy])
    for axes, (name, quantile) in zip(panels, LEVELS, strict=True):
        axes.set_yscale("log")
        axes.set_xlabel("eigenvalue")
        axes.axvline(0, color="k", linewidth=0.5)
        if not found:
            continue
        row_at = found[round(quantile * (len(found) - 1))]
        row = result.rows[row_at]
        values = result.series["eigenvalues"][row_at]
        weights = result.series.get("weights", np.ones_like(result.series["eigenvalues"]))[row_at][
            np.isfinite(values)
        ]
        values = values[np.isfinite(values)]
        axes.hist(
            values,
            bins=round(np.clip(1.5 * len(values) ** 0.5, 8, 60)),
            weights=weights,
            density=True,
            color="C0",
            alpha=0.6,
        )
        said = f"{name}: {energy} {row[energy]:.3g}, alpha {row['alpha']:.3f}"
        if theory is not None and "weights" not in result.series:
            centre = float(theory.centre(row["energy"]))
            x = np.linspace(centre - theory.radius, centre + theory.radius, 400)[1:-1]
            axes.plot(x, semicircle_density(x, centre, theory.radius), color="C3", label="theory")
            said += f"\ndistance to theory {cp.semicircle_distance(values, centre, theory):.3f} (Kolmogorov)"
            axes.legend(fontsize=8)
        decay = result.environment.get("problem", {}).get("weight_decay")
        if decay:
            axes.axvline(decay, color="C2", linestyle=":", label=f"weight decay {decay:g}")
            axes.legend(fontsize=8)
        axes.set_title(said, fontsize=9)
    panels[0].set_ylabel("density")
    return _titled(figure, result, "Hessian spectra at critical points")


def by_cut_off(result: Result) -> Figure:
    """Energy over alpha once more for a lax, a usual and a strict cut-off, gradient-flat points apart."""
    shown = (1e-4, 1e-8, 1e-20)
    figure, panels = _figure(len(shown), share=True)
    energy = cp.ordinate_of(result)
    for axes, cut_off in zip(panels, shown, strict=True):
        passed = cp.distinct(result.rows, cut_off)
        flat = [row for row in passed if cp.is_flat(row)]
        _scatter(
            axes,
            [row for row in passed if not cp.is_flat(row)],
            "alpha",
            energy,
            "others",
            marker="o",
            color="C0",
        )
        _scatter(axes, flat, "alpha", energy, "gradient-flat", marker="x", color="C3")
        measured = str(cp.correlation(passed, energy))
        axes.set_title(
            f"|grad|^2 < {cut_off:g}: {len(passed)} points\nSpearman {measured or 'not defined'}",
            fontsize=9,
        )
        axes.set_xlabel("alpha")
        if passed:
            axes.legend(fontsize=8)
    panels[0].set_ylabel(energy)
    return _titled(figure, result, "by cut-off")


def _figure(n_panels: int, share: bool) -> tuple[Figure, list[Axes]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.2 * n_panels, 4.2), layout="constrained")
    axes = figure.subplots(1, n_panels, sharex=share, sharey=share, squeeze=False)
    return figure, list(axes[0])


def _scatter(axes: Axes, rows: cp.Rows, x: str, y: str, label: str, **style: Any) -> None:
    if rows:
        lines = {} if style["marker"] == "x" else STYLE
        axes.scatter(cp.column(rows, x), cp.column(rows, y), s=18, label=label, **(lines | style))


def _span(values: cp.Floats) -> tuple[float, float]:
    """The range of the ends, with a margin: starts may lie far above."""
    values = values[np.isfinite(values)]
    if not len(values):
        return 0.0, 1.0
    margin = 0.05 * max(float(np.ptp(values)), 1e-9)
    return float(values.min()) - margin, float(values.max()) + margin


def _theory(axes: Axes, result: Result) -> None:
    theory = theory_of(result.run.problem.use, result.run.problem.params)
    if theory is None:
        return
    energies = cp.column(result.rows, "energy")
    span = max(1.0, float(np.nanmax(np.abs(energies))))
    e = np.linspace(-span, span, 400)
    axes.plot(theory.alpha(e), e, color="C3", label="theory")


def _law(result: Result) -> str:
    """The distance to theory where there is one, the correlation elsewhere."""
    by_energy, by_centre = cp.distances(result)
    if by_energy is None:
        return f"Spearman {cp.correlation(cp.distinct(result.rows), cp.ordinate_of(result))}"
    return f"alpha - theory: rms {by_energy:.4f}; at the measured centre {by_centre:.4f}"


def _titled(figure: Figure, result: Result, said: str) -> Figure:
    decay = result.environment.get("problem", {}).get("weight_decay")
    more = "" if decay is None else f", weight decay {decay:g}"
    figure.suptitle(f"{cp.title(result)}{more}: {said}", fontsize=10)
    return figure
