"""The analysis of critical points: distances to theory, correlations with their controls."""

import numpy as np
import pytest
from scipy import stats

from sfnbench.experiments.critical_points import analysis as cp
from sfnbench.experiments.critical_points.figures import alpha, cut_offs, spectra
from sfnbench.experiments.critical_points.table import controls, findings, tables
from sfnbench.experiments.critical_points.table import cut_offs as cut_off_table
from sfnbench.experiments.summary import summary
from sfnbench.records import Result, Run, Spec
from sfnbench.results.cells import text
from sfnbench.theory.landscapes import GaussianLandscape, semicircle_below_zero

N = 400
FIELD = GaussianLandscape.of("exponential")
BLANK = {
    **dict.fromkeys(("path", "path_step", "noise", "subspace", "known")),
    "start": "random",
    "seed": 0,
    "index_sure": True,
    "seconds": 0.1,
    "n_hessian": 5,
    "flatness": 0.1,
}


def semicircle(centre, radius, n=N):
    """The n quantiles of a semicircle: the spectrum that theory says, without fluctuation."""
    x = np.linspace(-1, 1, 20001)
    return centre + radius * np.interp(
        (np.arange(n) + 0.5) / n, semicircle_below_zero(-x, 1.0), x
    )


def row(energy, centre, slope=1e-15, **more):
    spectrum = semicircle(centre, FIELD.radius)
    index = int((spectrum < 0).sum())
    facts = {
        "energy": energy,
        "loss": N * energy,
        "gradient_norm": slope,
        "index": index,
        "index_strict": index,
    }
    facts |= {
        "alpha": index / N,
        "centre": spectrum.mean(),
        "spread": spectrum.std(),
        "residual": 0.0,
    }
    converged = slope**2 < 1e-20
    facts |= {
        "converged": converged,
        "distinct": converged,
        "end_point": "saddle" if converged else "not critical",
    }
    facts |= {
        "start_energy": energy,
        "start_loss": N * energy,
        "start_alpha": index / N,
        "status": "ok",
    }
    return {**BLANK, **facts, **more}, spectrum


def result(pairs, problem="gaussian_field", params=None, facts=None):
    rows, spectra = zip(*pairs, strict=True)
    params = (
        {"covariance": "exponential", "parabola": 0.0, "dim": N}
        if params is None
        else params
    )
    path = {"optimizer": {"label": "msgd", "params": {"lr": 0.1}}, "up": True}
    settings = {"cut_off": 1e-20, "energy": "energy", "paths": [path]}
    run = Run(
        "s",
        "critical_points",
        Spec(problem, "a/b c", params, ""),
        Spec("lm", "lm", {}, ""),
        (0,),
        settings,
    )
    return Result(
        run,
        "ok",
        rows,
        {"eigenvalues": np.stack(spectra)},
        {"problem": facts or {}},
    )


ENERGIES = np.linspace(-1.5, 1.5, 13)
ON_THEORY = result([row(e, -e) for e in ENERGIES])


def test_points_on_the_curve_are_at_no_distance_but_counting():
    by_energy, by_centre = cp.distances(ON_THEORY)
    assert by_energy < 1 / N
    assert by_centre < 1 / N
    for e, spectrum in zip(ENERGIES, ON_THEORY.series["eigenvalues"], strict=True):
        assert cp.semicircle_distance(spectrum, -e, FIELD) < 1 / N


@pytest.mark.slow
def test_spectra_moved_outwards_are_at_that_distance():
    moved = result([row(e, -1.2 * e) for e in ENERGIES])
    by_energy, by_centre = cp.distances(moved)
    expected = cp.rms(FIELD.alpha(1.2 * ENERGIES) - FIELD.alpha(ENERGIES))
    assert by_energy == pytest.approx(expected, abs=2 / N)
    assert by_centre < 1 / N
    (table,) = [
        t for name, t in tables([moved]).items() if name.endswith("by start")
    ]
    assert table[0]["start"] == "random"
    assert table[0]["of it at least"].value == pytest.approx(FIELD.centre_spread(N))
    assert table[0]["outwards"].value == pytest.approx(
        0.2 * np.abs(ENERGIES).sum() / 13, abs=1e-3
    )
    shifted = moved.series["eigenvalues"][0]
    # Two semicircles 0.3 apart differ most half-way between their centres, by the mass of one
    # within 0.15 of its own.
    mass = 2 * float(semicircle_below_zero(-0.15, FIELD.radius) - 0.5)
    distance = cp.semicircle_distance(shifted, -ENERGIES[0], FIELD)
    assert distance == pytest.approx(mass, abs=2 / N)


def test_correlations_are_scipys_and_their_interval_covers_them():
    rng = np.random.default_rng(0)
    rows = [{"energy": x, "alpha": x + rng.normal()} for x in rng.normal(size=30)]
    measured = cp.correlation(rows)
    pairs = np.array([[r["energy"], r["alpha"]] for r in rows])
    assert measured.value == pytest.approx(stats.spearmanr(pairs).statistic)
    assert measured.low < measured.value < measured.high
    assert (
        str(cp.correlation(rows[:3]))
        == str(cp.correlation([{"energy": 1.0, "alpha": None}] * 9))
        == ""
    )


def test_cut_offs_let_pass_what_is_below_them_and_count_the_flat():
    slopes = (1e-15, 1e-6, 1e-3)
    pairs = [
        row(e, -e, slope) for e, slope in zip((-1.0, 0.0, 1.0), slopes, strict=True)
    ]
    pairs[1][0]["end_point"] = "gradient-flat"
    pairs.append(pairs[0])  # found twice
    table = {
        text(line["|grad|^2 below"]): line for line in cut_off_table(result(pairs))
    }
    shares = [table[c]["ends"].value for c in ("0.0001", "1e-08", "1e-14", "1e-20")]
    assert shares == [4, 3, 2, 2]
    assert [table[c]["distinct"] for c in ("0.0001", "1e-08", "1e-20")] == [3, 2, 1]
    assert [table[c]["of them flat"] for c in ("0.0001", "1e-20")] == [1, 0]
    assert [table[c]["of them not flat"] for c in ("0.0001", "1e-08", "1e-20")] == [
        2,
        1,
        1,
    ]


def test_controls_and_what_they_mean():
    dead = result(
        [row(e, -e, subspace="2 units" if e > 0 else None) for e in ENERGIES],
        "mlp",
        {},
        {"weight_decay": 0.01},
    )
    names = [line["what"] for line in controls(dead)]
    assert "of them padded with dead units" in names
    assert "start points, before any search" in names
    said = findings(dead)
    assert (
        "A curve that rises is therefore no evidence of critical points by itself"
        in said
    )
    assert "6 of the distinct points are narrower networks" in said
    assert cp.distances(dead) == (None, None)


def test_the_summary_has_success_with_its_interval():
    pairs = [row(e, -e, 1e-15 if e < 0 else 1.0) for e in ENERGIES]
    (line,) = summary([result(pairs)])
    interval = stats.binomtest(6, 13).proportion_ci(method="wilson")
    assert (
        text(line["converged"]) == f"6/13 ({interval.low:.2f}-{interval.high:.2f})"
    )
    assert line["distinct"] == 6


def test_a_run_that_broke_has_its_row():
    run = ON_THEORY.run
    (line,) = summary([Result(run, "timeout")])
    assert line["starts"] == "timeout"


def figures_of(module, *results):
    runs = [(each, module.extract(each)) for each in results]
    return list(module.figures([run for run in runs if run[1] is not None]))


def named(panel):
    return {trace.name: trace for trace in panel.traces}


def test_critical_points_stand_beside_their_controls_and_theory():
    unconverged = row(0.2, 0.0, 1.0)
    some = result([*(row(e, -e) for e in ENERGIES), unconverged])
    (figure,) = figures_of(alpha, some)
    points, controls = figure.panels
    assert points.y.range == controls.y.range
    found = named(points)["lm: 13 critical points"]
    assert found.y.tolist() == ENERGIES.tolist()
    theory = named(points)["theory"]
    assert theory.x == pytest.approx(FIELD.alpha(theory.y))
    assert named(controls)["lm: 14 starts"].n_finite == 14
    assert named(controls)["lm: 1 not converged"].symbol == "x"
    assert "alpha - theory 0.0" in points.caption


def test_networks_padded_with_dead_units_are_marked():
    pairs = [row(e, -e, subspace="2 units" if e > 0 else None) for e in ENERGIES]
    (figure,) = figures_of(alpha, result(pairs, "mlp", {}, {"weight_decay": 0.01}))
    names = named(figure.panels[0])
    assert (
        names["lm: 6 narrower networks padded with dead units"].symbol
        == "triangle-up"
    )
    assert "Weight decay 0.01." in figure.panels[0].caption


def test_a_spectrum_is_a_density_beside_its_semicircle():
    (figure,) = figures_of(spectra, ON_THEORY)
    assert [panel.name for panel in figure.panels] == [
        "lowest",
        "middle",
        "highest",
    ]
    lowest = figure.panels[0]
    histogram, semicircle = lowest.traces
    at, density = np.asarray(histogram.x), np.nan_to_num(histogram.y)
    assert density.sum() * (at[1] - at[0]) == pytest.approx(1)
    assert np.mean(semicircle.x) == pytest.approx(-ENERGIES[0])
    assert max(semicircle.y) == pytest.approx(2 / (np.pi * FIELD.radius), rel=1e-3)


def test_cut_offs_have_a_panel_each():
    slopes = (1e-15, 1e-6, 1e-3)
    pairs = [
        row(e, -e, slope) for e, slope in zip((-1.0, 0.0, 1.0), slopes, strict=True)
    ]
    pairs[1][0]["end_point"] = "gradient-flat"
    (figure,) = figures_of(cut_offs, result(pairs))
    lax, usual, strict = figure.panels
    assert {trace.name for trace in lax.traces} == {
        "lm: 2 points",
        "lm: 1 gradient-flat",
    }
    assert {trace.name for trace in usual.traces} == {
        "lm: 1 points",
        "lm: 1 gradient-flat",
    }
    assert {trace.name for trace in strict.traces} == {"lm: 1 points"}


def test_a_search_that_found_nothing_has_its_controls_and_no_spectra():
    nothing = result(
        [row(e, -e, 1.0) for e in ENERGIES], "mlp", {}, {"weight_decay": None}
    )
    (figure,) = figures_of(alpha, nothing)
    assert named(figure.panels[1])["lm: 13 not converged"].n_finite == 13
    assert "too few points for a correlation" in figure.panels[0].caption
    assert figures_of(spectra, nothing) == []


def test_a_run_that_broke_draws_nothing():
    broken = Result(ON_THEORY.run, "timeout")
    for module in (alpha, spectra, cut_offs):
        assert figures_of(module, broken) == []
