"""How escape grows.

Families that are found, laws that are recovered, and the words where there is no line.
"""

import math
from dataclasses import replace

import numpy as np
import pytest

from sfnbench.experiments.race import scaling
from sfnbench.experiments.race.families import families
from sfnbench.experiments.race.figures import scaling as drawing
from sfnbench.experiments.race.fits import LOGARITHM, Point, fit
from sfnbench.records import Result, Run, Spec
from sfnbench.session.execute import execute

LR, CURVATURE = 0.2, -0.1


def result(
    params,
    optimizer=None,
    steps=(7, 8, 9, 10, 11),
    budget=100,
    use="p",
    n_parameters=3,
):
    """A race by its escape steps alone; None where a seed has not escaped."""
    rows = [
        {"seed": i, "status": "ok", "steps": budget, "escape_step": step}
        for i, step in enumerate(steps)
    ]
    chosen = Spec("o", f"o {optimizer}", optimizer or {}, "")
    run = Run(
        "s",
        "race",
        Spec(use, f"p {params}", params, ""),
        chosen,
        (),
        {"budget": {"steps": budget}},
    )
    return Result(
        run,
        "ok",
        tuple(rows),
        {},
        {"problem": {"n_parameters": n_parameters, "has_saddle": True}},
    )


def saddle(eigenvalues, **more):
    return result(
        {"eigenvalues": eigenvalues, **more}, n_parameters=len(eigenvalues)
    )


def found(*results):
    """Of each family its factor, and the values of the first series."""
    return {
        family.factor: [x for x, _ in next(iter(family.series.values()))]
        for family in families(results)
    }


# -- families --------------------------------------------------------------------------------------


def test_one_base_belongs_to_a_family_of_each_factor():
    base = saddle([1, 1, -0.1], radius=1e-3)
    dimension, nearer = (
        saddle([1, 1, 1, 1, -0.1], radius=1e-3),
        saddle([1, 1, -0.1], radius=1e-6),
    )
    weakest, strongest = (
        saddle([1, 1, -0.5], radius=1e-3),
        saddle([8, 1, -0.1], radius=1e-3),
    )
    index = saddle([1, -0.1, -0.1], radius=1e-3)
    # `flat` is of no family: nothing else has an eigenvalue that is zero
    flat = saddle([1, 0, -0.1], radius=1e-3)
    assert found(base, dimension, nearer, weakest, strongest, index, flat) == {
        "dimension": [3, 5],
        "radius": [1e-6, 1e-3],
        "lowest": [0.1, 0.5],
        "highest": [1, 8],
        "index": [1, 2],
    }


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1.0, "b": 1.0}, {"a": 2.0, "b": 2.0}),  # two factors
        ({"rotation": 1}, {"rotation": 2}),  # a name of a draw
        ({"a": True}, {"a": False}),
        ({"a": None}, {"a": 2.0}),
        ({"a": 0.0}, {"a": 2.0}),  # a logarithm has no zero
        ({"a": "x"}, {"a": "y"}),
        ({"a": 1.0}, {"a": 1.0, "b": 1.0}),
    ],
)
def test_what_is_no_family(one, other):
    assert found(result(one), result(other)) == {}


def test_other_members_other_budgets_and_problems_without_a_saddle_are_apart():
    one, other = result({"a": 1.0}), result({"a": 2.0})
    assert found(one, other) == {"a": [1, 2]}
    assert found(one, result({"a": 2.0}, use="q")) == {}
    assert found(one, result({"a": 2.0}, budget=50)) == {}
    assert (
        found(one, replace(other, environment={"problem": {"has_saddle": False}}))
        == {}
    )
    assert found(one, replace(other, rows=())) == {}


def test_a_parameter_that_sets_the_dimension_is_the_dimension():
    assert found(
        result({"n": 2}, n_parameters=10), result({"n": 3}, n_parameters=15)
    ) == {"dimension": [10, 15]}


def test_a_setting_of_an_optimizer_makes_a_family_a_problem():
    made = [
        result({"name": name}, {"noise": noise})
        for name in "ab"
        for noise in (0.1, 0.001)
    ]
    (family,) = families(made)
    assert (family.kind, family.use, family.factor, len(family.series)) == (
        "optimizer",
        "o",
        "noise",
        2,
    )
    assert all(
        [x for x, _ in runs] == [0.001, 0.1] for runs in family.series.values()
    )


def test_families_that_share_their_factor_are_told_apart_by_what_is_fixed():
    made = [
        result({"a": a, "b": b, "c": "same"})
        for a in (1.0, 2.0)
        for b in (3.0, 4.0)
    ]
    titles = [title for title, _, _ in scaling.growths(made)]
    assert sorted(titles) == sorted(
        [
            f"p, {fixed}: escape against {factor}"
            for factor, fixed in [
                ("a", "b=3.0"),
                ("a", "b=4.0"),
                ("b", "a=1.0"),
                ("b", "a=2.0"),
            ]
        ]
    )


# -- gradient descent's law ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def measured(make_run):
    """Gradient descent and Newton's method, the way down one of two, ever nearer to the saddle."""
    made = []
    for radius in (1e-1, 1e-2, 1e-4, 1e-8):
        params = {
            "eigenvalues": [1.0, CURVATURE],
            "rotation": None,
            "radius": radius,
            "start_at": None,
            "escape_drop": 1.0,
        }
        for use, settings in (
            ("gradient_descent", {"lr": LR}),
            ("damped_newton", {"damping": 0.0}),
        ):
            run = make_run(
                "quadratic_saddle", params, use, settings, seeds=6, steps=1500
            )
            made.append(
                execute(
                    replace(
                        run,
                        problem=replace(run.problem, label=f"radius={radius:g}"),
                    )
                )
            )
    return made


@pytest.fixture(scope="module")
def by_distance(measured):
    """The one family's title, the family and its two series."""
    ((title, family, series),) = scaling.growths(measured)
    return title, family, series


def test_gradient_descent_recovers_its_slope_but_for_whole_steps(measured):
    runs = [each for each in measured if each.run.method.use == "gradient_descent"]
    made = [Point.of(each.run.problem.params["radius"], each) for each in runs]
    along = LOGARITHM.along(np.array([point.x for point in made]))
    apart = along - along.mean()
    # every number of steps lies in [exact, exact + 1)
    rounding = np.abs(apart).sum() / 2 / (apart**2).sum()
    fitted = fit(made, LOGARITHM)
    exact = 1 / math.log1p(LR * -CURVATURE)
    assert abs(fitted.slope.value - exact) <= rounding
    assert fitted.slope.low <= exact <= fitted.slope.high
    assert fitted.slope.high - fitted.slope.low <= 4 * rounding
    assert not fitted.misfit.is_rejected


def test_its_law_stands_beside_it(by_distance):
    title, _, (descent, newton) = by_distance
    assert title == "quadratic_saddle: escape against distance from the saddle"
    assert descent.law_slope == f"{1 / math.log1p(LR * -CURVATURE):.4g}"
    apart = np.diff(descent.law) / np.diff(np.log(descent.x))
    assert apart == pytest.approx(-1 / math.log1p(LR * -CURVATURE), rel=0.01)
    assert (newton.law, newton.law_slope) == (None, "")


def test_what_never_escapes_is_beyond(by_distance):
    _, _, (_, newton) = by_distance
    assert newton.is_beyond.all()
    assert newton.medians.tolist() == [1500] * 4
    rows = scaling.table([by_distance])
    assert [row["medians"] for row in rows] == ["4 of 4", "0 of 4"]
    assert (
        rows[1]["slope, 95 % over seeds"] == "no fit: beyond the budget everywhere"
    )


def test_a_budget_far_beyond_all_medians_does_not_squeeze_the_rest(
    by_distance, monkeypatch
):
    _, family, series = by_distance
    assert drawing.top(family, series) == 1500
    monkeypatch.setattr(drawing, "MOST_BEYOND", 1.0)
    assert drawing.top(family, series) == pytest.approx(1.1 * max(series[0].high))


def test_a_figure_has_lines_dots_triangles_and_the_law(measured):
    (figure,) = drawing.figures([(result, True) for result in measured])
    (panel,) = figure.panels
    line, dots, law, triangles = panel.traces
    assert (line.method, line.style, dots.style) == (
        "gradient_descent",
        "line",
        "points",
    )
    assert np.asarray(law.y)[0] > np.asarray(law.y)[-1]  # the nearer, the later
    assert (triangles.method, triangles.symbol) == (
        "damped_newton",
        "triangle-up-open",
    )
    named = [trace.name for trace in panel.traces if trace.in_legend]
    assert len(named) == 3  # the dots are the line's
    assert named[-1] == "damped_newton: no fit: beyond the budget everywhere"


def test_a_family_without_any_median_has_no_figure():
    late = [result({"a": a}, steps=[None] * 5) for a in (1.0, 2.0)]
    assert len(scaling.growths(late)) == 1
    assert list(drawing.figures([(each, True) for each in late])) == []
