"""Figures as records: which methods are in colour, and what a caption says."""

import math

import pytest

from sfnbench.report.figure import (
    BEST_IN_COLOUR,
    MOST_IN_COLOUR,
    Axis,
    Panel,
    Trace,
)
from sfnbench.report.looks import GREY, looks, looks_in

NAN = math.nan
METHODS = [f"m{i}" for i in range(MOST_IN_COLOUR + 36)]


def panel(*traces, **more):
    return Panel("loss", "Loss", Axis("steps"), Axis("loss"), traces, **more)


def crowded(methods=METHODS, **more):
    band = {"low": [0, 0], "high": [2, 2]}
    return panel(
        *(Trace([0, 1], [1, 2], method, **band) for method in methods), **more
    )


def test_as_many_methods_as_there_are_looks_are_all_in_colour():
    few = crowded(METHODS[:MOST_IN_COLOUR])
    assert few.in_colour == set(METHODS[:MOST_IN_COLOUR])
    assert few.caption == ""


def test_of_more_methods_the_best_are_in_colour_and_painted_last():
    best = METHODS[::-1]
    made = crowded(best_first=best)
    assert made.in_colour == set(best[:BEST_IN_COLOUR])
    assert (
        made.caption
        == "The best 12 of 60 methods are in colour, the other 48 are grey."
    )
    painted = list(made.in_order)
    assert {trace.method for trace in painted[-12:]} == made.in_colour
    assert all(trace.low is None and trace.width == 1 for trace in painted[:48])
    own = looks_in(made, looks(METHODS))
    assert {own[method].colour for method in best[BEST_IN_COLOUR:]} == {GREY}


def test_without_a_best_the_first_are_in_colour():
    made = crowded()
    assert made.in_colour == set(METHODS[:BEST_IN_COLOUR])
    assert made.caption.startswith("The first 12 of 60 methods")


def test_no_two_methods_look_alike():
    many = looks(map(str, range(500)))
    assert len(set(many.values())) == 500
    own = looks_in(crowded(), looks(METHODS))
    coloured = [own[method] for method in METHODS[:BEST_IN_COLOUR]]
    assert len(set(coloured)) == BEST_IN_COLOUR


def test_curves_of_something_else_than_methods_have_looks_of_their_own():
    made = panel(Trace([0], [1], "a problem"), Trace([0], [1], "another"))
    own = looks_in(made, looks(METHODS))
    assert own["a problem"] != own["another"]


def test_curves_that_are_too_short_to_be_seen_are_named():
    made = panel(
        Trace([0, 1], [1.0, 2.0], "whole"),
        Trace([0, 1], [1.0, NAN], "dot"),
        Trace([0, 1], [NAN, math.inf], "empty"),
        notes=["Median over seeds."],
    )
    assert [trace.is_dot for trace in made.traces] == [False, True, False]
    assert made.caption == (
        "Median over seeds. A single point, drawn as a dot: dot. No finite number to draw: empty."
    )


@pytest.mark.parametrize("style", ["points", "bars"])
def test_a_single_point_is_enough_for_points_and_bars(style):
    made = panel(Trace([0], [1.0], "one", style=style))
    assert made.caption == ""
    assert not made.traces[0].is_dot
