"""Statistics with known answers.

Textbooks, second implementations, simulations, and the traps of each.
"""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from sfnbench.survival import statistics
from sfnbench.survival.statistics import Escapes

# Freireich et al. 1963, weeks of remission of 21 + 21 patients; the example of most textbooks on
# survival
TREATED = [6, 6, 6, 7, 10, 13, 16, 22, 23]
TREATED_CENSORED = [6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35]
PLACEBO = [1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23]

times = st.lists(st.one_of(st.integers(1, 20), st.none()), min_size=1, max_size=30)


def escapes(observed, censored=()):
    both = np.array([*observed, *censored], float)
    return Escapes(both, np.arange(len(both)) < len(observed), both)


def row(escape_step, steps=20, status="ok"):
    return {"steps": steps, "escape_step": escape_step, "status": status}


def test_kaplan_meier_of_the_textbook():
    curve = escapes(TREATED, TREATED_CENSORED).survival()
    at_risk = {
        6: (21, 3),
        7: (17, 1),
        10: (15, 1),
        13: (12, 1),
        16: (11, 1),
        22: (7, 1),
        23: (6, 1),
    }
    for week in at_risk:
        exact = math.prod((n - events) / n for t, (n, events) in at_risk.items() if t <= week)
        assert curve.share[curve.times == week] == pytest.approx(exact, rel=1e-12)
    assert ((curve.low <= curve.share) & (curve.share <= curve.high)).all()
    assert escapes(TREATED, TREATED_CENSORED).median().value == 23
    assert escapes(PLACEBO).median().value == 8


def test_logrank_of_the_textbook():
    found = statistics.logrank(escapes(TREATED, TREATED_CENSORED), escapes(PLACEBO))
    assert found.statistic**2 == pytest.approx(16.79, abs=0.005)  # chi squared
    assert found.p == pytest.approx(stats.chi2.sf(found.statistic**2, 1))


@given(times)
def test_with_one_budget_for_all_the_median_is_that_of_times_with_infinity(found):
    late = np.median([math.inf if time is None else time for time in found])
    assert Escapes.of([row(time) for time in found]).median().value == late


watched = st.lists(
    st.tuples(st.one_of(st.integers(1, 9).map(float), st.just(math.inf)), st.booleans()),
    min_size=1,
    max_size=12,
)


@given(watched, st.data())
def test_the_median_of_a_resample_is_that_of_its_runs_each_as_often_as_drawn(runs, data):
    times, escaped = (
        np.array([time for time, _ in runs]),
        np.array([left and time < math.inf for time, left in runs]),
    )
    counts = np.array(
        data.draw(st.lists(st.integers(0, 3), min_size=len(runs), max_size=len(runs)))
    )
    found = Escapes(times, escaped, times).resampled_medians([counts, np.ones_like(counts)])
    often = np.repeat(np.arange(len(runs)), counts)
    expected = (
        Escapes(times[often], escaped[often], times[often]).median().value
        if len(often)
        else math.nan
    )
    assert found == pytest.approx(
        [expected, Escapes(times, escaped, times).median().value], nan_ok=True
    )


number = st.integers(-40, 40).map(lambda tenths: tenths / 10)


@given(
    st.lists(
        st.tuples(number, st.one_of(number, st.just(math.inf), st.just(math.nan)), number),
        min_size=1,
        max_size=7,
    )
)
def test_a_line_through_censored_values_is_the_least_of_its_sum_of_squares(points):
    """The sum is convex: it is least where both its derivatives vanish."""
    x, y, bounds = (np.array(each) for each in zip(*points, strict=True))
    slope, intercept = (each[0] for each in statistics.censored_lines(x, y[None], bounds))
    if len(set(x[np.isfinite(y)])) < 2:
        assert math.isnan(slope)
        assert math.isnan(intercept)
        return
    line = intercept + slope * x
    too_low = np.where(np.isnan(y), 0, np.minimum(0, line - bounds))
    excess = np.where(np.isfinite(y), line - np.nan_to_num(y, posinf=0), too_low)
    assert excess.sum() == pytest.approx(0, abs=1e-8)
    assert (excess * x).sum() == pytest.approx(0, abs=1e-8)


def test_a_censored_value_says_nothing_below_the_line_and_lifts_it_above():
    x, y = [0.0, 1.0, 2.0], [[0.0, 1.0, math.inf]]
    assert statistics.censored_lines(x, y, [9, 9, 1.5]).slope == pytest.approx([1])
    assert (
        statistics.censored_lines(x, y, [9, 9, 8]).slope
        == statistics.censored_lines(x, [[0, 1, 8]], [9, 9, 9]).slope
    )


def test_lines_of_a_batch_are_those_of_each_alone():
    rng = np.random.default_rng(0)
    x, y, bounds = np.arange(6.0), rng.normal(size=(50, 6)), rng.normal(size=6)
    y[rng.random(y.shape) < 0.3] = math.inf
    together = statistics.censored_lines(x, y, bounds)
    alone = [statistics.censored_lines(x, each[None], bounds) for each in y]
    assert together.slope == pytest.approx([each.slope[0] for each in alone], nan_ok=True)
    whole = np.isfinite(y).all(1)
    assert together.slope[whole] == pytest.approx(np.polyfit(x, y[whole].T, 1)[0])


def test_a_resample_without_a_value_may_have_been_anything():
    assert statistics.resampled_interval(3.0, np.arange(1001)) == (3, 25, 975)
    assert statistics.resampled_interval(3.0, [*range(900), *[math.nan] * 100]) == (
        3,
        -math.inf,
        math.inf,
    )


@given(times, st.integers(0, 19))
def test_a_broken_run_counts_as_later_than_all_escapes_wherever_it_broke(found, broke_at):
    rows = [row(time) for time in found]
    early, late = (Escapes.of([*rows, row(None, steps, "diverged")]) for steps in (broke_at, 20))
    assert early.median() == late.median()
    as_a_whole = Escapes.of([*rows, {"seed": 3, "status": "error"}])
    assert as_a_whole.median() == late.median()


@pytest.mark.parametrize(("n", "budget"), [(8, 3.0), (20, 1.5), (50, 10.0)])
def test_the_interval_of_the_median_covers_it_at_the_nominal_rate(n, budget):
    """Exponential times of median 1, censored at a budget and by a second clock.

    1,000 experiments.
    """
    rng = np.random.default_rng(n)
    covered = 0
    for _ in range(1000):
        time = rng.exponential(1 / math.log(2), n)
        watched = np.minimum(budget, rng.exponential(8.0, n))
        seen = np.minimum(time, watched)
        median = Escapes(seen, time <= watched, seen).median()
        covered += median.low <= 1.0 <= median.high
    assert 920 <= covered <= 980


def test_the_logrank_test_errs_as_often_as_it_says():
    rng = np.random.default_rng(0)
    rejected = 0
    for _ in range(1000):
        a, b = (
            escapes(t[t < 1.5], np.full((t >= 1.5).sum(), 1.5))
            for t in rng.exponential(1.0, (2, 30))
        )
        rejected += statistics.logrank(a, b).p < 0.05
    assert 30 <= rejected <= 75  # 50, give or take three standard deviations and a half


def test_nobody_escaped():
    stuck = Escapes.of([row(None)] * 8)
    assert stuck.median() == (math.inf, math.inf, math.inf)
    assert stuck.success().value == 0.0
    assert stuck.expected_running_time().value == math.inf
    assert (stuck.survival().share == 1).all()
    assert statistics.logrank(stuck, stuck) == (0.0, 1.0)
    left = Escapes.of([row(3)] * 8)
    assert statistics.logrank(left, stuck).p < 0.05
    assert statistics.logrank(left, left) == (0.0, 1.0)  # all at once: nothing is told apart


def test_all_escaped_at_the_same_step():
    assert Escapes.of([row(7)] * 8).median() == (7, 7, 7)


@pytest.mark.parametrize("n", [1, 2, 4])
def test_few_runs_have_a_median_and_no_interval(n):
    median = Escapes.of([row(7)] * n).median()
    assert median.value == 7
    assert math.isnan(median.low)
    assert math.isnan(median.high)
    assert Escapes.of([row(None)]).median().value == math.inf


def test_wilson():
    """The roots p of (k/n - p)^2 = z^2 p (1 - p) / n."""
    n, k, z = 16, 12, stats.norm.ppf(0.975)
    found = statistics.success([True] * k + [False] * (n - k))
    assert found.value == k / n
    for p in found[1:]:
        assert (k / n - p) ** 2 == pytest.approx(z**2 * p * (1 - p) / n)
    assert math.isnan(statistics.success([]).value)


def test_expected_running_time_charges_what_was_spent_in_vain():
    rows = [
        {"cost": 50.0, "escape_cost": 10.0},
        {"cost": 50.0, "escape_cost": None},
        {"cost": 50.0, "escape_cost": 30.0},
    ]
    assert Escapes.of(rows, "cost").expected_running_time().value == (10 + 50 + 30) / 2
    found = Escapes.of(2 * rows, "cost").expected_running_time()
    assert found.value == 2 * (10 + 50 + 30) / 4
    assert found.low <= found.value <= found.high
    broke = {"cost": 4.0, "escape_cost": None, "status": "diverged"}
    assert (
        Escapes.of([*rows, broke], "cost").expected_running_time().value == (10 + 50 + 30 + 4) / 2
    )


# -- targets ---------------------------------------------------------------------------------------


@given(
    st.lists(st.lists(st.integers(0, 9), min_size=4, max_size=4), min_size=1, max_size=4),
    st.lists(st.integers(-1, 9)),
)
def test_hitting_times_are_the_first_times(losses, targets):
    at = [0.0, 0.5, 2.0, 3.0]
    found = statistics.hitting_times(losses, at, targets)
    assert found.shape == (len(losses), len(targets))
    for lane, run in enumerate(losses):
        for place, target in enumerate(targets):
            hits = [t for t, loss in zip(at, run, strict=True) if loss <= target]
            assert found[lane, place] == min(hits, default=math.inf)


def test_a_run_that_has_ended_hits_nothing_any_more():
    found = statistics.hitting_times(
        [[3.0, 2.0, math.nan], [3.0, 2.0, 0.0]], [[0, 1, 2], [0, 10, 20]], [2.0, 0.5]
    )
    assert found.tolist() == [[1, math.inf], [10, 20]]


def test_the_ecdf_counts_what_was_never_reached():
    at, share = statistics.ecdf([[2.0, math.inf], [2.0, 5.0]])
    assert at.tolist() == [2, 5]
    assert share.tolist() == [0.5, 0.75]
    nothing = statistics.ecdf([math.inf])
    assert [len(each) for each in nothing] == [0, 0]


def test_performance_ratios():
    times = [[1.0, 2.0, math.inf], [6.0, 3.0, 3.0], [math.inf] * 3, [0.0, 0.0, 1.0]]
    exact = [[1, 2, math.inf], [2, 1, 1], [math.inf] * 3, [1, 1, math.inf]]
    assert statistics.performance_ratios(times).tolist() == exact


# -- comparisons -----------------------------------------------------------------------------------


def test_holm_of_the_definition():
    assert statistics.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert statistics.holm([0.5, 0.9]) == [1.0, 1.0]
    assert statistics.holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_rejects_step_down(ps):
    """In order of size, the i-th of m is rejected while it is below 0.05 / (m - i), and none after the first that is not."""
    order = sorted(range(len(ps)), key=ps.__getitem__)
    rejected, going = set(), True
    for i, place in enumerate(order):
        going = going and ps[place] * (len(ps) - i) < 0.05
        rejected |= {place} if going else set()
    assert {i for i, p in enumerate(statistics.holm(ps)) if p < 0.05} == rejected


def test_differences_are_paired_by_seed():
    reference = {
        seed: 10.0 * seed for seed in range(10)
    }  # the spread over seeds hides a shift that pairing shows
    rivals = {
        "worse": {seed: 10.0 * seed + 1 + seed / 10 for seed in range(9, 2, -1)},
        "same": dict(reference),
    }
    found = statistics.paired_differences(reference, rivals)
    assert found["worse"].difference.value == pytest.approx(1.6)
    assert found["worse"].n == 7
    assert found["worse"].p == 2 * 0.5**7  # all signs alike, two-sided
    assert found["worse"].p_holm == 2 * found["worse"].p
    assert found["same"] == ((0, 0, 0), 1.0, 1.0, 10)


def test_what_is_not_a_number_is_infinitely_worse_and_both_are_equal():
    found = statistics.paired_differences(
        {0: 1.0, 1: math.nan, 2: 1.0}, {"b": {0: math.nan, 1: math.inf, 2: 1.0}}
    )["b"]
    assert found.difference.value == 0
    assert found.n == 3
    with pytest.raises(ValueError, match="b and its reference have no seed in common"):
        statistics.paired_differences({0: 1.0}, {"b": {1: 1.0}})


@given(
    st.lists(st.integers(0, 5), min_size=5, max_size=8),
    st.lists(st.integers(0, 5), min_size=5, max_size=8),
)
def test_probability_of_improvement_is_mann_whitneys_u(a, b):
    found = statistics.probability_of_improvement(a, b)
    u = stats.mannwhitneyu(b, a).statistic if len({*a, *b}) > 1 else len(a) * len(b) / 2
    assert found.value == pytest.approx(u / (len(a) * len(b)))
    assert 0 <= found.low <= found.high <= 1


def test_bootstrap_intervals_where_their_correction_is_undefined():
    assert statistics.median([2.0] * 5) == (2, 2, 2)
    assert statistics.median([math.nan, *[math.inf] * 4]) == (math.inf, math.inf, math.inf)
    one = statistics.median([2.0])
    assert one.value == 2
    assert math.isnan(one.low)
    for values in ([1.0, 1.0, 1.0, 1.0, 2.0], [1.0, 2.0, math.inf, math.inf, 3.0]):
        found = statistics.median(values)
        assert min(values) <= found.low <= found.value <= found.high <= max(values)


def test_logrank_counts_the_broken_as_later_than_every_escape():
    """As if they had been watched to the end of the other group.

    Not taken out before its escapes.
    """
    early, late = escapes([1.0, 2.0], []), escapes(np.arange(10.0, 20.0), [])
    rows = [{"steps": 3, "escape_step": None, "status": "diverged"}] * 8
    never = Escapes.of(rows)
    stays = Escapes.of([{**row, "steps": 1000, "status": "ok"} for row in rows])
    for rival in (late, early):
        assert statistics.logrank(never, rival) == statistics.logrank(stays, rival)
        assert statistics.logrank(rival, never) == statistics.logrank(rival, stays)
    assert statistics.logrank(never, late).p < 0.001


def test_of_nothing_nothing_is_said():
    none = Escapes.of([])
    assert none.survival().times.shape == (0,)
    assert statistics.hitting_times(np.zeros((2, 0)), np.zeros(0), [1.0]).tolist() == [
        [math.inf],
        [math.inf],
    ]
    assert all(math.isnan(each) for each in statistics.median([]))
    assert all(math.isnan(each) for each in statistics.probability_of_improvement([], [1.0]))
    value, *interval = statistics.resampled_interval(1.0, [])
    assert (value, np.isnan(interval).all()) == (1.0, True)
    assert statistics.performance_ratios([[1.0, math.nan]]).tolist() == [[1.0, math.inf]]


@pytest.mark.parametrize("n", [1, 2, 4])
def test_fewer_than_five_have_no_interval(n):
    """Of two, a bootstrap's would cover the true median every other time."""
    values = np.arange(float(n))
    for found in (
        statistics.median(values),
        statistics.probability_of_improvement(values, values + 1),
        statistics.paired_differences(dict(enumerate(values)), {"b": dict(enumerate(2 * values))})[
            "b"
        ].difference,
        escapes(values + 1, []).expected_running_time(),
    ):
        assert math.isfinite(found.value)
        assert math.isnan(found.low)
        assert math.isnan(found.high)
