"""Statistics of runs that may never escape, never reach a target, or break.

Nothing is dropped, padded or averaged away.

Numpy arrays in, numbers out. A time is in steps, in cost or in seconds; inf says never. Every
estimate has a 95 % interval, of two nan where there are too few runs to speak of one.

>>> left, stayed = {"steps": 10, "escape_step": 8}, {"steps": 10, "escape_step": None}
>>> escapes = Escapes.of([left, left, stayed])
>>> escapes.median().value, escapes.success().value
(8.0, 0.6666666666666666)
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..records import Status

Floats = NDArray[np.float64]
Axis = Literal["step", "cost", "seconds"]

LEVEL = 0.95  # of every interval
N_RESAMPLES = 2000
# that bound a median on some side: fewer lie all on one side of it more often than once in 20 times
MIN_RUNS = 5
N_NEWTON = 50  # steps at most; two or three do


class Estimate(NamedTuple):
    """A number and the interval that covers its true value 95 times of 100."""

    value: float
    low: float
    high: float


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
            math.inf if time is None and Status(row.get("status", "ok")).broken else watched
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
        return success(self.escaped)

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
        return _bootstrap(ratio, self.spent, self.escaped.astype(float), paired=True)

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


def success(succeeded: ArrayLike) -> Estimate:
    """The share of successes among booleans (n,), with Wilson's interval (1927).

    All three nan where n is 0.
    """
    from scipy import stats

    flags = np.asarray(succeeded, bool)
    if not len(flags):
        return Estimate(math.nan, math.nan, math.nan)
    around = stats.binomtest(int(flags.sum()), len(flags)).proportion_ci(LEVEL, method="wilson")
    return Estimate(float(flags.mean()), float(around.low), float(around.high))


def median(values: ArrayLike) -> Estimate:
    """The median of numbers (n,) with its bootstrap interval.

    What is not a number counts as infinite.
    """
    known = np.array(values, float)
    known[np.isnan(known)] = np.inf
    return _bootstrap(np.median, known)


class Lines(NamedTuple):
    """Straight lines y = intercept + slope x, as many as were fitted."""

    slope: Floats  # (R,)
    intercept: Floats  # (R,)


def censored_lines(x: ArrayLike, y: ArrayLike, bounds: ArrayLike) -> Lines:
    """R lines by least squares through values y (R, m) at x (m,), some of which are known only to lie above bounds (m,).

        sum over known y of (y - l(x))^2  +  sum over y = inf of max(0, bound - l(x))^2

    So a value that is censored lifts the line where it passes below, and says nothing where it
    passes above: to leave it out would make what is slow look fast. The sum is convex; Newton's
    method finds its least in a few steps. nan is left out. A line needs two values known at
    different x, and is nan without.
    """
    x, y, bounds = (np.asarray(each, float) for each in (x, y, bounds))
    known, censored = np.isfinite(y), np.isposinf(y)
    values = np.where(known, y, bounds)
    used = known
    for _ in range(N_NEWTON):
        lines = _least_squares(x, values, used)
        now = known | (censored & (lines.intercept[:, None] + lines.slope[:, None] * x < bounds))
        if (now == used).all():
            break
        used = now
    at = np.where(known, x, math.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where nothing is known
        enough = np.nanmax(at, 1) > np.nanmin(at, 1)
    return Lines(*(np.where(enough, each, math.nan) for each in lines))


def resampled_interval(value: float, resampled: ArrayLike) -> Estimate:
    """A value with the interval of what it was in resamples (R,), by percentiles.

    Nan there is infinite on both sides.
    """
    known = np.asarray(resampled, float)
    if not len(known):
        return Estimate(value, math.nan, math.nan)
    tail = (1 - LEVEL) / 2
    low, high = (
        float(np.quantile(np.where(np.isnan(known), worst, known), level, method="inverted_cdf"))
        for level, worst in ((tail, -math.inf), (1 - tail, math.inf))
    )
    return Estimate(value, low, high)


# -- targets ---------------------------------------------------------------------------------------


def hitting_times(losses: ArrayLike, times: ArrayLike, targets: ArrayLike) -> Floats:
    """When each of S runs first had a loss at or below each of T targets, (S, T).

    Inf where it never had.

    Losses (S, n), nan after a run's end, at times (S, n) or (n,).
    """
    losses = np.asarray(losses, float)[:, None, :]  # (S, 1, n)
    hit = losses <= np.asarray(targets, float)[:, None]  # (S, T, n)
    if not hit.size:  # argmax has no answer to nothing
        return np.full(hit.shape[:2], np.inf)
    at = np.broadcast_to(np.asarray(times, float), losses[:, 0].shape)
    first = np.take_along_axis(at, hit.argmax(2), axis=1)
    return np.where(hit.any(2), first, np.inf)


def ecdf(times: ArrayLike) -> tuple[Floats, Floats]:
    """The share of hitting times of any shape that are at most t.

    All finite t in order (m,), and the shares (m,).

    Times of all problems, targets and runs belong in one array: the targets are absolute, so a new
    rival changes nobody's curve; one that nobody reaches keeps the shares below 1. Hansen et al.
    2021, section 5.
    """
    flat = np.asarray(times, float).ravel()
    at, counts = np.unique(flat[np.isfinite(flat)], return_counts=True)
    return at, np.cumsum(counts) / max(1, len(flat))


def performance_ratios(times: ArrayLike) -> Floats:
    """Times of P problems by S methods (P, S) over the best on each problem.

    Inf (or nan) where never, nobody's best.

    The ECDF of a column is that method's performance profile. Dolan, Moré 2002, equation 2.1;
    unlike the ECDF of hitting times it depends on who takes part.
    """
    known: Floats = np.nan_to_num(np.asarray(times, float), nan=np.inf, posinf=np.inf)
    best = known.min(1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratios = known / best
    ratios[known == best] = 1.0  # two that took no time at all are alike
    return np.where(np.isfinite(known), ratios, np.inf)


# -- comparisons -----------------------------------------------------------------------------------


class Comparison(NamedTuple):
    """Rival minus reference, seed by seed."""

    difference: Estimate  # the median difference
    p: float  # of Wilcoxon's signed-rank test
    p_holm: float  # corrected for the number of rivals
    n: int  # seeds that both have


def paired_differences(
    reference: Mapping[int, float], rivals: Mapping[str, Mapping[int, float]]
) -> dict[str, Comparison]:
    """Each rival against the reference, both by seed, with p-values corrected after Holm (1979).

    nan counts as infinitely bad, and two that are both infinite as equal. A rival that shares no
    seed is a ValueError.
    """
    found = {}
    for name, values in rivals.items():
        seeds = sorted(reference.keys() & values.keys())
        if not seeds:
            raise ValueError(f"{name} and its reference have no seed in common")
        a, b = (np.array([side[seed] for seed in seeds], float) for side in (reference, values))
        a[np.isnan(a)], b[np.isnan(b)] = np.inf, np.inf
        found[name] = np.subtract(b, a, where=a != b, out=np.zeros(len(seeds)))
    ps = {name: _signed_rank(differences) for name, differences in found.items()}
    corrected = dict(zip(ps, holm(list(ps.values())), strict=True))
    return {
        name: Comparison(_bootstrap(np.median, d), ps[name], corrected[name], len(d))
        for name, d in found.items()
    }


def holm(ps: Sequence[float]) -> list[float]:
    """P-values corrected for their number by Holm's step-down rule.

    Rejecting those below 5 % errs once in 20 families.
    """
    order = np.argsort(ps)
    stepped = np.maximum.accumulate(np.array(ps)[order] * np.arange(len(ps), 0, -1))
    corrected = np.empty(len(ps))
    corrected[order] = np.minimum(stepped, 1.0)
    return [float(p) for p in corrected]


def probability_of_improvement(a: ArrayLike, b: ArrayLike) -> Estimate:
    """How likely a run of `a` (n,) ends lower than one of `b` (m,), ties half.

    Interval by bootstrap over both.

    nan counts as infinite. Agarwal et al. 2021, "Deep reinforcement learning at the edge of the
    statistical precipice".
    """

    def share(a: Floats, b: Floats, axis: int = -1) -> Floats:
        a, b = np.moveaxis(a, axis, -1)[..., :, None], np.moveaxis(b, axis, -1)[..., None, :]
        return np.asarray(((a < b) + 0.5 * (a == b)).mean((-2, -1)))

    return _bootstrap(
        share,
        *(np.nan_to_num(np.asarray(side, float), nan=np.inf, posinf=np.inf) for side in (a, b)),
    )


# -- inside ----------------------------------------------------------------------------------------


def _least_squares(x: Floats, y: Floats, used: NDArray[np.bool_]) -> Lines:
    """Lines through y (R, m) at x (m,) where they are used (R, m)."""
    with np.errstate(invalid="ignore", divide="ignore"):  # where too few are
        n = used.sum(1)
        mean_x, mean_y = (
            np.where(used, each, 0.0).sum(1) / n for each in (np.broadcast_to(x, y.shape), y)
        )
        apart = np.where(used, x - mean_x[:, None], 0.0)
        slope = (apart * np.where(used, y, 0.0)).sum(1) / (apart**2).sum(1)
        return Lines(slope, mean_y - slope * mean_x)


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


def _signed_rank(differences: Floats) -> float:
    from scipy import stats

    if not differences.any():
        return 1.0
    ranks = stats.rankdata(np.abs(differences)) * np.sign(
        differences
    )  # infinite differences rank last, and equal
    return float(stats.wilcoxon(ranks).pvalue)


def _bootstrap(statistic: Callable[..., Any], *samples: Floats, paired: bool = False) -> Estimate:
    """The statistic of the samples with its interval.

    Bias-corrected (Efron 1987), or plain where that is undefined.

    It is undefined for constant data, for infinite ones, and where leaving out any one run changes
    nothing.
    """
    from scipy import stats

    n = min(map(len, samples))
    with np.errstate(invalid="ignore"):
        value = float(statistic(*samples, axis=-1)) if n else math.nan
        if n < MIN_RUNS:
            return Estimate(value, math.nan, math.nan)
        if all((sample == sample[0]).all() for sample in samples):
            return Estimate(value, value, value)
        finite = all(np.isfinite(sample).all() for sample in samples)
        for method in ("BCa", "percentile") if finite else ("percentile",):
            with warnings.catch_warnings():
                warnings.simplefilter(
                    "ignore"
                )  # scipy warns where the correction is undefined, and gives nan
                around = stats.bootstrap(
                    samples,
                    statistic,
                    n_resamples=N_RESAMPLES,
                    paired=paired,
                    vectorized=True,
                    confidence_level=LEVEL,
                    method=method,
                    random_state=0,  # scipy's name for it before 1.15
                ).confidence_interval
            if not (math.isnan(around.low) or math.isnan(around.high)):
                break
    return Estimate(value, float(around.low), float(around.high))
