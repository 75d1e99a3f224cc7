"""Results at an equal budget, by series written by hand and by a race whose costs are known."""

import math
from dataclasses import replace

import numpy as np
import pytest

from sfnbench.core.cost import PRICES
from sfnbench.experiments.race.at_budget import at_budget, axis_of, repriced
from sfnbench.records import Result, Run, Spec
from sfnbench.results.tables import as_text
from sfnbench.session.execute import execute


def result(statuses=("ok", "ok", "diverged")):
    """Three seeds; gradients cost 1, on half of the data each; the third ends after two steps."""
    nan = math.nan
    steps = np.array([[0.0, 2, 4], [0, 2, 4], [0, 2, nan]])
    series = {
        "loss": np.array([[8.0, 4, 2], [9, 5, 3], [7, 6, nan]]),
        "loss.step": steps,
        "seconds": np.array(
            [[0.0, 1, 2, 3, 4], [0, 2, 4, 6, 8], [0, 1, 2, nan, nan]]
        ),
        "passes.grad": np.array(
            [[0, 0.5, 1, 1.5, 2]] * 2 + [[0, 0.5, 1, nan, nan]]
        ),
    }
    series |= {
        f"passes.{kind}": np.where(np.isnan(series["seconds"]), nan, 0.0)
        for kind in ("loss", "hvp", "hessian")
    }
    member = Spec("p", "problem", {}, "")
    run = Run("s", "race", member, Spec("o", "mine", {}, ""), (0, 1, 2), {})
    rows = tuple({"status": status} for status in statuses)
    return Result(run, "ok", rows, series, {"problem": {"n_parameters": 7}})


@pytest.mark.parametrize(
    ("axis", "budget", "reached", "loss"),
    [
        ("steps", 4, "2/3", "3 [2, inf]"),
        ("steps", 3, "2/3", "5 [4, inf]"),
        (
            "steps",
            2,
            "3/3",
            "5 [4, inf]",
        ),  # the third diverged at the budget itself
        ("steps", 1, "3/3", "8 [7, 9]"),
        ("cost", 1.9, "2/3", "5 [4, inf]"),
        ("cost", 2, "2/3", "3 [2, inf]"),
        (
            "seconds",
            3.5,
            "2/3",
            "9 [4, inf]",
        ),  # the second, slower, had not been measured again
        ("seconds", 100, "0/3", "3 [2, inf]"),
    ],
)
def test_each_run_is_shown_as_it_was_last_measured_within_the_budget(
    axis, budget, reached, loss
):
    (line,) = as_text(at_budget([result()], axis, budget))
    assert line == {
        "problem": "problem",
        "optimizer": "mine",
        "reached": reached,
        "loss": loss,
    }


def test_one_that_merely_ended_counts_with_its_last_value():
    (line,) = as_text(at_budget([result(("ok", "ok", "stuck"))], "steps", 4))
    assert line["loss"] == "3 [2, 6]"


def test_seconds_compete_only_with_seconds_of_as_many_seeds_in_a_batch():
    better, worse = result(("ok",) * 3), result(("ok",) * 3)
    better.series["loss"] /= 2
    alone = replace(
        better, rows=tuple({**row, "n_sharing": 1} for row in better.rows)
    )
    together = replace(
        worse, rows=tuple({**row, "n_sharing": 3} for row in worse.rows)
    )
    alike = replace(worse, rows=alone.rows)

    def stars(axis, *results):
        return [line["loss"].best for line in at_budget(results, axis, 2)]

    assert stars("steps", alone, together) == [True, False]
    assert stars("seconds", alone, together) == [False, False]
    assert stars("seconds", alone, alike) == [True, False]


def test_costs_are_those_of_the_rows(make_run):
    mlp = {"size": 4, "n_examples": 60, "hidden": [3]}
    raced = execute(
        make_run(
            "mlp", mlp, "krylov_sfn", {"k": 4, "batch_size": 20}, seeds=2, steps=3
        )
    )
    costs = axis_of(raced, "cost")
    assert costs[:, -1] == pytest.approx([row["cost"] for row in raced.rows])


def test_a_run_without_series_keeps_its_row():
    broken = Result(result().run, "error", (), {}, {})
    (line,) = as_text(at_budget([broken], "cost", 1))
    assert line == {"problem": "problem", "optimizer": "mine", "reached": "0/3"}


def test_the_best_is_among_those_that_reached_the_budget():
    # the third seed of `short` ends after two steps
    sound, short = ("ok", "ok", "ok"), ("ok", "ok", "stuck")
    better = result(sound)
    better = replace(
        better, series={**better.series, "loss": better.series["loss"] / 2}
    )
    for third in (result(short), result(sound)):
        results = [result(sound), better, third]
        best = [line["loss"].best for line in at_budget(results, "steps", 2)]
        assert best == [False, True, False]
    assert not any(
        line["loss"].best for line in at_budget([result(), better], "steps", 4)
    )
    # a loss far above its start is out, but not before its run has ended
    for statuses, has_star in (
        (("ok", "worse", "ok"), True),
        (("ok", "ok", "worse"), False),
    ):
        worse = replace(better, rows=result(statuses).rows)
        found = at_budget([result(sound), worse], "steps", 2)
        assert [line["loss"].best for line in found] == [False, has_star]
    # without a lower bound a loss only says when the race was stopped
    floorless = [
        replace(
            each,
            environment={"problem": {"n_parameters": 7, "bounded_below": False}},
        )
        for each in (result(sound), better)
    ]
    assert not any(line["loss"].best for line in at_budget(floorless, "steps", 2))


@pytest.mark.parametrize(("size", "share"), [(None, 1.0), (20, 1 / 3)])
def test_epochs_are_shares_of_all_examples_whatever_is_asked_of_them(
    make_run, size, share
):
    mlp = {"size": 4, "n_examples": 60, "hidden": [3]}
    raced = execute(
        make_run(
            "mlp", mlp, "krylov_sfn", {"k": 4, "batch_size": size}, seeds=2, steps=6
        )
    )
    assert axis_of(raced, "epochs") == pytest.approx(
        np.outer([1, 1], np.arange(7) * share)
    )
    (line,) = at_budget([raced], "epochs", 2 * share)
    assert line["loss"] == at_budget([raced], "steps", 2)[0]["loss"]


def test_other_prices_change_every_cost_and_nothing_else(make_run):
    problem = {"eigenvalues": [1.0, -1.0], "radius": 1e-2}
    raced = execute(
        make_run(
            "quadratic_saddle",
            problem,
            "krylov_sfn",
            {"damping": 0.1},
            seeds=3,
            steps=40,
        )
    )
    assert all(row["escape_step"] for row in raced.rows)
    assert repriced(raced, PRICES) is raced
    dear = repriced(raced, {**PRICES, "hvp": 5.0})
    for before, after in zip(raced.rows, dear.rows, strict=True):
        assert after["cost"] == pytest.approx(before["cost"] + 3 * before["n_hvp"])
        # all steps cost the same
        assert after["escape_cost"] == pytest.approx(
            before["escape_cost"] * after["cost"] / before["cost"]
        )
        assert {**after, "cost": 0, "escape_cost": 0} == {
            **before,
            "cost": 0,
            "escape_cost": 0,
        }
    assert np.nanmax(axis_of(dear, "cost"), 1) == pytest.approx(
        [row["cost"] for row in dear.rows]
    )
