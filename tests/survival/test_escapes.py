"""Censored escapes: textbooks, a second implementation, simulations, and the traps of each."""

import math

import lifelines
import lifelines.statistics
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from sfnbench.records import Status
from sfnbench.survival.escapes import Escapes, logrank

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


watched = st.lists(
    st.tuples(
        st.one_of(st.integers(1, 9).map(float), st.just(math.inf)), st.booleans()
    ),
    min_size=1,
    max_size=12,
)


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
        exact = math.prod(
            (n - events) / n for t, (n, events) in at_risk.items() if t <= week
        )
        assert curve.share[curve.times == week] == pytest.approx(exact, rel=1e-12)
    assert ((curve.low <= curve.share) & (curve.share <= curve.high)).all()
    assert escapes(TREATED, TREATED_CENSORED).median().value == 23
    assert escapes(PLACEBO).median().value == 8


def test_logrank_of_the_textbook():
    found = logrank(escapes(TREATED, TREATED_CENSORED), escapes(PLACEBO))
    assert found.statistic**2 == pytest.approx(16.79, abs=0.005)  # chi squared
    assert found.p == pytest.approx(stats.chi2.sf(found.statistic**2, 1))


@given(times)
def test_with_one_budget_for_all_the_median_is_that_of_times_with_infinity(found):
    late = np.median([math.inf if time is None else time for time in found])
    assert Escapes.of([row(time) for time in found]).median().value == late


@given(watched, st.data())
def test_the_median_of_a_resample_is_that_of_its_runs_each_as_often_as_drawn(
    runs, data
):
    times, escaped = (
        np.array([time for time, _ in runs]),
        np.array([left and time < math.inf for time, left in runs]),
    )
    counts = np.array(
        data.draw(
            st.lists(st.integers(0, 3), min_size=len(runs), max_size=len(runs))
        )
    )
    found = Escapes(times, escaped, times).resampled_medians(
        [counts, np.ones_like(counts)]
    )
    often = np.repeat(np.arange(len(runs)), counts)
    expected = (
        Escapes(times[often], escaped[often], times[often]).median().value
        if len(often)
        else math.nan
    )
    assert found == pytest.approx(
        [expected, Escapes(times, escaped, times).median().value], nan_ok=True
    )


@given(times, st.integers(0, 19))
def test_a_broken_run_counts_as_later_than_all_escapes_wherever_it_broke(
    found, broke_at
):
    rows = [row(time) for time in found]
    early, late = (
        Escapes.of([*rows, row(None, steps, "diverged")])
        for steps in (broke_at, 20)
    )
    assert early.median() == late.median()
    as_a_whole = Escapes.of([*rows, {"seed": 3, "status": "error"}])
    assert as_a_whole.median() == late.median()


@pytest.mark.parametrize(
    ("n", "budget", "other_end"),
    [(6, 3.0, 8.0), (8, 3.0, 8.0), (20, 1.5, 8.0), (50, 10.0, 8.0), (32, 1.2, 2.0)],
)
def test_the_interval_of_the_median_covers_it(n, budget, other_end):
    """Exponential times of median 1, censored at a budget and by a second clock."""
    rng = np.random.default_rng(n)
    covered = 0
    for _ in range(1000):
        time = rng.exponential(1 / math.log(2), n)
        watched = np.minimum(budget, rng.exponential(other_end, n))
        seen = np.minimum(time, watched)
        median = Escapes(seen, time <= watched, seen).median()
        covered += median.low <= 1.0 <= median.high
    assert 1000 * 0.95 - 21 <= covered < 1000  # three standard deviations are 21


@given(st.lists(st.one_of(st.integers(1, 20), st.none()), min_size=6, max_size=40))
def test_under_one_budget_the_interval_is_that_of_the_sign_test(found):
    """By exact order statistics, whatever escaped: scipy's inverts the same test."""
    late = np.array([math.inf if time is None else time for time in found], float)
    exact = stats.quantile_test(late, p=0.5).confidence_interval(0.95)
    median = Escapes.of([row(time) for time in found]).median()
    assert (median.low, median.high) == (exact.low, exact.high)


@pytest.mark.parametrize("n", [1, 4, 12, 60])
def test_without_censoring_the_curve_has_clopper_and_pearsons_intervals(n):
    curve = escapes(np.arange(1.0, n + 1)).survival()
    for place in range(n):
        exact = stats.binomtest(n - place - 1, n).proportion_ci(method="exact")
        assert (curve.low[place], curve.high[place]) == pytest.approx(
            tuple(exact), abs=1e-9
        )


def test_with_censoring_the_limits_are_quantiles_of_the_product_of_betas():
    """Drawn by definition: a factor Beta(r, 1) an escape, and one more for the lower limit.

    The Beta of the same two moments is off by less than 0.02, most where three runs are left.
    """
    curve = escapes(TREATED, TREATED_CENSORED).survival()
    rng = np.random.default_rng(0)
    watched = np.array(TREATED + TREATED_CENSORED)
    for place, time in enumerate(curve.times[:-1]):
        product = np.ones(400_000)
        for end in np.unique(watched[watched <= time]):
            at_risk = (watched >= end).sum()
            for already in range(TREATED.count(end)):
                product *= rng.beta(at_risk - already, 1, len(product))
        next_one = rng.beta((watched > time).sum(), 1, len(product))
        assert curve.high[place] == pytest.approx(
            np.quantile(product, 0.975), abs=0.02
        )
        assert curve.low[place] == pytest.approx(
            np.quantile(product * next_one, 0.025), abs=0.02
        )


def test_curve_median_and_test_agree_with_lifelines():
    rng = np.random.default_rng(1)
    for n in (3, 10, 40):
        groups, ours = [], []
        for mean in (8.0, 14.0):
            time = np.ceil(rng.exponential(mean, n))
            watched = np.ceil(rng.uniform(1, 30, n))
            groups.append((np.minimum(time, watched), time <= watched))
            ours.append(Escapes(groups[-1][0], groups[-1][1], groups[-1][0]))
            theirs = lifelines.KaplanMeierFitter().fit(*groups[-1])
            curve = ours[-1].survival()
            assert curve.share == pytest.approx(
                theirs.predict(curve.times).to_numpy()
            )
            # where the share is one half between two times, our median is their mean
            if not (abs(curve.share - 0.5) < 1e-9).any():
                assert ours[-1].median().value == theirs.median_survival_time_
        (a, was_a), (b, was_b) = groups
        other = lifelines.statistics.logrank_test(a, b, was_a, was_b)
        found = logrank(*ours)
        assert found.p == pytest.approx(other.p_value)
        assert found.statistic**2 == pytest.approx(other.test_statistic)


def test_the_logrank_test_errs_as_often_as_it_says():
    rng = np.random.default_rng(0)
    rejected = 0
    for _ in range(1000):
        a, b = (
            escapes(t[t < 1.5], np.full((t >= 1.5).sum(), 1.5))
            for t in rng.exponential(1.0, (2, 30))
        )
        rejected += logrank(a, b).p < 0.05
    # 50 are expected, give or take three standard deviations and a half
    assert 30 <= rejected <= 75


def test_no_run_escaped():
    stuck = Escapes.of([row(None)] * 8)
    assert stuck.median() == (math.inf, math.inf, math.inf)
    assert stuck.success().value == 0.0
    assert stuck.expected_running_time() == math.inf
    assert (stuck.survival().share == 1).all()
    assert logrank(stuck, stuck) == (0.0, 1.0)
    left = Escapes.of([row(3)] * 8)
    assert logrank(left, stuck).p < 0.05
    assert logrank(left, left) == (0.0, 1.0)  # all at once: nothing is told apart


def test_all_escaped_at_the_same_step():
    assert Escapes.of([row(7)] * 8).median() == (7, 7, 7)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_few_runs_have_a_median_and_no_interval(n):
    median = Escapes.of([row(7)] * n).median()
    assert median.value == 7
    assert math.isnan(median.low)
    assert math.isnan(median.high)
    assert Escapes.of([row(None)]).median().value == math.inf


def test_logrank_counts_the_broken_as_later_than_every_escape():
    """As if they had been watched to the end of the other group.

    Not taken out before its escapes.
    """
    early, late = escapes([1.0, 2.0], []), escapes(np.arange(10.0, 20.0), [])
    rows = [{"steps": 3, "escape_step": None, "status": "diverged"}] * 8
    never = Escapes.of(rows)
    stays = Escapes.of([{**row, "steps": 1000, "status": "ok"} for row in rows])
    for rival in (late, early):
        assert logrank(never, rival) == logrank(stays, rival)
        assert logrank(rival, never) == logrank(rival, stays)
    assert logrank(never, late).p < 0.001


def test_expected_running_time_charges_what_was_spent_in_vain():
    rows = [
        {"cost": 50.0, "escape_cost": 10.0},
        {"cost": 50.0, "escape_cost": None},
        {"cost": 50.0, "escape_cost": 30.0},
    ]
    assert Escapes.of(rows, "cost").expected_running_time() == (10 + 50 + 30) / 2
    broke = {"cost": 4.0, "escape_cost": None, "status": "diverged"}
    found = Escapes.of([*rows, broke], "cost")
    assert found.expected_running_time() == (10 + 50 + 30 + 4) / 2


def test_expected_running_time_is_the_mean_price_of_restarting_until_one_escapes():
    rng = np.random.default_rng(0)
    times = rng.exponential(10.0, 100_000)
    budget = 8.0
    escaped = times <= budget
    spent = np.minimum(times, budget)
    found = Escapes(spent, escaped, spent).expected_running_time()
    total = np.add.reduceat(spent, np.r_[0, np.flatnonzero(escaped)[:-1] + 1])
    assert found == pytest.approx(total.mean(), rel=1e-3)
    # exponential times have no memory
    assert found == pytest.approx(10.0, rel=0.03)


@pytest.mark.parametrize("status", [each for each in Status if each.never_escapes])
def test_a_run_that_cannot_go_on_never_escapes_and_is_not_censored(status):
    """A method that gives up early gains nothing: it is as late as one that runs its budget."""
    rows = [row(3), row(5), *[row(None, 2, status)] * 3, row(None, 20, "ok")]
    found = Escapes.of(rows)
    assert found.never.tolist() == [False, False, True, True, True, False]
    assert found.censored.tolist() == [False] * 5 + [True]
    assert found.median().value == math.inf
    assert found.survival().share[-1] == pytest.approx(4 / 6)
    early = Escapes.of([row(9, 20, status)])
    assert early.escaped.tolist() == [True]
    assert not early.never.any()


def test_a_run_that_ran_out_of_time_might_have_escaped():
    assert Escapes.of([row(None, 5, "timeout")]).censored.all()


def test_without_runs_there_is_no_curve():
    assert Escapes.of([]).survival().times.shape == (0,)
