"""The table of results: medians that censoring and divergence do not flatter."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from sfnbench.errors import SfnbenchError
from sfnbench.experiments.summary import HIGHER, chosen, legend, mark_best, summary
from sfnbench.records import Result, Run, Spec
from sfnbench.report.reasons import reasons, way_back
from sfnbench.results.tables import FORMATS, SEPARATORS, grouped, ordered, render
from sfnbench.survival.escapes import Escapes
from sfnbench.survival.intervals import median

FACTS = {
    "problem": {"n_parameters": 2, "has_saddle": True, "bounded_below": True, "measures": ["error"]}
}


def result(optimizer, rows, facts=FACTS, status="ok"):
    member = Spec("p", "problem", {}, "")
    run = Run("s", "race", member, Spec(optimizer, optimizer, {}, ""), tuple(range(4)), {})
    return Result(run, status, tuple(rows), environment=facts)


def row(escape_step, final_loss, status="ok", error=0.5):
    cost = {"cost": 21.0}
    row = {
        "status": status,
        "steps": 10,
        "escape_step": escape_step,
        "final_loss": final_loss,
        "seconds": 1.0,
    }
    return {**row, **cost, "end_point": "not critical", "error": error}


def test_a_median_is_given_only_where_half_have_escaped():
    half = summary([result("a", [row(3, 1.0), row(5, 2.0), row(8, 3.0), row(None, 4.0)])])[0]
    assert (half["escaped"], half["escape step"]) == ("3/4", "6.5")
    few = summary([result("a", [row(3, 1.0), row(None, 2.0), row(None, 3.0), row(None, 4.0)])])[0]
    assert (few["escaped"], few["escape step"]) == ("1/4", "> 10")


def test_the_escape_step_has_its_interval_from_five_seeds_on():
    table = summary([result("a", [row(step, 1.0) for step in (3, 4, 5, 6, 7, 8, 9, None)])])[0]
    median = Escapes.of([row(step, 1.0) for step in (3, 4, 5, 6, 7, 8, 9, None)]).median()
    assert table["escape step"] == f"6.5 [{median.low:g}, {median.high:g}]"
    few = summary([result("a", [row(step, 1.0) for step in (3, 4, 5, None, None, None)])])[0]
    assert few["escape step"] == "> 10 [3, > 10]"
    assert summary([result("a", [row(None, 1.0)] * 8)])[0]["escape step"] == "> 10"
    assert summary([result("a", [row(4, 1.0)] * 8)])[0]["escape step"] == "4"


def test_captures_count_among_all_seeds():
    caught, free = {"captured": True, "dwell_steps": 10}, {"captured": False, "dwell_steps": 3}
    rows = [
        {**row(None, 1.0), **caught},
        {**row(3, 1.0), **free},
        {**row(3, 1.0), **free},
        {"seed": 3, "status": "error"},
    ]
    table = summary([result("a", rows)])[0]
    assert (table["escaped"], table["captured"], table["steps near saddle"]) == ("2/4", "1/4", "3")
    no_saddle = {"problem": {**FACTS["problem"], "has_saddle": False}}
    assert summary([result("a", rows, no_saddle)])[0]["captured"] == ""


def test_statuses_costs_and_measures():
    table = summary(
        [result("a", [row(3, 1.0), row(3, 3.0), row(3, 2.0, "diverged", None), row(3, 2.0)])]
    )[0]
    assert table["seeds"] == "3 ok 1 diverged"
    assert table["final loss"] == "2 [1, 3]"
    assert table["cost in gradients"] == "21"
    assert table["error"] == "0.5"
    assert table["end points"] == "4 not critical"


def test_what_is_not_a_number_counts_as_infinite_and_wins_no_star():
    nan = float("nan")
    table = summary(
        [
            result("broken", [row(None, nan, "diverged") for _ in range(4)]),
            result("good", [row(None, 1.0) for _ in range(4)]),
            result("worse", [row(None, 2.0) for _ in range(4)]),
            result(
                "better",
                [row(None, 0.5), row(None, 0.5), row(None, nan, "diverged"), row(None, 0.4)],
            ),
        ]
    )
    marked = {r["optimizer"]: r["final loss"] for r in mark_best(table)}
    assert marked == {"broken": "inf", "good": "1 *", "worse": "2", "better": "0.5 [0.4, inf]"}


def test_every_column_with_a_better_direction_has_its_best_among_its_rivals():
    quick, slow = (
        {**row(3, 2.0), "cost": 60.0, "seconds": 3.0},
        {**row(9, 1.0), "cost": 30.0, "seconds": 2.0},
    )
    never = {**row(None, 3.0), "cost": 1.0, "seconds": 0.1}  # cheap, for it has done nothing
    table = mark_best(
        summary(
            [
                result(name, [r] * 4)
                for name, r in (("quick", quick), ("slow", slow), ("never", never))
            ]
        )
    )
    starred = {
        r["optimizer"]: [name for name, cell in r.items() if cell.endswith(" *")] for r in table
    }
    of_slow = ["final loss", "cost in gradients", "seconds a seed"]
    assert starred == {"quick": ["escape step"], "slow": of_slow, "never": []}
    alone = summary([result("quick", [quick] * 4), result("never", [never] * 4)])
    assert not any("*" in r["cost in gradients"] for r in mark_best(alone))  # no rival, no best
    twins = summary([result("a", [slow] * 4), result("b", [slow] * 4)])
    assert mark_best(twins) == twins


def test_who_alone_escapes_is_best_and_who_has_a_seed_that_never_will_is_not():
    broke = [row(None, 1.0, "diverged")] * 3
    table = mark_best(
        summary(
            [
                result("one", [row(3, 1.0)] * 4),
                result("none", [row(None, 1.0)] * 4),
                result("broke", [row(2, 1.0), *broke]),
            ]
        )
    )
    assert [r["escape step"] for r in table] == ["3 *", "> 10", "never"]


def test_where_nobody_has_to_escape_what_is_spent_has_no_best():
    facts = {"problem": {**FACTS["problem"], "has_saddle": False}}
    table = summary(
        [
            result(name, [{**row(None, 1.0), "cost": cost}] * 4, facts)
            for name, cost in (("a", 1.0), ("b", 2.0))
        ]
    )
    assert mark_best(table) == table


def test_the_fastest_is_marked_among_those_undisturbed():
    table = [
        {
            "problem": "p",
            "optimizer": name,
            "dtype": dtype,
            "note": note,
            **dict.fromkeys(HIGHER, f"{rate:.3g} [1, 2]"),
        }
        for name, dtype, note, rate in (
            *(
                ("a", "float64", "", 900),
                ("b", "float64", "", 1.2e3),
                ("c", "float64", "disturbed", 5e3),
            ),
            *(("a", "float32", "", 2e3), ("b", "float32", "", 1e3)),
        )
    ]
    marked = mark_best(table)
    for column in HIGHER:
        assert [r[column].endswith("*") for r in marked] == [False, True, False, True, False]


def test_at_a_budget_the_best_is_among_those_that_reached_it():
    rows = [("a", "4/4", "2"), ("b", "4/4", "3"), ("c", "3/4", "1")]
    table = [
        {"problem": "p", "optimizer": name, "reached": reached, "loss": loss}
        for name, reached, loss in rows
    ]
    assert [r["loss"] for r in mark_best(table)] == ["2 *", "3", "1"]
    floorless = replace(result("a", []), environment={"problem": {"bounded_below": False}})
    floorless = replace(
        floorless, run=replace(floorless.run, problem=replace(floorless.run.problem, label="p"))
    )
    assert mark_best(table, [floorless]) == table  # its loss says when the race was stopped


def test_what_a_problem_measures_itself_has_its_best_too():
    facts = {"problem": {**FACTS["problem"], "measures": ["training_error"]}}
    results = [
        result(name, [{**row(3, 1.0), "training_error": e}] * 4, facts)
        for name, e in (("a", 0.2), ("b", 0.1))
    ]
    assert [r["training error"] for r in mark_best(summary(results), results)] == ["0.2", "0.1 *"]


def test_the_legend_explains_the_signs_that_occur_and_no_others():
    plain = summary([result("a", [row(3, 1.0)] * 4), result("b", [row(3, 1.0)] * 4)])
    assert legend(mark_best(plain)) == ""
    table = mark_best(
        summary([result("a", [row(3, 1.0)] * 4), result("b [x]", [row(None, 2.0)] * 4)])
    )
    assert [part[:2] for part in legend(table).split("; ")] == ["* ", "> "]
    spread = summary(
        [
            result(
                "a",
                [
                    row(step, loss)
                    for step, loss in ((3, 1.0), (4, 2.0), (5, 3.0), (9, 4.0), (9, 5.0))
                ],
            )
        ]
    )
    told = "[a, b]: the 95 % interval of the median"
    assert legend(spread) == f"{told}, of final loss the lowest and highest over seeds"
    assert legend(spread, "interval") == told
    assert "escaped" in legend(table)
    smooth = {"problem": {**FACTS["problem"], "has_saddle": False}}
    flat = mark_best(
        summary(
            [result(name, [row(None, loss)] * 4, smooth) for name, loss in (("a", 1.0), ("b", 2.0))]
        )
    )
    assert legend(flat) == "* best of its problem, among those of which no seed broke or diverged"


def test_each_reason_is_told_once_with_those_it_befell():
    broke = [replace(result(name, [], {}, "error"), log="Traceback\nE: no\n") for name in "abcde"]
    late = replace(result("f", [], {}, "timeout"), log="stopped after 3 s\n")
    results = [*broke, result("fine", [row(3, 1.0)] * 4), late]
    nan = result(
        "nan",
        [{**row(3, 1.0, "diverged"), "not_finite": "the Hessian"}, row(3, 1.0)],
        status="diverged",
    )
    assert reasons([nan, results[5]]) == ["diverged: the Hessian was not finite (nan on problem)"]
    everybody = ", ".join(f"{name} on problem" for name in "abcd")
    assert reasons(results) == [
        f"error: E: no ({everybody} and 1 more)",
        "timeout: stopped after 3 s (f on problem)",
    ]
    assert way_back(results, Path("runs/s")).startswith(
        "6 of 7 runs broke; `sfnbench run s --only failed` executes them again"
    )
    assert "`sfnbench run s --out other --only failed`" in way_back(broke, Path("other"))
    assert way_back([results[-2]], Path("runs/s")) == ""


def test_a_run_that_broke_as_a_whole_has_its_row():
    table = summary([result("a", [], facts={}, status="timeout")])[0]
    assert table["seeds"] == "4 timeout"
    assert table["final loss"] == table["cost in gradients"] == table["end points"] == ""


def test_a_loss_without_floor_is_not_shown():
    facts = {"problem": {**FACTS["problem"], "bounded_below": False}}
    assert summary([result("a", [row(3, -100.0)], facts)])[0]["final loss"] == ""


@pytest.mark.parametrize("style", [*FORMATS, *SEPARATORS, "json"])
def test_every_format_has_every_row_and_drops_empty_columns(style):
    table = summary([result(name, [row(None, 1.0)] * 4) for name in ("a_first", "b_second")])
    text = render([{**r, "empty": ""} for r in table], style)
    assert "empty" not in text
    assert "first" in text
    assert "second" in text
    if style == "json":
        assert [r["optimizer"] for r in json.loads(text)] == ["a_first", "b_second"]


def test_cells_between_tabs_are_as_they_are():
    text = render([{"problem": "p", "loss": "1 [0, 2]"}, {"problem": "longer", "loss": ""}], "tsv")
    assert text == "problem\tloss\np\t1 [0, 2]\nlonger\t"


def test_a_table_without_rows_is_no_error():
    for style in (*FORMATS, *SEPARATORS, "json"):
        render([], style)


@pytest.mark.parametrize("style", [*sorted(FORMATS), *SEPARATORS, "json"])
def test_rows_of_problems_with_different_measures_share_a_table(style):
    text = render(
        [{"problem": "a", "first error": "0.25"}, {"problem": "b", "second error": "0.75"}], style
    )
    assert "0.25" in text
    assert "0.75" in text
    if style == "json":
        assert json.loads(text)[1] == {"problem": "b", "first error": "", "second error": "0.75"}


def test_brackets_hold_the_median_s_interval_where_it_is_asked_for():
    losses = [1.0, 2.0, 3.0, 4.0, 10.0]
    rows = [row(3, loss) for loss in losses]
    _, low, high = median(losses)
    assert summary([result("a", rows)], "interval")[0]["final loss"] == f"3 [{low:.4g}, {high:.4g}]"
    assert (
        summary([result("a", rows[:4])], "interval")[0]["final loss"] == "2.5"
    )  # too few to bound it


def test_rows_are_ordered_by_what_their_cells_begin_with():
    cells = ["3e-05 [1e-05, 4]", "0.5", "-2", "inf", "> 10 [3, > 10]", "> 9", "3 ok", "words", ""]
    table = [{"problem": str(i), "escape step": cell} for i, cell in enumerate(cells)]
    assert [r["escape step"] for r in ordered(table, "escape_step")] == [
        *("-2", "3e-05 [1e-05, 4]", "0.5", "3 ok", "inf", "> 9", "> 10 [3, > 10]", "words", "")
    ]
    down = [r["escape step"] for r in ordered(table, "-escape step")]
    assert down[0] == "words"
    assert down[-2:] == ["-2", ""]  # what is not there comes last both ways
    with pytest.raises(SfnbenchError, match=r"no column 'escapes' .* mean 'escape step'"):
        ordered(table, "escapes")
    assert ordered(table, "-escape") == ordered(
        table, "-escape step"
    )  # the first words do, where no other begins so
    with pytest.raises(SfnbenchError, match="no column 'escape'"):
        ordered([{**row, "escape cost": ""} for row in table], "escape")


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


def test_results_are_chosen_by_name_label_pattern_and_status():
    results = [
        result("stall, H", [row(None, 1.0, "stuck")], status="stuck"),
        result("stall, |H|", [row(None, 1.0), row(None, 1.0, "diverged")], status="diverged"),
        result("msgd", [row(3, 1.0)]),
    ]

    def names(**asked):
        found = chosen(results, **{"problems": (), "optimizers": (), "statuses": (), **asked})
        return [r.run.method.label for r in found]

    assert names() == ["stall, H", "stall, |H|", "msgd"]
    assert names(optimizers=["stall*"]) == ["stall, H", "stall, |H|"]
    assert names(optimizers=["stall*"], statuses=["ok"]) == ["stall, |H|"]
    assert names(statuses=["stuck", "diverged"]) == ["stall, H", "stall, |H|"]
    assert names(problems=["problem"]) == names(problems=["p"]) == names()
    with pytest.raises(
        SfnbenchError, match=r"no result of optimizer 'msg' here .*did you mean 'msgd'"
    ):
        names(optimizers=["msg"])
