"""The table of a race: medians that censoring and divergence do not flatter."""

import json

from sfnbench.experiments.race.table import middle
from sfnbench.experiments.summary import summary
from sfnbench.records import Result, Run, Spec
from sfnbench.results.cells import text
from sfnbench.results.tables import as_text, legend, ordered, render
from sfnbench.survival.escapes import Escapes
from sfnbench.survival.intervals import median

FACTS = {
    "problem": {
        "n_parameters": 2,
        "has_saddle": True,
        "bounded_below": True,
        "measures": ["error"],
    }
}
SMOOTH = {"problem": {**FACTS["problem"], "has_saddle": False}}


def result(optimizer, rows, facts=FACTS, status="ok"):
    problem = Spec("p", "problem", {}, "")
    run = Run(
        "s",
        "race",
        problem,
        Spec(optimizer, optimizer, {}, ""),
        tuple(range(4)),
        {},
    )
    return Result(run, status, tuple(rows), environment=facts)


def row(escape_step, final_loss, status="ok", error=0.5, **columns):
    columns = {
        "steps": 10,
        "seconds": 1.0,
        "cost": 21.0,
        "end_point": "not critical",
        **columns,
    }
    return {
        "seed": 0,
        "status": status,
        "escape_step": escape_step,
        "final_loss": final_loss,
        "error": error,
        **columns,
    }


def lines(*results, spread="range"):
    """The table as text, without stars, empty entries kept."""
    return [
        {name: text(entry) for name, entry in line.items()}
        for line in summary(results, spread)
    ]


def starred(*results):
    """By optimizer the columns in which it is best."""
    found = {}
    for line in summary(results):
        best = [
            name
            for name, text_ in as_text([line], is_starred=True)[0].items()
            if "*" in text_
        ]
        found[line["optimizer"]] = best
    return found


def test_a_median_is_given_only_where_half_have_escaped():
    (half,) = lines(
        result("a", [row(3, 1.0), row(5, 2.0), row(8, 3.0), row(None, 4.0)])
    )
    assert (half["escaped"], half["escape step"]) == ("3/4", "6.5")
    (few,) = lines(
        result("a", [row(3, 1.0), row(None, 2.0), row(None, 3.0), row(None, 4.0)])
    )
    assert (few["escaped"], few["escape step"]) == ("1/4", "> 10")


def test_the_escape_step_has_its_interval_from_six_seeds_on():
    rows = [row(step, 1.0) for step in (3, 4, 5, 6, 7, 8, 9, None)]
    (line,) = lines(result("a", rows))
    estimate = Escapes.of(rows).median()
    assert line["escape step"] == f"6.5 [{estimate.low:g}, > 10]"
    few = result("a", [row(step, 1.0) for step in (3, 4, 5, None, None, None)])
    assert lines(few)[0]["escape step"] == "> 10 [3, > 10]"
    assert lines(result("a", [row(None, 1.0)] * 8))[0]["escape step"] == "> 10"
    assert lines(result("a", [row(4, 1.0)] * 8))[0]["escape step"] == "4"


def test_json_tells_later_than_the_budget_from_never():
    late = result("late", [row(None, 1.0)] * 4)
    broke = result("broke", [row(2, 1.0), *[row(None, 1.0, "diverged")] * 3])
    shown = json.loads(render(summary([late, broke]), "json"))
    flags = [
        (each["escape step"]["never"], each["escape step"]["censored"])
        for each in shown
    ]
    assert flags == [(False, 10), (True, None)]
    assert [each["escape step"]["value"] for each in shown] == [None, None]


def test_captures_count_among_all_seeds():
    free = {"captured": False, "steps_near": 3}
    rows = [
        row(None, 1.0, captured=True, steps_near=10),
        row(3, 1.0, **free),
        row(3, 1.0, **free),
        {"seed": 3, "status": "error"},
    ]
    (line,) = lines(result("a", rows))
    assert (line["escaped"], line["captured"], line["steps near saddle"]) == (
        "2/4",
        "1/4",
        "3",
    )
    assert lines(result("a", rows, SMOOTH))[0]["captured"] == ""


def test_statuses_costs_and_measures():
    (line,) = lines(
        result(
            "a",
            [row(3, 1.0), row(3, 3.0), row(3, 2.0, "diverged", None), row(3, 2.0)],
        )
    )
    assert line["seeds"] == "3 ok 1 diverged"
    assert line["final loss"] == "2 [1, 3]"
    assert line["cost in gradients"] == "21"
    assert line["error"] == "0.5"
    assert line["end points"] == "4 not critical"


def test_what_is_not_a_number_counts_as_infinite_and_wins_no_star():
    nan = float("nan")
    results = [
        result("broken", [row(None, nan, "diverged") for _ in range(4)]),
        result("good", [row(None, 1.0) for _ in range(4)]),
        result("worse", [row(None, 2.0) for _ in range(4)]),
        result(
            "better",
            [
                row(None, 0.5),
                row(None, 0.5),
                row(None, nan, "diverged"),
                row(None, 0.4),
            ],
        ),
    ]
    shown = [
        line["final loss"] for line in as_text(summary(results), is_starred=True)
    ]
    assert shown == ["inf", "1 *", "2", "0.5 [0.4, inf]"]


def test_every_column_with_a_better_direction_has_its_best_among_its_rivals():
    quick = row(3, 2.0, cost=60.0, seconds=3.0)
    slow = row(9, 1.0, cost=30.0, seconds=2.0)
    # it is cheap, because it has done nothing
    never = row(None, 3.0, cost=1.0, seconds=0.1)
    rows = {"quick": quick, "slow": slow, "never": never}
    results = {name: result(name, [each] * 4) for name, each in rows.items()}
    of_slow = ["final loss", "cost in gradients", "seconds a seed"]
    expected = {"quick": ["escape step"], "slow": of_slow, "never": []}
    assert starred(*results.values()) == expected
    alone = starred(results["quick"], results["never"])
    assert "cost in gradients" not in alone["quick"]  # no rival, no best
    assert starred(result("a", [slow] * 4), result("b", [slow] * 4)) == {
        "a": [],
        "b": [],
    }


def test_seconds_that_print_alike_have_one_best_and_their_own_order():
    slow = result("slow", [row(3, 1.0, seconds=4.649)] * 4)
    fast = result("fast", [row(3, 1.0, seconds=4.551)] * 4)
    table = summary([slow, fast])
    shown = [line["seconds a seed"] for line in as_text(table, is_starred=True)]
    assert shown == ["4.6", "4.6 *"]
    assert [line["optimizer"] for line in ordered(table, "seconds")] == [
        "fast",
        "slow",
    ]


def test_who_alone_escapes_is_best_and_who_has_a_seed_that_never_will_is_not():
    broke = [row(None, 1.0, "diverged")] * 3
    table = summary(
        [
            result("one", [row(3, 1.0)] * 4),
            result("none", [row(None, 1.0)] * 4),
            result("broke", [row(2, 1.0), *broke]),
        ]
    )
    shown = [line["escape step"] for line in as_text(table, is_starred=True)]
    assert shown == ["3 *", "> 10", "never"]


def test_without_a_saddle_what_is_spent_has_no_best():
    cheap = result("a", [row(None, 1.0, cost=1.0)] * 4, SMOOTH)
    dear = result("b", [row(None, 1.0, cost=2.0)] * 4, SMOOTH)
    assert starred(cheap, dear) == {"a": [], "b": []}


def test_what_a_problem_measures_itself_has_its_best_too():
    good, better = (
        result(name, [row(3, 1.0, error=e)] * 4)
        for name, e in (("a", 0.2), ("b", 0))
    )
    assert starred(good, better) == {"a": [], "b": ["error"]}


def test_a_run_that_broke_as_a_whole_has_its_row():
    (line,) = lines(result("a", [], facts={}, status="timeout"))
    assert line["seeds"] == "4 timeout"
    assert (
        line["final loss"] == line["cost in gradients"] == line["end points"] == ""
    )


def test_a_loss_without_floor_is_not_shown():
    facts = {"problem": {**FACTS["problem"], "bounded_below": False}}
    assert lines(result("a", [row(3, -100.0)], facts))[0]["final loss"] == ""


def test_brackets_hold_the_median_s_interval_where_it_is_asked_for():
    losses = [1.0, 2.0, 3.0, 3.0, 4.0, 10.0]
    rows = [row(3, loss) for loss in losses]
    _, low, high = median(losses)
    (line,) = lines(result("a", rows), spread="interval")
    assert line["final loss"] == f"3 [{low:.4g}, {high:.4g}]"
    (few,) = lines(result("a", rows[:5]), spread="interval")
    assert few["final loss"] == "3"  # too few to bound it


def test_the_median_keeps_every_digit_and_is_missing_where_nothing_is_known():
    assert middle([1.23456789, None]).value == 1.23456789
    assert middle([None]) is None
    assert middle([]) is None


def test_the_legend_says_among_whom_the_best_is_and_what_brackets_hold():
    same = summary([result("a", [row(3, 1.0)] * 4), result("b", [row(3, 1.0)] * 4)])
    assert legend(same) == ""
    table = summary(
        [result("a", [row(3, 1.0)] * 4), result("b [x]", [row(None, 2.0)] * 4)]
    )
    assert [part[:2] for part in legend(table).split("; ")] == ["* ", "> "]
    assert "in cost and seconds among those that escaped" in legend(table)
    smooth = summary(
        [
            result(name, [row(None, loss)] * 4, SMOOTH)
            for name, loss in (("a", 1.0), ("b", 2.0))
        ]
    )
    assert (
        legend(smooth)
        == "* best of its problem, among those without a seed that broke, diverged or ended worse"
    )
    pairs = ((3, 1.0), (4, 2.0), (5, 3.0), (9, 4.0), (9, 5.0), (9, 6.0))
    spread = result("a", [row(step, loss) for step, loss in pairs])
    interval = "[a, b]: the 95 % interval of the median"
    assert legend(summary([spread])) == (
        f"{interval}, of final loss the lowest and highest over seeds"
    )
    assert legend(summary([spread], "interval")) == interval


def test_seconds_compete_only_where_they_came_about_alike():
    """A seed among 32 shares their seconds: it is no rival of a seed alone."""
    together = [
        result(name, [row(5, 1.0, seconds=s, n_sharing=32)])
        for name, s in (("a", 0.02), ("b", 0.01))
    ]
    alone = [
        result(name, [row(5, 1.0, seconds=s, n_sharing=1)])
        for name, s in (("c", 0.3), ("d", 0.2))
    ]
    assert starred(*together, *alone) == {
        "a": [],
        "b": ["seconds a seed"],
        "c": [],
        "d": ["seconds a seed"],
    }
    elsewhere = result(
        "e",
        [row(5, 1.0, seconds=0.001, n_sharing=32)],
        facts={**FACTS, "cpu": "another"},
    )
    assert starred(*together, elsewhere)["b"] == ["seconds a seed"]
    assert starred(*together, elsewhere)["e"] == []


def test_what_ended_the_runs_is_shown_where_it_differs():
    by_steps, itself = (
        result(limit, [row(None, 1.0, limit=limit)])
        for limit in ("steps", "itself")
    )
    assert [line["ended by"] for line in lines(by_steps, itself)] == [
        "1 steps",
        "1 itself",
    ]
    assert [line["ended by"] for line in lines(by_steps, by_steps)] == ["", ""]
