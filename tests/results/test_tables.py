"""Tables: stars and order by numbers, every format, signs explained."""

import csv
import io
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tabulate import tabulate

from sfnbench.errors import SfnbenchError
from sfnbench.results.cells import Cell, share, text
from sfnbench.results.tables import (
    FORMATS,
    SEPARATORS,
    as_text,
    grouped,
    legend,
    mark_best,
    ordered,
    render,
    table_json,
)

STYLES = [*FORMATS, *SEPARATORS, "json"]


def seconds(value, problem="p", **fields):
    """A row whose seconds are rounded to two digits and compete."""
    cell = Cell(value, form=".2g", score=value, rivals="among all", **fields)
    return {"problem": problem, "seconds": cell}


def stars(table, column="seconds"):
    return [line[column].best for line in mark_best(table)]


def test_of_numbers_that_round_alike_only_the_lowest_is_best_and_comes_first():
    table = [seconds(4.649), seconds(4.551)]
    assert [text(line["seconds"]) for line in table] == ["4.6", "4.6"]
    assert stars(table) == [False, True]
    assert [line["seconds"].value for line in ordered(table, "seconds")] == [
        4.551,
        4.649,
    ]
    assert [line["seconds"].value for line in ordered(table, "-seconds")] == [
        4.649,
        4.551,
    ]
    shown = [line["seconds"] for line in as_text(mark_best(table), is_starred=True)]
    assert shown == ["4.6", "4.6 *"]


def test_equal_numbers_share_the_star_where_another_is_worse():
    assert stars([seconds(1.0), seconds(1.0), seconds(2.0)]) == [True, True, False]
    # without a rival there is no best
    assert stars([seconds(1.0), seconds(1.0)]) == [False, False]


def test_each_problem_and_dtype_has_its_own_best():
    table = [seconds(2.0), seconds(1.0), seconds(4.0, "q"), seconds(3.0, "q")]
    assert stars(table) == [False, True, False, True]
    table = [
        {**line, "dtype": dtype} for line, dtype in zip(table, "abab", strict=True)
    ]
    assert stars(table) == [False] * 4


def test_where_all_are_infinite_none_is_best():
    assert stars([seconds(math.inf), seconds(math.inf)]) == [False, False]
    assert stars([seconds(math.inf), seconds(3.0)]) == [False, True]


def test_what_has_no_score_does_not_compete():
    cheap = {"problem": "p", "seconds": Cell(0.1)}
    assert stars([seconds(1.0), seconds(2.0), cheap]) == [True, False, False]


@pytest.mark.parametrize("style", STYLES)
def test_every_format_has_every_row_and_drops_empty_columns(style):
    table = [
        {"optimizer": name, "empty": None, "loss": Cell(1.0)}
        for name in ("alpha", "beta")
    ]
    shown = render(table, style)
    assert "empty" not in shown
    assert "alpha" in shown
    assert "beta" in shown


@pytest.mark.parametrize("style", STYLES)
def test_a_table_without_rows_is_no_error(style):
    render([], style)


@pytest.mark.parametrize("style", STYLES)
def test_rows_of_problems_with_different_measures_share_a_table(style):
    table = [
        {"problem": "a", "first error": Cell(0.25)},
        {"problem": "b", "second error": Cell(0.75)},
    ]
    shown = render(table, style)
    assert "0.25" in shown
    assert "0.75" in shown


def test_stars_are_for_people_and_json_has_the_flag():
    table = mark_best([seconds(1.0), seconds(2.0)])
    for style in FORMATS:
        assert "1 *" in render(table, style)
    for style in SEPARATORS:
        assert "*" not in render(table, style)
    rows = json.loads(render(table, "json"))
    assert [row["seconds"]["best"] for row in rows] == [True, False]


def test_json_has_what_is_missing_as_null():
    table = [{"problem": "a", "error": Cell(0.25)}, {"problem": "b"}]
    assert json.loads(render(table, "json"))[1] == {"problem": "b", "error": None}


def test_cells_between_tabs_are_as_they_are():
    table = [
        {"problem": "p", "loss": Cell(1.0, 0.0, 2.0)},
        {"problem": "longer", "loss": None},
    ]
    assert render(table, "tsv") == "problem\tloss\np\t1 [0, 2]\nlonger\t"


def test_csv_quotes_what_holds_a_comma():
    (row,) = csv.DictReader(
        io.StringIO(render([{"loss": Cell(1.0, 0.0, 2.0)}], "csv"))
    )
    assert row == {"loss": "1 [0, 2]"}


def test_the_page_gets_columns_and_entries_by_row():
    data = table_json(mark_best([seconds(4.649), seconds(4.551)]))
    assert data["columns"] == ["problem", "seconds"]
    assert [(row[0], row[1]["value"], row[1]["best"]) for row in data["rows"]] == [
        ("p", 4.649, False),
        ("p", 4.551, True),
    ]
    json.dumps(table_json([seconds(math.inf)]), allow_nan=False)


def test_rows_are_ordered_by_their_numbers():
    cells = {
        "3e-05 [1e-05, 4]": Cell(3e-5, 1e-5, 4.0),
        "0.5": Cell(0.5),
        "-2": Cell(-2.0),
        "inf": Cell(math.inf),
        "> 10 [3, > 10]": Cell(math.inf, 3, math.inf, form="g", censored=10),
        "> 9": Cell(math.inf, form="g", censored=9),
        "never": Cell(math.inf, never=True),
        "words": "words",
        "": None,
    }
    table = [{"problem": "p", "escape step": cell} for cell in cells.values()]
    upwards = [text(line["escape step"]) for line in ordered(table, "escape_step")]
    assert upwards == [
        "-2",
        "3e-05 [1e-05, 4]",
        "0.5",
        "inf",
        "> 9",
        "> 10 [3, > 10]",
        "never",
        "words",
        "",
    ]
    down = [text(line["escape step"]) for line in ordered(table, "-escape step")]
    # what is not there comes last both ways
    assert down == [*reversed(upwards[:-1]), ""]


def test_a_column_is_sorted_by_its_first_words_where_no_other_begins_so():
    table = [{"escape step": Cell(2.0)}, {"escape step": Cell(1.0)}]
    assert ordered(table, "escape") == ordered(table, "escape step")
    with pytest.raises(
        SfnbenchError, match=r"no column 'escapes' .* mean 'escape step'"
    ):
        ordered(table, "escapes")
    with pytest.raises(SfnbenchError, match="no column 'escape'"):
        ordered([{**line, "escape cost": None} for line in table], "escape")


def test_a_group_s_rows_stay_in_order():
    table = [
        {"problem": "p", "optimizer": "a"},
        {"problem": "q", "optimizer": "a"},
        {"problem": "p", "optimizer": "b"},
    ]
    assert grouped(table, "problem") == {
        "p": [{"optimizer": "a"}, {"optimizer": "b"}],
        "q": [{"optimizer": "a"}],
    }


def test_the_legend_explains_the_signs_that_occur_and_no_others():
    assert legend([{"loss": Cell(1.0), "problem": "b [x] > 3 *"}]) == ""
    # such a cell says itself what it is
    assert legend([{"converged": share(3, 4, 0.3, 0.9)}]) == ""
    assert (
        legend(mark_best([seconds(1.0), seconds(2.0)]))
        == "* best of its problem, among all"
    )
    late = {"escape step": Cell(math.inf, censored=10)}
    assert legend([late]) == "> N: later than the N steps made"
    spread = {
        "loss": Cell(1.0, 0.5, 2.0, brackets="the range"),
        "error": Cell(1.0, 0.5, 2.0, brackets="the range"),
        "rate": Cell(1.0, 0.5, 2.0, brackets="the quartiles"),
    }
    assert legend([spread]) == "[a, b]: the range, of rate the quartiles"
    same = {"loss": Cell(1.0, 1.0, 1.0, brackets="the range")}
    assert legend([same]) == ""


def test_a_bar_within_a_cell_of_markdown_does_not_end_it():
    header, _, row = render(
        [{"optimizer": "|H|", "|lowest|": "a|b"}], "github"
    ).splitlines()
    assert header.split() == ["|", "optimizer", "|", r"\|lowest\|", "|"]
    assert row.split() == ["|", r"\|H\|", "|", r"a\|b", "|"]


def test_a_plain_table_is_folded_to_a_width_without_losing_a_word():
    words = [f"word{i}" for i in range(30)]
    table = [{"name": "a", "what": " ".join(words), "from": "shipped"}]
    folded = render(table, "plain", width=60)
    assert max(map(len, folded.splitlines())) <= 60
    assert [word for word in folded.split() if word.startswith("word")] == words
    assert render(table, "plain", width=400) == render(table, "plain")
    assert render(table, "csv", width=60) == render(table, "csv")


@given(
    st.integers(1, 4).flatmap(
        lambda n: st.lists(
            st.lists(st.text(" -ab1.%", max_size=6), min_size=n, max_size=n),
            min_size=1,
        )
    )
)
def test_a_plain_table_is_tabulate_s(rows):
    table = [{f"c{i}": cell for i, cell in enumerate(row)} for row in rows]
    shown = as_text(table)
    expected = tabulate(
        shown, headers="keys", tablefmt="simple", disable_numparse=True
    )
    assert render(table, "plain") == expected
