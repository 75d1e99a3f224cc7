"""Curves of races, by series written by hand."""

import math

import numpy as np
import pytest

from sfnbench.experiments.race.bands import N_BAND_POINTS
from sfnbench.experiments.race.figures import curves, escaped, widths
from sfnbench.records import Result, Run, Spec
from sfnbench.survival.escapes import Escapes

NAN = math.nan


def result(loss, steps, used, rows, method="o", **environment):
    """A race whose gradients cost 1 each and take 2 s."""
    used = np.array(used, float)
    series = {
        "loss": np.array(loss, float),
        "loss.step": np.array(steps, float),
        "seconds": 2 * used,
        "passes.grad": used,
    }
    series |= {
        f"passes.{kind}": np.where(np.isnan(used), NAN, 0.0)
        for kind in ("loss", "hvp", "hessian")
    }
    run = Run(
        "s",
        "race",
        Spec("p", "p", {}, ""),
        Spec("o", method, {}, ""),
        tuple(range(len(rows))),
        {},
    )
    return Result(
        run,
        "ok",
        tuple(rows),
        series,
        {"problem": {"n_parameters": 3, **environment}},
    )


def band_of(*args):
    return curves.extract(result(*args)).bands["loss"]


def test_a_band_holds_low_middle_and_high_at_what_was_used_up():
    steps, used = [[0, 1, 2]] * 3, [[0, 1, 2]] * 3
    found = band_of(
        [[9, 6, 3], [9, 5, 2], [9, 4, 1]], steps, used, [{"status": "ok"}] * 3
    )
    by_axis = [found.used[axis].tolist() for axis in ("steps", "cost", "seconds")]
    assert by_axis == [[0, 1, 2], [0, 1, 2], [0, 2, 4]]
    assert [each.tolist() for each in found.edges] == [
        [9, 4, 1],
        [9, 5, 2],
        [9, 6, 3],
    ]


def test_a_seed_that_ended_keeps_its_last_value_and_one_that_broke_counts_as_infinite():
    loss, steps = (
        [[9, 1, NAN], [9, 5, 2], [9, NAN, NAN]],
        [[0, 1, NAN], [0, 1, 2], [0, NAN, NAN]],
    )
    used = [[0, 1, NAN], [0, 1, 2], [0, NAN, NAN]]
    statuses = [{"status": each} for each in ("stuck", "ok", "diverged")]
    low, middle, high = band_of(loss, steps, used, statuses).edges
    assert low.tolist() == [9, 1, 1]
    assert middle.tolist() == [9, 5, 2]
    assert high.tolist() == [9, math.inf, math.inf]


def test_long_curves_keep_both_ends():
    n = 5000
    steps = np.arange(n)[None]
    found = band_of(steps + 1.0, steps, steps, [{"status": "ok"}])
    assert len(found.middle) <= N_BAND_POINTS
    assert found.used["steps"][[0, -1]].tolist() == [0, n - 1]
    assert found.middle[0] == 1


def rows_escaping(*steps):
    base = {"status": "ok", "steps": 9, "cost": 9.0, "seconds": 1.0}
    columns = ("escape_step", "escape_cost", "escape_seconds")
    return [base | dict.fromkeys(columns, step) for step in steps]


def test_the_escape_curve_is_kaplan_and_meiers_and_lasts_to_the_end():
    rows = rows_escaping(3, 5, None, None)
    made = result([[1]] * 4, [[0]] * 4, [[0]] * 4, rows, has_saddle=True)
    times, shares = curves.extract(made).staying["steps"]
    survival = Escapes.of(rows).survival()
    assert times.tolist() == [0, *survival.times]
    assert shares.tolist() == [1, *survival.share]
    assert (times[-1], shares[-1]) == (9, 0.5)


def test_the_switch_is_where_half_have_switched():
    rows = [{"status": "ok", "switch_step": step} for step in (1.0, 1.0, NAN, None)]
    four = [[0, 1, 2]] * 4
    found = curves.extract(result(four, four, four, rows))
    assert found.switch == {"steps": 1, "cost": 1, "seconds": 2}
    assert (
        curves.extract(
            result(four, four, four, [{"status": "ok"}, *rows[1:]])
        ).switch
        is None
    )


def drawn(*runs):
    return list(curves.figures([(run, curves.extract(run)) for run in runs]))


def test_a_problem_has_a_figure_for_each_axis_and_a_diamond_where_an_optimizer_switches():
    rows = [{"status": "ok", "switch_step": 1.0}] * 4
    four = [[0, 1, 2]] * 4
    figures = drawn(result([[4, 3, 1]] * 4, four, four, rows))
    assert [figure.against for figure in figures] == ["steps", "cost", "seconds"]
    (panel,) = figures[2].panels
    line, diamond = panel.traces
    assert line.method == diamond.method == "o"
    assert (diamond.x, diamond.y) == ([2.0], [3.0])
    assert "Diamond: half of the seeds had switched" in panel.caption


def test_panels_share_an_axis_that_is_logarithmic_where_one_ends_long_before_another():
    rows = [{"status": "ok"}]
    quick = result([[2, 1]], [[0, 1]], [[0, 1]], rows, "quick")
    steps = np.arange(101)[None]
    slow = result(steps + 1.0, steps, steps, rows, "slow")
    assert drawn(slow)[0].panels[0].x.scale == "linear"
    panel = drawn(quick, slow)[0].panels[0]
    assert panel.x.scale == "log"
    assert all(
        np.asarray(trace.x)[0] == pytest.approx(0.8) for trace in panel.traces
    )


def test_methods_are_ranked_by_their_escapes_and_then_by_their_losses():
    four = [[0, 1]] * 4
    made = [
        result(
            [[2, last]] * 4,
            four,
            four,
            rows_escaping(*steps),
            method,
            has_saddle=True,
        )
        for method, steps, last in (
            ("late", (5, 5, 5, 5), 0),
            ("higher", (1, 1, 1, 1), 1),
            ("lower", (1, 1, 1, 1), 0),
        )
    ]
    for panel in drawn(*made)[0].panels:
        assert list(panel.best_first) == ["lower", "higher", "late"]


def test_shares_escaped_count_those_that_have_not():
    made = result(
        [[1]] * 4,
        [[0]] * 4,
        [[0]] * 4,
        rows_escaping(2, 4, None, None),
        has_saddle=True,
    )
    (figure,) = escaped.figures([(made, escaped.extract(made))])
    (trace,) = figure.panels[0].traces
    assert np.asarray(trace.x).tolist() == [1.6, 2, 4, 4]
    assert np.asarray(trace.y).tolist() == [0, 0.25, 0.5, 0.5]
    stays = result([[1]], [[0]], [[0]], rows_escaping(None), has_saddle=True)
    assert list(escaped.figures([(stays, escaped.extract(stays))])) == []


def test_networks_of_several_widths_are_a_family():
    runs = []
    for width, errors in ((3, (0.2, 0.4, None)), (2, (0.5, 0.1, 0.3))):
        rows = tuple({"status": "ok", "training_error": error} for error in errors)
        problem = Spec("mlp", f"mlp {width}", {"hidden": [width]}, "")
        run = Run("s", "race", problem, Spec("o", "o", {}, ""), (0, 1, 2), {})
        made = Result(
            run, "ok", rows, {}, {"problem": {"measures": ["training_error"]}}
        )
        runs.append((made, widths.extract(made)))
    (figure,) = widths.figures(runs)
    line, bars = figure.panels[0].traces
    assert line.x == [2, 3]
    assert line.y.tolist() == pytest.approx([0.3, 0.3])
    assert (bars.low.tolist(), bars.high.tolist()) == ([0.1, 0.2], [0.5, 0.4])
    assert list(widths.figures(runs[:1])) == []  # one width is no family
