"""Trajectories over contours, by series written by hand and by the exact law of gradient
descent."""

import math

import numpy as np
import pytest

from sfnbench.experiments.race.figures.trajectories import (
    MOST_PATH_POINTS,
    extract,
    figures,
    path,
    plane_of,
    ticks,
)
from sfnbench.records import Result, Run, Spec
from sfnbench.session.execute import execute

RUN = Run("s", "race", Spec("p", "p", {}, ""), Spec("o", "o", {}, ""), (0,), {})


def result(series, has_saddle=True):
    return Result(
        RUN,
        "ok",
        ({"status": "ok"},),
        series,
        {"problem": {"has_saddle": has_saddle}},
    )


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
    plane = plane_of(result(saddle()))
    z = plane.heights
    assert plane.t.tolist() == [-2, -1, 0, 1, 2]
    # where x and y change places, the loss changes its sign
    np.testing.assert_allclose(z, -z.T, atol=1e-12)
    assert (z[2, 2], z[2, 4], z[4, 2]) == pytest.approx((0, 1, -1))
    np.testing.assert_allclose(np.diagonal(z), 0, atol=1e-12)


def test_without_a_saddle_heights_are_over_the_lowest():
    z = plane_of(result(saddle(), has_saddle=False)).heights
    assert (z.min(), z.max()) == (0, 1)
    assert z[0, 2] == z[4, 2] == 0


def test_losses_that_are_not_numbers_are_holes():
    series = saddle()
    series["landscape"][0, 0], series["landscape"][0, 1] = math.inf, math.nan
    z = plane_of(result(series)).heights
    assert np.isnan(z[0, :2]).all()
    assert np.nanmax(z) == pytest.approx(1)


def test_a_flat_landscape_is_drawn_all_the_same():
    series = saddle()
    series["landscape"][:] = 3.0
    assert (plane_of(result(series)).heights == 0).all()


def drawn(x, y):
    """A path in the plane's coordinates."""
    run = result({**saddle(), **way(x, y)})
    plane = plane_of(run)
    return plane.within(path(run, plane))


def test_a_path_is_in_the_coordinates_of_the_frame():
    x, y = drawn([1, 1.5, 1 + 0.5 * math.sinh(2)], [-1, -1.5, -1])
    assert x == pytest.approx([0, math.asinh(1), 2])
    assert y == pytest.approx([0, -math.asinh(1), 0])


def test_a_path_ends_where_its_numbers_break():
    for broken in (math.nan, math.inf):
        assert drawn([1, 1.5, broken, 1], [-1, -1, -1, -1])[1].tolist() == [0, 0]
    plane = plane_of(result(saddle()))
    assert path(result(way([math.nan], [math.nan])), plane) is None


def test_a_long_path_keeps_its_ends_and_few_points_between():
    still = drawn(np.linspace(1, 1.001, 1000), -np.ones(1000))
    # all points look like the start
    assert still[0] == pytest.approx([0, 0.002], abs=1e-6)
    there_and_back = drawn(np.tile([1.0, 3.0], 5000), -np.ones(10_000))
    assert there_and_back.shape[1] <= MOST_PATH_POINTS + 1
    assert there_and_back[0, [0, -1]] == pytest.approx([0, math.asinh(4)])


@pytest.mark.parametrize(
    ("unit", "reach"),
    [(1e-3, 8.3), (0.1, 3.5), (1.5, 1.4), (1e-300, 9.0), (3e7, 1.4)],
)
def test_ticks_are_round_distances_that_lie_apart(unit, reach):
    places, texts = zip(*ticks(unit, reach), strict=True)
    at, values = np.array(places), np.array([float(text) for text in texts])
    np.testing.assert_allclose(unit * np.sinh(at), values, rtol=1e-3)
    assert len(at) >= 3
    assert np.diff(at).min() >= reach / 5 - 1e-3
    assert np.abs(at).max() <= reach
    assert {f"{value:e}"[:8] for value in values[values > 0]} <= {
        "1.000000",
        "2.000000",
        "5.000000",
    }


def test_gradient_descent_goes_over_its_saddle_as_the_law_says(make_run):
    run = make_run(
        "quadratic_saddle",
        {
            "eigenvalues": [10, -2],
            "radius": 1e-3,
            "escape_drop": 1e9,
            "rotation": None,
        },
        "gradient_descent",
        {"lr": 0.05},
        seeds=4,
        steps=20,
    )
    made = execute(run)
    plane, points = extract(made)
    x, y = points - plane.centre[:, None]
    assert plane.has_saddle
    assert np.hypot(x[0], y[0]) == pytest.approx(1e-3)
    # the factor is 1 - lr times the eigenvalue -2, in every step
    assert y[-1] / y[0] == pytest.approx(1.1**20)
    assert x[-1] == pytest.approx(x[0] * 0.5**20, abs=1e-12)


def test_all_begin_at_the_start_and_share_the_first_plane(make_run):
    runs = []
    for optimizer in ("gradient_descent", "sfn"):
        made = execute(
            make_run("quadratic_saddle", {}, optimizer, {}, seeds=4, steps=20)
        )
        runs.append((made, extract(made)))
    (figure,) = figures(runs)
    panel = figure.panels[0]
    lines = [trace for trace in panel.traces if trace.style == "line"]
    start = next(trace for trace in panel.traces if trace.label == "start")
    assert [trace.method for trace in lines] == ["gradient_descent", "sfn"]
    assert lines[0].x[0] == lines[1].x[0] == start.x[0]
    assert panel.traces[-1].label == "saddle"
    assert panel.is_square


def test_results_from_before_points_were_kept_lack_the_figure_alone():
    assert extract(result(saddle())) is None
    assert extract(result(way([1.0], [1.0]))) is None


def test_the_seed_that_starts_furthest_from_both_axes_is_drawn():
    plane = plane_of(result(saddle()))
    starts = np.array([[1e-6, 0.3], [0.2, 0.1], [0.4, 1e-3]])
    x, y = plane.centre
    series = {
        "theta.0": x + starts[:, :1] * [1, 2],
        "theta.1": y + starts[:, 1:] * [1, 2],
    }
    points = path(result(series), plane)
    assert points[:, 0] - plane.centre == pytest.approx(starts[1])
