"""Ranks, ties and their intervals: known answers, and how often the intervals hold the truth."""

import numpy as np
import pytest

from sfnbench.survival.places import difference, places

RNG = np.random.default_rng(7)


def test_who_is_better_on_every_run_is_first_for_sure():
    scores = np.stack([np.full((4, 8), level) for level in (0.2, 0.9, 0.5)])
    found = places(scores)
    assert [tuple(place.rank) for place in found] == [
        (3, 3, 3),
        (1, 1, 1),
        (2, 2, 2),
    ]
    assert [place.ties for place in found] == [(), (), ()]
    assert [place.score.value for place in found] == pytest.approx([0.2, 0.9, 0.5])


def test_equal_methods_share_the_best_rank_and_tie():
    runs = RNG.random((4, 8))
    found = places(np.stack([runs, runs, runs - 0.1]))
    assert [tuple(place.rank) for place in found] == [
        (1, 1, 1),
        (1, 1, 1),
        (3, 3, 3),
    ]
    assert [place.ties for place in found] == [(1,), (0,), ()]


def test_problems_count_alike_and_who_wins_on_one_of_two_ties():
    a = np.stack([np.ones(8), np.zeros(8)])
    found = places(np.stack([a, 1 - a]))
    assert [place.rank.value for place in found] == [1, 1]
    assert [tuple(place.score) for place in found] == [(0.5, 0, 1), (0.5, 0, 1)]
    assert found[0].ties == (1,)


def test_seeds_are_paired():
    """Noise that both share costs no certainty."""
    noise = RNG.normal(size=(5, 16))
    found = places(np.stack([noise + 0.01, noise]))
    assert [tuple(place.rank) for place in found] == [(1, 1, 1), (2, 2, 2)]
    assert tuple(difference(noise + 0.01, noise)) == pytest.approx((0.01,) * 3)


def test_the_interval_of_a_score_is_that_of_a_mean_over_problems():
    """With one seed the bootstrap of P numbers: its width is 2 * 1.96 standard errors."""
    scores = RNG.normal(size=(1, 400, 1))
    (found,) = places(scores)
    width = found.score.high - found.score.low
    assert width == pytest.approx(2 * 1.96 * scores.std() / 20, rel=0.08)


@pytest.mark.slow
def test_difference_holds_the_truth_in_about_95_of_100_samples():
    held = 0
    for i in range(200):
        rng = np.random.default_rng(i)
        of_problems = rng.normal(0.3, 1.0, (30, 1))
        gap = of_problems + rng.normal(size=(30, 8))
        found = difference(gap, np.zeros_like(gap), seed=i)
        held += found.low <= 0.3 <= found.high
    assert 180 <= held <= 198
