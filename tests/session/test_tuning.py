"""Fair tuning: equal points and seeds apart, the winner and its spread."""

import itertools
import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tuned_suites import SUITE, of, run

from sfnbench import Result, SuiteError, load_suite, plan
from sfnbench.experiments.keys import STEPS_LIMIT, Tune
from sfnbench.session.plans import Planned
from sfnbench.session.session import preview
from sfnbench.session.tuning import (
    expected_best,
    median_over_seeds,
    sample,
    trials,
    winners,
)
from sfnbench.suite.ranges import MAX_RANGES
from sfnbench.suite.reading import TUNING_SEEDS

# -- points ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("sampler", ["halton", "random", "sobol"])
@pytest.mark.parametrize("n", [1, 5, 8])
def test_more_trials_only_add_points(sampler, n):
    few, many = (sample(Tune(trials=trials, sampler=sampler)) for trials in (n, 21))
    assert few.shape == (n, MAX_RANGES)
    assert np.array_equal(few, many[:n])
    assert ((many >= 0) & (many < 1)).all()
    assert len(np.unique(many, axis=0)) == 21
    assert not np.array_equal(
        many, sample(Tune(trials=21, sampler=sampler, seed=1))
    )


@pytest.mark.parametrize(
    ("sampler", "dimension", "n"),
    [("halton", 0, 16), ("halton", 1, 27), ("sobol", 0, 16), ("sobol", 9, 16)],
)
def test_low_discrepancy_points_leave_no_gap(sampler, dimension, n):
    """Halton's dimension of base b has one of b^m points in each interval of length b^-m.

    Sobol' has base 2 everywhere.
    """
    points = sample(Tune(trials=n, sampler=sampler))[:, dimension]
    assert sorted(np.floor(points * n)) == list(range(n))


def test_every_optimizer_is_tried_at_the_same_points(write):
    suite = load_suite(write())
    points = {}
    for open_run in (each for each in plan(suite) if each.is_open):
        made = trials(open_run, suite.tune)
        ranges = open_run.method.ranges
        first = min(ranges)
        points[open_run.method.label] = [
            _place(ranges[first], trial.method.params[first]) for trial in made
        ]
        assert {trial.seeds for trial in made} == {
            tuple(range(TUNING_SEEDS, TUNING_SEEDS + 3))
        }
        assert len({json.dumps(trial.settings) for trial in made}) == 1
    assert len(points) == 2
    expected = sample(suite.tune)[:, 0]
    for found in points.values():
        assert found == pytest.approx(expected, abs=1e-4)  # values have six digits


def _place(range_, value):
    low, high = map(
        math.log if range_.scale == "loguniform" else float, range_.values
    )
    return ((math.log(value) if range_.scale == "loguniform" else value) - low) / (
        high - low
    )


def test_trials_measure_the_loss_alone_within_their_own_budget(write):
    text = SUITE.replace(
        "tune: {",
        "metrics: [gradient_norm, {use: loss, every: 3}]\ntune: {budget: {cost: 7}, ",
    )
    suite, open_run = of(write(text), "msgd")
    first = trials(open_run, suite.tune)[0]
    assert first.settings == {
        "budget": {
            "steps": STEPS_LIMIT,
            "seconds": None,
            "cost": 7.0,
            "epochs": None,
        },
        "metrics": [["loss", {"steps": 3}]],
        "prices": open_run.settings["prices"],
    }
    assert (first.problem, first.method.use, first.experiment) == (
        open_run.problem,
        "msgd",
        "race",
    )


def test_no_result_is_made_with_tuning_seeds(write):
    path = write()
    for seeds in ([TUNING_SEEDS], [0, TUNING_SEEDS + 99]):
        with pytest.raises(SuiteError, match="for tuning alone"):
            run(path, seeds=seeds)
        with pytest.raises(SuiteError, match="for tuning alone"):
            preview(Planned.of(load_suite(path), seeds=seeds))
    assert not (path.parent / "runs").exists()


# -- the best of them ------------------------------------------------------------------------------

LOSSES = st.lists(st.floats(-1e6, 1e6) | st.just(math.inf), min_size=1, max_size=7)


@given(LOSSES, st.data())
def test_expected_best_is_the_mean_over_all_choices_of_k(losses, data):
    k = data.draw(st.integers(1, len(losses)))
    every = [min(chosen) for chosen in itertools.combinations(losses, k)]
    assert expected_best(losses, k) == pytest.approx(
        sum(every) / len(every), rel=1e-9, abs=1e-6
    )


@given(LOSSES)
def test_expected_best_falls_from_the_mean_to_the_lowest(losses):
    curve = [expected_best(losses, k) for k in range(1, len(losses) + 1)]
    assert curve[-1] == min(losses)
    assert all(
        later <= before + 1e-6 for before, later in itertools.pairwise(curve)
    )


@pytest.mark.parametrize("k", [0, 3])
def test_expected_best_of_more_than_there_are_is_refused(k):
    with pytest.raises(ValueError, match="between 1 and the number of losses, 2"):
        expected_best([1.0, 2.0], k)


def result(trial, rows, status="ok"):
    return Result(trial, status, tuple(rows))


def rows(*losses, status="ok"):
    return [
        {"status": status, "final_loss": loss, "best_loss": loss} for loss in losses
    ]


@pytest.mark.parametrize(
    ("seeds", "expected"),
    [
        (rows(3.0, 1.0, 2.0), 2.0),
        (rows(3.0, 1.0, math.nan), 3.0),
        (rows(1.0, None, math.inf), math.inf),
        ([*rows(1.0, 5.0), *rows(0.0, status="diverged")], 5.0),
        ([*rows(1.0, 5.0), {"status": "error"}], 5.0),
        (rows(1.0, status="stuck"), 1.0),
        ([], math.inf),
    ],
)
def test_the_middle_counts_what_broke_as_infinite(make_run, seeds, expected):
    assert (
        median_over_seeds(
            result(make_run("mlp", {}, "sfn", {}), seeds), "final_loss"
        )
        == expected
    )


def test_the_winner_has_the_lowest_median_and_comes_first(write):
    suite, open_run = of(write(), "gradient_descent")
    made = trials(open_run, suite.tune)
    losses = [2.0, math.inf, 1.0, 1.0, 9.0]
    results = {
        trial.id: result(trial, rows(loss, loss, loss))
        for trial, loss in zip(made, losses, strict=True)
    }
    [found] = winners([open_run], suite.tune, results)
    assert found.losses == tuple(losses)
    assert found.best == {"lr": made[2].method.params["lr"]}
    assert found.settled == replace(
        open_run, method=replace(made[2].method, label="gradient_descent")
    )
    # one result is missing
    assert winners([open_run], suite.tune, dict(list(results.items())[1:])) == ()


@pytest.mark.parametrize(("i", "end"), [(0, "low"), (-1, "high"), (2, None)])
def test_a_winner_at_an_end_of_its_range_is_remarked(write, i, end):
    suite, open_run = of(
        write(SUITE.replace("trials: 5", "trials: 99")), "gradient_descent"
    )
    made = sorted(
        trials(open_run, suite.tune), key=lambda trial: trial.method.params["lr"]
    )
    best = made[i] if end else made[len(made) // 2]
    results = {
        trial.id: result(trial, rows(0.0 if trial is best else 1.0))
        for trial in made
    }
    [found] = winners([open_run], suite.tune, results)
    assert found.edges == ({"lr": end} if end else {})
    widen = f"lr is at the {end} end of {{uniform: [0.1, 0.5]}}: widen the range"
    assert found.remarks == ([widen] if end else [])


@pytest.mark.parametrize(
    ("start", "is_said"), [(1.0, True), (3.0, False), (None, False)]
)
def test_a_best_trial_that_is_no_better_than_its_start_is_remarked(
    write, start, is_said
):
    suite, open_run = of(write(), "gradient_descent")
    made = trials(open_run, suite.tune)
    results = {
        trial.id: result(
            trial, [{**row, "start_loss": start} for row in rows(2.0, 2.0)]
        )
        for trial in made
    }
    [found] = winners([open_run], suite.tune, results)
    said = "the best trial ends at 2, no better than its start"
    assert any(said in remark for remark in found.remarks) == is_said
