"""Times of escape, some of them censored: their curve, their median, and a test between two.

Nothing is dropped, padded or averaged away. A time is in steps, in cost or in seconds.

>>> left, stayed = {"steps": 10, "escape_step": 8}, {"steps": 10, "escape_step": None}
>>> escapes = Escapes.of([left, left, stayed])
>>> escapes.median().value, escapes.success().value
(8.0, 0.6666666666666666)
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..records import Status
from .intervals import LEVEL, MIN_RUNS, Estimate, Floats, bootstrap, proportion

Axis = Literal["step", "cost", "seconds"]


class Survival(NamedTuple):
    """A Kaplan-Meier curve.

    The share that has not escaped after each time, with its interval at each.
    """

    times: Floats  # (m,), ascending; the share is 1 before the first
    share: Floats  # (m,)
    low: Floats  # (m,)
    high: Floats  # (m,)


@dataclass(frozen=True)
class Escapes:
    """When each of n runs escaped, and for how long those that did not were watched.

    A run whose budget was used up is *censored*: all that is known is that its escape is later. One
    that broke never escapes, so it is later than all that do.
    """

    times: Floats  # (n,) of the escape, or when watching ended; inf where the run broke
    escaped: NDArray[np.bool_]  # (n,)
    spent: Floats  # (n,) what the run used up to its escape or its end

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, Any]], axis: Axis = "step") -> Escapes:
        """From the rows of a race.

        A row that lacks numbers, for its run broke as a whole, has spent nothing.
        """
        total = {"step": "steps", "cost": "cost", "seconds": "seconds"}[axis]
        found = [row.get(f"escape_{axis}") for row in rows]
        spent = [
            row.get(total) or 0.0 if time is None else time
            for row, time in zip(rows, found, strict=True)
        ]
        times = [
            math.inf if time is None and Status(row.get("status", "ok")).never_escapes else watched
            for row, time, watched in zip(rows, found, spent, strict=True)
        ]
        return cls(
            np.array(times, float),
            np.array([time is not None for time in found], bool),
            np.array(spent, float),
        )

    def survival(self) -> Survival:
        """The Kaplan-Meier curve (Kaplan, Meier 1958) with log-log intervals of Greenwood's variance.

        Where the share is 1 or 0 that variance is nothing, and the interval is the binomial one of
        n runs.
        """
        from scipy import stats  # slow to import

        if not len(self.times):
            return Survival(*(np.array([]) for _ in Survival._fields))
        curve = stats.ecdf(self._sample(self._last)).sf
        around: Any = None
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")  # of what is filled in below
            around = curve.confidence_interval(LEVEL, method="log-log")
        share = np.asarray(curve.probabilities, float)
        certain = ((1 - LEVEL) / 2) ** (1 / len(self.times))
        low = np.where(share == 1, certain, np.where(share == 0, 0.0, around.low.probabilities))
        high = np.where(
            share == 1, 1.0, np.where(share == 0, 1 - certain, around.high.probabilities)
        )
        return Survival(np.asarray(curve.quantiles, float), share, low, high)

    def median(self) -> Estimate:
        """The median time of escape; inf where fewer than half of the runs are known to escape.

        Where the curve is at one half between two escapes it is their mean, as everywhere. The
        interval is where the curve's own contains one half (Brookmeyer, Crowley 1982); at log-log
        intervals it covered 93 to 98 % for 5 to 64 runs, where linear ones covered 87 to 98 % and
        the bootstrap 90 to 96 %.
        """
        curve = self.survival()
        middle = _crossing(curve.times, curve.share)
        if len(self.times) < MIN_RUNS:
            return Estimate(middle, math.nan, math.nan)
        return Estimate(middle, _below(curve.times, curve.low), _below(curve.times, curve.high))

    def resampled_medians(self, counts: ArrayLike) -> Floats:
        """The medians (R,) of R resamples, of which counts (R, n) say how often each run is in each; nan of an empty one.

        As `median` has it, whose value is that of a resample with every run once.
        """
        order = np.lexsort((~self.escaped, self.times))  # of equal times, escapes come first
        times, escaped, n = (
            self.times[order],
            self.escaped[order],
            np.asarray(counts, float)[:, order],
        )
        at_risk = n[:, ::-1].cumsum(1)[:, ::-1]
        with np.errstate(invalid="ignore"):  # 0 / 0 after the last
            share = np.where(escaped & (n > 0), 1 - n / at_risk, 1.0).cumprod(1)
        half, below = share <= 0.5 * (1 + 1e-12), share < 0.5 * (1 - 1e-12)
        first, last = (
            np.where(there.any(1), times[there.argmax(1)], math.inf) for there in (half, below)
        )
        on = np.isclose(
            np.take_along_axis(share, half.argmax(1)[:, None], 1)[:, 0], 0.5, rtol=1e-12
        )
        return np.where(n.sum(1) == 0, math.nan, np.where(on, (first + last) / 2, first))

    def success(self) -> Estimate:
        """The share of runs that escaped, with Wilson's interval."""
        return proportion(self.escaped)

    def expected_running_time(self) -> Estimate:
        """What all runs spent over the number that escaped.

        The mean price of one escape if one restarts until it comes.

        inf without an escape. Interval by bootstrap. Hansen et al. 2021, "COCO", section 4.
        """

        def ratio(spent: Floats, escaped: Floats, axis: int = -1) -> Floats:
            with np.errstate(divide="ignore"):
                return np.asarray(spent.sum(axis) / escaped.sum(axis))

        if not self.escaped.any():
            return Estimate(math.inf, math.nan, math.nan)
        return bootstrap(ratio, self.spent, self.escaped.astype(float), paired=True)

    @property
    def _last(self) -> float:
        """The last time that anything is known of."""
        return float(self.times[np.isfinite(self.times)].max(initial=0.0))

    def _sample(self, last: float) -> Any:
        """As scipy takes it, the broken watched until `last`.

        With every escape before that, they are later than all.
        """
        from scipy import stats

        times = np.minimum(self.times, last)
        return stats.CensoredData(uncensored=times[self.escaped], right=times[~self.escaped])


class Verdict(NamedTuple):
    """A test's statistic and its p-value."""

    statistic: float
    p: float


def logrank(a: Escapes, b: Escapes) -> Verdict:
    """Whether two methods escape at different rates (Mantel 1966), two-sided.

    P is 1 where nobody escaped.

    Likewise where the escapes tell nothing apart: all at once, from runs that were all still there.
    """
    from scipy import stats

    if not (a.escaped.any() or b.escaped.any()):
        return Verdict(0.0, 1.0)
    with np.errstate(invalid="ignore"):
        last = max(a._last, b._last)
        found = stats.logrank(a._sample(last), b._sample(last))
    return (
        Verdict(0.0, 1.0)
        if math.isnan(found.statistic)
        else Verdict(float(found.statistic), float(found.pvalue))
    )


def _below(times: Floats, shares: Floats) -> float:
    """The first time at which the shares are at or below one half; inf where they never are."""
    there = np.flatnonzero(shares <= 0.5)
    return float(times[there[0]]) if len(there) else math.inf


def _crossing(times: Floats, shares: Floats) -> float:
    """Where a curve of steps crosses one half.

    In the middle of a step that lies at one half exactly.
    """
    on = np.isclose(shares, 0.5, rtol=1e-12)
    if not on.any():
        return _below(times, shares)
    below = np.flatnonzero((shares < 0.5) & ~on)
    return float(times[on.argmax()] + times[below[0]]) / 2 if len(below) else math.inf
