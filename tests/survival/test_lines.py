"""Lines through censored values: their sum is least where its derivatives vanish."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfnbench.survival.lines import censored_lines

number = st.integers(-40, 40).map(lambda tenths: tenths / 10)


@given(
    st.lists(
        st.tuples(
            number, st.one_of(number, st.just(math.inf), st.just(math.nan)), number
        ),
        min_size=1,
        max_size=7,
    )
)
def test_a_line_through_censored_values_is_the_least_of_its_sum_of_squares(points):
    """The sum is convex: it is least where both its derivatives vanish."""
    x, y, bounds = (np.array(each) for each in zip(*points, strict=True))
    slope, intercept = (each[0] for each in censored_lines(x, y[None], bounds))
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
    assert censored_lines(x, y, [9, 9, 1.5]).slope == pytest.approx([1])
    assert (
        censored_lines(x, y, [9, 9, 8]).slope
        == censored_lines(x, [[0, 1, 8]], [9, 9, 9]).slope
    )


def test_lines_of_a_batch_are_those_of_each_alone():
    rng = np.random.default_rng(0)
    x, y, bounds = np.arange(6.0), rng.normal(size=(50, 6)), rng.normal(size=6)
    y[rng.random(y.shape) < 0.3] = math.inf
    together = censored_lines(x, y, bounds)
    alone = [censored_lines(x, each[None], bounds) for each in y]
    assert together.slope == pytest.approx(
        [each.slope[0] for each in alone], nan_ok=True
    )
    whole = np.isfinite(y).all(1)
    assert together.slope[whole] == pytest.approx(np.polyfit(x, y[whole].T, 1)[0])
