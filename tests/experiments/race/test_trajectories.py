"""Trajectories over contours, by series written by hand and by the exact law of gradient descent."""

import math
from dataclasses import replace

import numpy as np
import pytest

from sfnbench.experiments.race.trajectories import MOST_POINTS, landscape, path
from sfnbench.records import Result, Run, Spec
from sfnbench.report.gathered import gather
from sfnbench.results.store import Store
from sfnbench.session.execute import execute

RUN = Run("s", "race", Spec("p", "p", {}, ""), Spec("o", "o", {}, ""), (0,), {})


def result(series, has_saddle=True):
    return Result(RUN, "ok", ({"status": "ok"},), series, {"problem": {"has_saddle": has_saddle}})


def saddle(unit=0.5, reach=2.0, n=5):
    """The landscape of x^2 - y^2 + 7 around (1, -1)."""
    line = unit * np.sinh(reach * np.linspace(-1, 1, n))
    return {
        "landscape": line**2 - line[:, None] ** 2 + 7,
        "landscape.frame": np.array([[1.0, -1.0, unit, reach]]),
    }


def way(x, y):
    return {"theta.0": np.array([x], float), "theta.1": np.array([y], float)}


def test_heights_are_nothing_at_the_saddle_and_of_either_sign_about_it():
    over = landscape(result(saddle()))
    z = np.array(over["z"])
    assert over["t"] == [-2, -1, 0, 1, 2]
    np.testing.assert_array_equal(z, -z.T)  # x and y of the loss change sign with their places
    assert (z[2, 2], z[2, 4], z[4, 2]) == (0, 1, -1)
    assert (np.diagonal(z) == 0).all()


def test_without_a_saddle_heights_are_over_the_lowest():
    z = np.array(landscape(result(saddle(), has_saddle=False))["z"])
    assert (z.min(), z.max()) == (0, 1)
    assert z[0, 2] == z[4, 2] == 0


def test_losses_that_are_not_numbers_are_holes():
    series = saddle()
    series["landscape"][0, 0], series["landscape"][0, 1] = math.inf, math.nan
    z = landscape(result(series))["z"]
    assert (z[0][0], z[0][1]) == (None, None)
    assert max(value for row in z for value in row if value is not None) == 1


def test_a_flat_landscape_is_drawn_all_the_same():
    series = saddle()
    series["landscape"][:] = 3.0
    assert {value for row in landscape(result(series))["z"] for value in row} == {0}


def test_a_path_is_in_the_coordinates_of_the_frame():
    over = landscape(result(saddle()))
    drawn = path(result(way([1, 1.5, 1 + 0.5 * math.sinh(2)], [-1, -1.5, -1])), over)
    assert drawn == {"x": [0, round(math.asinh(1), 3), 2], "y": [0, -round(math.asinh(1), 3), 0]}


def test_a_path_ends_where_its_numbers_break():
    over = landscape(result(saddle()))
    assert path(result(way([1, 1.5, math.nan, 1], [-1, -1, -1, -1])), over)["y"] == [0, 0]
    assert path(result(way([1, 1.5, math.inf, 1], [-1, -1, -1, -1])), over)["y"] == [0, 0]
    assert path(result(way([math.nan], [math.nan])), over) is None


def test_a_long_path_keeps_its_ends_and_few_points_between():
    over = landscape(result(saddle()))
    still = path(result(way(np.linspace(1, 1.001, 1000), -np.ones(1000))), over)
    assert still == {"x": [0, 0.002], "y": [0, 0]}  # none is told from its start
    there_and_back = np.tile([1.0, 3.0], 5000)
    drawn = path(result(way(there_and_back, -np.ones(10_000))), over)
    assert len(drawn["x"]) <= MOST_POINTS + 1
    assert (drawn["x"][0], drawn["x"][-1]) == (0, round(math.asinh(4), 3))


@pytest.mark.parametrize(
    ("unit", "reach"), [(1e-3, 8.3), (0.1, 3.5), (1.5, 1.4), (1e-300, 9.0), (3e7, 1.4)]
)
def test_ticks_are_round_distances_that_lie_apart(unit, reach):
    ticks = landscape(result(saddle(unit, reach)))["ticks"]
    at, values = np.array(ticks["at"]), np.array([float(text) for text in ticks["said"]])
    np.testing.assert_allclose(unit * np.sinh(at), values, rtol=1e-3)
    assert len(at) >= 3
    assert np.diff(at).min() >= reach / 5 - 1e-3
    assert np.abs(at).max() <= reach
    assert {f"{value:e}"[:8] for value in values[values > 0]} <= {
        "1.000000",
        "2.000000",
        "5.000000",
    }


@pytest.fixture(scope="module")
def sections(make_run, tmp_path_factory):
    """Two optimizers on the quadratic saddle, one of them without points, as before they were kept; and a net."""
    folder = tmp_path_factory.mktemp("results")
    made = execute(make_run("quadratic_saddle", {}, "gradient_descent", {"lr": 0.05}))
    series = {
        name: array
        for name, array in made.series.items()
        if not name.startswith(("theta", "landscape"))
    }
    old = replace(made, series=series, run=replace(made.run, method=Spec("sfn", "old", {}, "")))
    with Store(folder, create=True) as store:
        for each in (
            old,
            made,
            execute(make_run("linear_autoencoder", {}, "gradient_descent", {"lr": 0.05}, seeds=1)),
        ):
            store.put(each)
    return gather([folder])[0]


def test_gradient_descent_goes_over_its_saddle_as_the_law_says(sections):
    data = sections[0].data()
    (over,) = data["landscapes"]
    (drawn,) = [run["path"] for run in data["drawn"] if "path" in run]
    unit = over["frame"][2]
    x, y = (unit * np.sinh(drawn[axis]) for axis in "xy")
    assert (over["p"], over["has_saddle"]) == (0, True)
    assert np.hypot(x[0], y[0]) == pytest.approx(1e-3, rel=5e-3)
    assert y[-1] / y[0] == pytest.approx(
        1.1**20, rel=1e-2
    )  # 1 - lr times the eigenvalue -2, in every step
    assert x[-1] == pytest.approx(x[0] * 0.5**20, abs=1e-3 * unit)


def test_results_from_before_points_were_kept_lack_the_figure_alone(sections):
    old = sections[0].drawn[0]
    assert "path" not in old
    assert {"loss", "escape"} <= old.keys()


def test_the_seed_that_starts_furthest_from_both_axes_is_drawn():
    over = landscape(result(saddle()))
    x, y, unit, _ = over["frame"]
    starts = np.array([[1e-6, 0.3], [0.2, 0.1], [0.4, 1e-3]])
    series = {"theta.0": x + starts[:, :1] * [1, 2], "theta.1": y + starts[:, 1:] * [1, 2]}
    drawn = path(result(series), over)
    assert [drawn["x"][0], drawn["y"][0]] == pytest.approx(
        np.arcsinh(starts[1] / unit).tolist(), abs=1e-3
    )
