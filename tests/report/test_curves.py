"""What is drawn, by series written by hand."""

import math

import numpy as np
import pytest

from sfnbench.records import Result, Run, Spec
from sfnbench.report.curves import N_POINTS, curves, escaped_within, rates, spread, window, within
from sfnbench.survival.escapes import Escapes

NAN = math.nan


def result(loss, steps, used, rows, **environment):
    """A race whose gradients cost 1 each and take 2 s."""
    used = np.array(used, float)
    series = {
        "loss": np.array(loss, float),
        "loss.step": np.array(steps, float),
        "seconds": 2 * used,
        "passes.grad": used,
    }
    series |= {
        f"passes.{kind}": np.where(np.isnan(used), NAN, 0.0) for kind in ("loss", "hvp", "hessian")
    }
    run = Run(
        "s", "race", Spec("p", "p", {}, ""), Spec("o", "o", {}, ""), tuple(range(len(rows))), {}
    )
    return Result(run, "ok", tuple(rows), series, {"problem": {"n_parameters": 3, **environment}})


def test_a_band_holds_low_middle_and_high_at_what_was_used_up():
    steps, used = [[0, 1, 2]] * 3, [[0, 1, 2]] * 3
    drawn = curves(result([[9, 6, 3], [9, 5, 2], [9, 4, 1]], steps, used, [{"status": "ok"}] * 3))[
        "loss"
    ]
    assert (drawn["steps"], drawn["cost"], drawn["seconds"]) == ([0, 1, 2], [0, 1, 2], [0, 2, 4])
    assert (drawn["low"], drawn["mid"], drawn["high"]) == ([9, 4, 1], [9, 5, 2], [9, 6, 3])


def test_one_that_ended_keeps_its_last_value_and_one_that_broke_counts_as_infinite():
    loss, steps = [[9, 1, NAN], [9, 5, 2], [9, NAN, NAN]], [[0, 1, NAN], [0, 1, 2], [0, NAN, NAN]]
    used = [[0, 1, NAN], [0, 1, 2], [0, NAN, NAN]]
    drawn = curves(
        result(loss, steps, used, [{"status": "stuck"}, {"status": "ok"}, {"status": "diverged"}])
    )["loss"]
    assert drawn["low"] == [9, 1, 1]
    assert drawn["mid"] == [9, 5, 2]
    assert drawn["high"] == [9, None, None]


def test_long_curves_keep_both_ends():
    n = 5000
    steps = np.arange(n)[None]
    drawn = curves(result(steps + 1.0, steps, steps, [{"status": "ok"}]))["loss"]
    assert len(drawn["steps"]) <= N_POINTS
    assert (drawn["steps"][0], drawn["steps"][-1]) == (0, pytest.approx(n - 1, rel=1e-3))
    assert drawn["mid"][0] == 1


def test_the_escape_curve_is_kaplan_and_meiers_and_lasts_to_the_end():
    rows = [
        {"status": "ok", "steps": 9, "cost": 9.0, "seconds": 1.0, "escape_step": step}
        for step in (3, 5, None, None)
    ]
    rows = [
        row | {"escape_cost": row["escape_step"], "escape_seconds": row["escape_step"]}
        for row in rows
    ]
    drawn = curves(result([[1]] * 4, [[0]] * 4, [[0]] * 4, rows, has_saddle=True))["escape"][
        "steps"
    ]
    survival = Escapes.of(rows).survival()
    assert drawn["x"] == [0, *survival.times]
    assert drawn["y"] == [1, *survival.share]
    assert (drawn["x"][-1], drawn["y"][-1]) == (9, 0.5)


def test_the_switch_is_where_half_have_switched():
    rows = [{"status": "ok", "switch_step": step} for step in (1.0, 1.0, NAN, None)]
    four = [[0, 1, 2]] * 4
    assert curves(result(four, four, four, rows))["switch"] == {"steps": 1, "cost": 1, "seconds": 2}
    assert "switch" not in curves(result(four, four, four, [{"status": "ok"}, *rows[1:]]))


def test_shares_escaped_count_those_that_never_were():
    assert escaped_within([2.0, 4.0, math.inf, math.inf]) == {"x": [0, 2, 4], "y": [0, 0.25, 0.5]}
    assert escaped_within([math.inf]) == {"x": [0], "y": [0]}


def test_a_spread_of_nothing_is_nothing():
    assert spread([None, None]) == (None, None, None)
    assert spread([3.0, None, 1.0]) == (1, 2, 3)
    assert spread([3.0, math.inf, 1.0, 5.0]) == (1, 4, None)  # the median of the tables


def test_the_roof_is_what_the_counted_flops_would_allow_at_those_of_a_matrix_product():
    """A step of 1e9 FLOPs, 20 times a second, where a matrix product reaches 1e11 FLOP/s."""
    row = {
        "status": "ok",
        "dtype": "float64",
        "steps_per_s": 20.0,
        "steps_per_s_q1": 19.0,
        "steps_per_s_q3": 21.0,
    }
    told = {**row, "flops_per_s": 2e10, "matmul_flops_per_s": 1e11, "flops_share": 0.2}
    drawn = rates(result([[1]] * 2, [[0]] * 2, [[0]] * 2, [told, row]))["rates"]
    assert drawn["share"] == [0.2, None]
    assert drawn["roof"] == [1e11 / 1e9, None]


def band(mid, high=None):
    return {"low": mid, "mid": mid, "high": high or mid}


def test_who_runs_away_from_the_typical_curve_leaves_the_picture():
    calm, wild, half = (
        band([2.0, 1.0, 0.1]),
        band([2.0, 1e9, None]),
        band([2.0, 1.0, 0.5], [2.0, 1e9, None]),
    )
    found = window({0: calm, 1: wild, 2: half}, "loss")
    assert (found["log"], found["away"]) == (True, [1, 2])
    assert found["range"][0] < 0.1 < 2.0 < found["range"][1] < 10
    cut = within(wild, found)["mid"]
    assert cut[0] == 2.0
    assert found["range"][1] < 10 < cut[1] < 1e9
    assert cut[2] is None
    assert within(calm, found) == {name: calm[name] for name in ("low", "mid", "high")}
    assert window({0: calm, 1: calm}, "loss") == {
        "log": True,
        "away": [],
        "range": None,
        "ends": None,
    }
    assert within(wild, window({0: calm, 1: calm}, "loss")) == {}


def test_what_goes_below_zero_has_no_logarithm():
    found = window(
        {0: band([-1.0, -0.5]), 1: band([-1.0, 1e6]), 2: band([-2.0, 0.5])}, "min_eigenvalue"
    )
    assert (found["log"], found["away"]) == (False, [1])
    assert -3 < found["range"][0] < -2 < 0.5 < found["range"][1] < 1
    assert not window({0: band([0.0, 1.0])}, "loss")["log"]


def test_where_all_are_zero_or_nothing_nobody_runs_away():
    for mid in ([0.0, 0.0], [None, None]):
        assert window({0: band(mid), 1: band(mid)}, "gradient_norm")["away"] == []
