"""What a run is worth, and methods side by side."""

import math

import numpy as np
import pytest

from sfnbench.standing.contest import Contest, escape_area, way_down
from sfnbench.survival.targets import ecdf


def row(cost=None, start=1.0, final=0.5, status="ok", spent=100.0):
    return {
        "escape_cost": cost,
        "cost": spent,
        "start_loss": start,
        "final_loss": final,
        "status": status,
    }


@pytest.mark.parametrize(
    ("cost", "area"),
    [(None, 0), (0.5, 1), (1, 1), (10, 0.5), (100, 0), (120, 0)],
)
def test_area_of_one_escape(cost, area):
    assert escape_area(row(cost), 100) == pytest.approx(area)


def test_the_mean_area_is_that_under_the_ecdf():
    """Against the step function of `ecdf`, integrated over ln(cost) from 1 to the budget."""
    costs = [3.0, 20.0, 20.0, 70.0, math.inf]
    rows = [row(cost if math.isfinite(cost) else None) for cost in costs]
    at, share = ecdf(costs)
    widths = np.diff([*np.log(at), math.log(100)])
    expected = (share * widths).sum() / math.log(100)
    assert np.mean([escape_area(each, 100) for each in rows]) == pytest.approx(
        expected
    )


@pytest.mark.parametrize(
    ("final", "status", "share"),
    [
        (0.0, "ok", 1),
        (0.75, "ok", 0.25),
        (-1.0, "ok", 1),
        (2.0, "ok", 0),
        (0.0, "diverged", 0),
        (math.nan, "ok", 0),
        (None, "error", 0),
    ],
)
def test_way_down(final, status, share):
    assert way_down(row(start=1.0, final=final, status=status), 0.0) == share


def test_expected_running_time_is_what_all_spent_over_the_escapes():
    rows = {"a": {"p": [row(10.0), row(None)], "q": [row(30.0), row(None)]}}
    contest = Contest(rows, {"p": 100.0, "q": 100.0}, {})
    assert contest.escapes("a").expected_running_time() == (10 + 100 + 30 + 100) / 2
    assert list(contest.places) == ["escape area"]
