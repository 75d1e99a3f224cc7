"""Performance profiles, by costs written by hand and by the definition counted out."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfnbench.experiments.race.figures.profiles import (
    GAP,
    Descent,
    costs_of,
    extract,
    figures,
    profiles,
)
from sfnbench.records import Result, Run, Spec

INF, NAN = math.inf, math.nan


def result(rows=(), losses=None, at=None, problem="p", optimizer="o", **facts):
    """A race whose gradients cost 1 each, a step a gradient."""
    series = {}
    if losses is not None:
        at = np.broadcast_to(
            np.arange(len(losses[0])) if at is None else at, np.shape(losses)
        ).astype(float)
        used = np.where(np.isnan(at), NAN, at).max(
            1, initial=0, where=~np.isnan(at)
        )
        steps = np.tile(np.arange(1.0 + np.nanmax(at)), (len(losses), 1))
        steps[steps > used[:, None]] = NAN
        series = {
            "loss": np.array(losses, float),
            "loss.step": at,
            "seconds": steps,
            "passes.grad": steps,
        }
        series |= {
            f"passes.{kind}": 0 * steps for kind in ("loss", "hvp", "hessian")
        }
        rows = rows or tuple(
            {"status": "ok", "seed": seed} for seed in range(len(losses))
        )
    run = Run(
        "s",
        "race",
        Spec("p", problem, {}, ""),
        Spec("o", optimizer, {}, ""),
        tuple(range(len(rows))),
        {},
    )
    return Result(
        run, "ok", tuple(rows), series, {"problem": {"n_parameters": 3, **facts}}
    )


def escaping(*costs):
    rows = tuple({"status": "ok", "escape_cost": cost} for cost in costs)
    return result(rows, [[0.0]] * len(costs), has_saddle=True, bounded_below=True)


def test_a_saddle_is_solved_when_half_of_the_seeds_have_left():
    assert extract(escaping(2.0, 6.0, 4.0)) == 4
    assert extract(escaping(2.0, 3.0, None)) == 3
    assert extract(escaping(2.0, None, None)) == INF


def test_a_run_that_broke_solved_nothing_and_a_bottomless_problem_without_a_saddle_says_nothing():
    assert extract(result()) == INF
    assert extract(result(losses=[[1.0, -9.0]], bounded_below=False)) is None


def test_the_target_is_a_hundredth_of_the_way_from_the_best_to_the_start():
    """From 101 the best comes to 1, so the target is 2.

    Reached by the first at 2, by the second at 3, never by the last.
    """
    runs = [[[101, 50, 2, 1]], [[101, 50, 3, 2]], [[101, 50, 40, 2.01]]]
    descents = [extract(result(losses=each, bounded_below=True)) for each in runs]
    assert GAP == 0.01
    assert costs_of(descents) == [2, 3, INF]


def test_half_of_the_seeds_have_to_reach_it_at_what_it_had_cost_by_then():
    losses = [[10, 0, NAN], [10, 10, 0], [10, NAN, NAN]]
    at = [[0, 4, NAN], [0, 3, 6], [0, NAN, NAN]]
    descent = extract(result(losses=losses, at=at, bounded_below=True))
    assert costs_of([descent]) == [6]  # 4, 6 and never


def test_seeds_without_a_loss_count_as_never():
    half = Descent(np.array([[NAN, NAN], [10, 0]]), np.array([[NAN, NAN], [0, 1]]))
    assert costs_of(
        [half, Descent(np.array([[10, 1.0]]), np.array([[0, 3.0]]))]
    ) == [INF, 3]
    assert costs_of([half, INF]) == [INF, INF]


def test_shares_within_tau_of_the_best():
    """The first is best on two of three and twice as dear on the third, which the last
    alone never solves."""
    first, second, last = profiles(
        [[1.0, 3.0, 2.0], [1.0, INF, 4.0], [8.0, 4.0, INF]]
    )
    edge = 1.2 * 4
    assert as_lists(first) == ([1, 1, 2, edge], [0, 2 / 3, 1, 1])
    assert as_lists(second) == ([1, 1, 3, edge], [0, 1 / 3, 2 / 3, 2 / 3])
    assert as_lists(last) == ([1, 2, 4, edge], [0, 1 / 3, 2 / 3, 2 / 3])


def test_who_solves_nothing_stays_at_nothing():
    _, (_, never) = profiles([[1.0, INF], [2.0, INF]])
    assert set(never) == {0}


@pytest.mark.parametrize(
    "problems", [[], [[1.0, 2.0]], [[1.0], [2.0]], [[INF, INF], [INF, INF]]]
)
def test_one_problem_or_one_optimizer_or_nothing_solved_has_none(problems):
    assert profiles(problems) == []


@given(
    st.lists(
        st.lists(
            st.sampled_from([1.0, 2.0, 3.0, 5.0, 8.0, INF]), min_size=3, max_size=3
        ),
        min_size=2,
        max_size=6,
    )
)
def test_a_profile_is_its_definition_counted_out(problems):
    for o, curve in enumerate(profiles(problems)):
        x, y = curve
        assert np.all(np.diff(y) >= 0)
        for tau in (1.0, 1.3, 1.5, 2.0, 3.0, 8.0):
            counted = sum(
                costs[o] < INF and costs[o] <= tau * min(costs) * (1 + 1e-12)
                for costs in problems
            )
            assert y[x <= tau * (1 + 1e-12)].max() == pytest.approx(
                counted / len(problems)
            )


def test_a_problem_that_an_optimizer_has_no_result_of_is_left_out():
    costs = {
        ("a", "one"): 1.0,
        ("a", "other"): 2.0,
        ("b", "one"): 3.0,
        ("c", "one"): 9.0,
        ("c", "other"): 3.0,
    }
    runs = []
    for (problem, optimizer), cost in costs.items():
        rows = escaping(cost).rows
        run = result(
            rows, [[0.0]], problem=problem, optimizer=optimizer, has_saddle=True
        )
        runs.append((run, extract(run)))
    (figure,) = figures(runs)
    one, other = figure.panels[0].traces
    assert (one.method, *as_lists((one.x[:-1], one.y))) == (
        "one",
        [1, 1, 3],
        [0, 0.5, 1, 1],
    )
    assert (other.method, *as_lists((other.x[:-1], other.y))) == (
        "other",
        [1, 1, 2],
        [0, 0.5, 1, 1],
    )


def as_lists(curve):
    return tuple(each.tolist() for each in curve)


def test_the_note_states_the_gap():
    runs = [
        (
            result(
                rows=escaping(1.0).rows,
                losses=[[0.0]],
                problem=p,
                optimizer=o,
                has_saddle=True,
            ),
            1.0,
        )
        for p in "ab"
        for o in "cd"
    ]
    (figure,) = figures(runs)
    assert "all but 1 % of the way" in figure.panels[0].caption
