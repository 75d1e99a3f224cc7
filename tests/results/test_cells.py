"""Cells: numbers are compared, and rounded only where they are printed."""

import math

import pytest

from sfnbench.results.cells import (
    RANGE,
    Cell,
    Tally,
    as_json,
    rank,
    share,
    text,
    used_columns,
)

INF = math.inf


@pytest.mark.parametrize(
    ("entry", "printed"),
    [
        (Cell(4.649, form=".2g"), "4.6"),
        (Cell(2.0, 1.0, 3.0), "2 [1, 3]"),
        (Cell(2.0, 2.0, 2.0), "2"),  # an interval of one point
        (Cell(2.0, math.nan, math.nan), "2"),
        (Cell(INF, 1.0, INF), "inf [1, inf]"),
        (Cell(INF, 3, INF, form="g", censored=10), "> 10 [3, > 10]"),
        (Cell(INF, INF, INF, form="g", censored=10), "> 10"),
        (Cell(4.5, 3, INF, form="g", censored=10), "4.5 [3, > 10]"),
        (Cell(INF, 3, INF, form="g", never=True), "never [3, never]"),
        (Cell(low=0.5, high=2.0, pattern=RANGE), "0.5 to 2"),
        (Cell(0.25, form=".1%"), "25.0%"),
        (share(3, 4), "3/4"),
        (share(3, 4, 0.301, 0.954), "3/4 (0.30-0.95)"),
        (Tally({"ok": 3, "diverged": 1}), "3 ok 1 diverged"),
        (Tally({"minimum": 2, "saddle": 1}, ", "), "2 minimum, 1 saddle"),
        (7, "7"),
        ("words", "words"),
        (None, ""),
    ],
)
def test_an_entry_is_printed(entry, printed):
    assert text(entry) == printed


def test_only_the_best_of_cells_has_a_star_and_only_where_stars_are_wanted():
    best = Cell(4.6, best=True)
    assert (text(best), text(best, is_starred=True)) == ("4.6", "4.6 *")
    assert text(Cell(4.6), is_starred=True) == "4.6"


def test_entries_are_in_the_order_of_their_numbers_and_not_of_their_text():
    entries = [
        Cell(-2.0),
        Cell(4.551, form=".2g"),
        Cell(4.649, form=".2g"),
        share(1, 2),  # a share, whatever of how many
        share(3, 4),
        Cell(INF),
        Cell(INF, censored=9),
        Cell(INF, 3, INF, censored=10),
        Cell(INF, never=True),
        "words",
    ]
    by_share = [entries[0], *entries[3:5], *entries[1:3], *entries[5:]]
    assert sorted(entries, key=rank) == by_share


def test_json_holds_numbers_intervals_and_flags_apart():
    late = as_json(Cell(INF, 3.0, INF, form="g", censored=10))
    assert late == {
        "text": "> 10 [3, > 10]",
        "value": None,
        "low": 3.0,
        "high": None,
        "never": False,
        "censored": 10,
        "best": False,
    }
    assert as_json(Cell(4.649, form=".2g", best=True))["value"] == 4.649
    assert as_json(share(3, 4))["of"] == 4
    assert as_json(Tally({"ok": 3})) == {"ok": 3}
    assert [as_json(entry) for entry in ("words", 7, "", None)] == [
        "words",
        7,
        None,
        None,
    ]


def test_columns_are_those_in_which_something_is():
    table = [{"a": None, "b": "", "c": 0}, {"d": Cell(1.0), "b": "x"}]
    assert used_columns(table) == ["b", "c", "d"]
