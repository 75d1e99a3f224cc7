"""Hitting times, their distribution, and performance ratios."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sfnbench.survival.targets import ecdf, hitting_times, performance_ratios


@given(
    st.lists(
        st.lists(st.integers(0, 9), min_size=4, max_size=4), min_size=1, max_size=4
    ),
    st.lists(st.integers(-1, 9)),
)
def test_hitting_times_are_the_first_times(losses, targets):
    at = [0.0, 0.5, 2.0, 3.0]
    found = hitting_times(losses, at, targets)
    assert found.shape == (len(losses), len(targets))
    for i, run in enumerate(losses):
        for place, target in enumerate(targets):
            hits = [t for t, loss in zip(at, run, strict=True) if loss <= target]
            assert found[i, place] == min(hits, default=math.inf)


def test_a_run_that_has_ended_hits_nothing_any_more():
    found = hitting_times(
        [[3.0, 2.0, math.nan], [3.0, 2.0, 0.0]],
        [[0, 1, 2], [0, 10, 20]],
        [2.0, 0.5],
    )
    assert found.tolist() == [[1, math.inf], [10, 20]]


def test_the_ecdf_counts_what_was_never_reached():
    at, share = ecdf([[2.0, math.inf], [2.0, 5.0]])
    assert at.tolist() == [2, 5]
    assert share.tolist() == [0.5, 0.75]
    nothing = ecdf([math.inf])
    assert [len(each) for each in nothing] == [0, 0]


@given(
    st.lists(
        st.lists(
            st.sampled_from([1.0, 2.0, 3.0, math.inf]), min_size=3, max_size=3
        ),
        min_size=1,
    )
)
def test_performance_ratios_of_the_definition(times):
    for problem, ratios in zip(times, performance_ratios(times), strict=True):
        best = min(problem)
        exact = [math.inf if t == math.inf else t / best for t in problem]
        assert ratios.tolist() == exact


def test_there_is_no_ratio_to_a_best_that_took_no_time():
    """A method that solved the problem is not called one that never did."""
    assert np.isnan(performance_ratios([[0.0, 0.0, 1.0]])).all()
    assert np.isnan(performance_ratios([[0.0, 2.0, math.inf]])).all()
    alike = performance_ratios([[0.0, 0.0, math.nan]])
    assert alike.tolist() == [[1, 1, math.inf]]


def test_without_losses_no_target_is_reached():
    never = hitting_times(np.zeros((2, 0)), np.zeros(0), [1.0])
    assert never.tolist() == [[math.inf], [math.inf]]
    assert performance_ratios([[1.0, math.nan]]).tolist() == [[1.0, math.inf]]
