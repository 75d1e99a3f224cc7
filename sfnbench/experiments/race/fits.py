"""The line through the medians of a family of runs: its slope, how sure it is, whether it holds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ...arrays import Floats
from ...records import RaceRow, Result, Status
from ...survival.escapes import Escapes
from ...survival.intervals import (
    LEVEL,
    MIN_RUNS,
    N_RESAMPLES,
    TAIL,
    Estimate,
    percentile,
)
from ...survival.lines import Lines, censored_lines

MIN_POINTS = 4  # a line through three leaves one deviation to judge it by: too few for an interval


@dataclass(frozen=True)
class Form:
    """The law of a factor, and on which axes it is a straight line.

    The factor's own axis is logarithmic.
    """

    slope: str  # the name of that line's slope
    law: str  # the name of the law
    is_power: bool  # steps ~ x^slope; otherwise steps = intercept - slope ln x

    def along(self, x: Floats) -> Floats:
        """The abscissa of a factor."""
        return np.log(x) if self.is_power else -np.log(x)

    def up(self, steps: Floats) -> Floats:
        """The ordinate of steps; zero steps have no logarithm, and are nan."""
        if not self.is_power:
            return steps
        with np.errstate(divide="ignore"):
            up = np.log(steps)
        return np.where(np.isneginf(up), math.nan, up)

    def steps(self, up: Floats) -> Floats:
        """The steps of an ordinate."""
        return np.exp(up) if self.is_power else up

    def rounding(self, steps: Floats) -> Floats:
        """By how much the ordinates of whole steps may lie too high: m steps are m - 1 and some."""
        if not self.is_power:
            return np.where(np.isfinite(steps), 1.0, 0.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            gap = -np.log1p(-1 / steps)
        return np.where(
            np.isfinite(steps) & (steps > 0),
            np.where(steps <= 1, math.inf, gap),
            0.0,
        )


POWER = Form("exponent", "power law", is_power=True)
LOGARITHM = Form("steps an e-fold nearer", "logarithmic law", is_power=False)
QUIETER = Form("steps an e-fold less noise", "logarithmic law", is_power=False)


class Point(NamedTuple):
    """One run of a family: how large the factor is, and when each seed escaped."""

    x: float
    escapes: Escapes
    seeds: Sequence[int]
    budget: float  # steps up to which a median would have been seen

    @classmethod
    def of(cls, x: float, result: Result) -> Point:
        """The point of a run; its seeds that never escape count as watched for the whole budget."""
        budget = float(result.run.settings.get("budget", {}).get("steps", 0))
        rows = result.race_rows
        watched = [_watched(row, budget) for row in rows]
        return cls(x, Escapes.of(rows), [row["seed"] for row in rows], max(watched))


class Misfit(NamedTuple):
    """How far medians lie from their line, and how likely that is by chance if it holds.

    The test: residuals of resampled seeds, minus those observed, show how far chance alone takes a
    median from a line. p is the share of resamples that go as far as the largest residual observed,
    less what whole steps explain; the seeds drawn are the same at every point.
    """

    largest: float  # residual, up the axis of the form
    p: float  # nan where there are fewer than three medians or six seeds

    @property
    def is_rejected(self) -> bool:
        """Whether the line does not hold, at 5 %."""
        return self.p < 1 - LEVEL


NO_MISFIT = Misfit(math.nan, math.nan)


class Fit(NamedTuple):
    """A straight line through medians, on the axes of its form."""

    slope: Estimate  # nan where there is no line; the interval: over seeds, with the rounding
    intercept: float
    why_not: str  # why there is no line; empty where there is one
    rounding: float = 0.0  # by how much whole steps may have moved the slope
    misfit: Misfit = NO_MISFIT
    # a median beyond the budget lifts the line: the law is steeper still, as no interval shows
    held: bool = False


def fit(points: Sequence[Point], form: Form) -> Fit:
    """The line through the Kaplan-Meier medians of a series; one beyond the budget may lift it.

    The interval of its slope is over seeds, by bootstrap: the same ones are drawn at every point,
    as seeds share their draws. Both ends are as far out as whole steps allow: each median may be
    one step too late. Fewer than four points, or six seeds, have no interval.
    """
    few_seeds = min(len(point.seeds) for point in points) < MIN_RUNS
    n_resamples = 0 if few_seeds else N_RESAMPLES
    # (1 + R, m), the first of all seeds as they are
    medians = _resampled_medians(points, n_resamples)
    xs, budgets = (
        [getattr(point, name) for point in points] for name in ("x", "budget")
    )
    x = form.along(np.array(xs, float))
    y = form.up(medians)
    bounds = form.up(np.array(budgets, float))
    lines = censored_lines(x, y, bounds)
    slope = float(lines.slope[0])
    intercept = float(lines.intercept[0])
    if math.isnan(slope):
        return Fit(
            Estimate(slope, math.nan, math.nan), intercept, _why_not(medians[0])
        )
    down, up = _rounding(x, y, form.rounding(medians))
    estimate = Estimate(slope, math.nan, math.nan)
    if not few_seeds and len(points) >= MIN_POINTS:
        low = percentile(lines.slope[1:] - down[1:], TAIL, -math.inf)
        high = percentile(lines.slope[1:] + up[1:], 1 - TAIL, math.inf)
        estimate = Estimate(slope, low, high)
    beyond = np.isinf(medians[0])
    held = bool((beyond & (intercept + slope * x < bounds)).any())
    misfit = _misfit(x, y, lines, form.rounding(medians[0]))
    if few_seeds:
        misfit = misfit._replace(p=math.nan)
    return Fit(estimate, intercept, "", float(max(down[0], up[0])), misfit, held)


def fit_in_words(fitted: Fit, form: Form) -> str:
    """The slope with its interval, or its rounding, and whether the line holds.

    >>> fit_in_words(Fit(Estimate(0.0, math.nan, math.nan), 6.2, "", 0.00047), POWER)
    '0 (±0.0005 by whole steps)'
    """
    if fitted.why_not:
        return fitted.why_not
    value, low, high = (_three_digits(each) for each in fitted.slope)
    text = f"{value} [{low}, {high}]"
    if math.isnan(fitted.slope.low):
        text = f"{value}{_by_whole_steps(fitted.rounding)}"
    if fitted.held:
        text += ", held up by the budget"
    if fitted.misfit.is_rejected:
        off = fitted.misfit.largest
        if form.is_power:
            amount = f"{100 * math.expm1(off):.2g} %"
        else:
            amount = f"{off:.3g} steps"
        text += f", no {form.law}: off by up to {amount}"
    return text


def slope_of(x: Floats, steps: Floats, form: Form) -> str:
    """The slope (in words) of a line through exact whole steps (m,) at x (m,)."""
    along = form.along(x)
    up = form.up(steps)[None]
    unbounded = np.full(len(x), math.nan)
    slope = float(censored_lines(along, up, unbounded).slope[0])
    moved = _rounding(along, up, form.rounding(steps[None]))
    rounding = float(np.max(moved))
    return f"{_three_digits(slope)}{_by_whole_steps(rounding)}"


# -- inside ----------------------------------------------------------------------------------------


def _by_whole_steps(rounding: float) -> str:
    if rounding:
        return f" (±{rounding:.1g} by whole steps)"
    return ""


def _watched(row: RaceRow, budget: float) -> float:
    """Up to which step a seed's escape would have been seen."""
    if Status(row["status"]).never_escapes:
        return budget
    return float(row.get("steps") or budget)


def _resampled_medians(points: Sequence[Point], n_resamples: int) -> Floats:
    """The medians (1 + R, m) of points: of every seed once, and of R resamples of the seeds."""
    seeds = sorted({seed for point in points for seed in point.seeds})
    n = len(seeds)
    drawn = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), n_resamples)
    counts = np.vstack([np.ones_like(seeds), drawn])
    medians = []
    for point in points:
        here = counts[:, np.searchsorted(seeds, point.seeds)]
        medians.append(point.escapes.resampled_medians(here))
    return np.stack(medians, 1)


def _rounding(x: Floats, y: Floats, late: Floats) -> tuple[Floats, Floats]:
    """How far down and up slopes (R,) may move if each y (R, m) is at most that much too high."""
    known = np.isfinite(y)
    with np.errstate(invalid="ignore", divide="ignore"):  # where no y is known
        mean = np.where(known, x, 0.0).sum(1) / known.sum(1)
        apart = np.where(known, x - mean[:, None], 0.0)
        weights = apart / (apart**2).sum(1)[:, None]
        down = np.where(weights > 0, weights * late, 0.0).sum(1)
        up = np.where(weights < 0, -weights * late, 0.0).sum(1)
    return down, up


def _misfit(x: Floats, y: Floats, lines: Lines, late: Floats) -> Misfit:
    """The misfit of medians y (1 + R, m) and their lines; see `Misfit` for the test."""
    known = np.isfinite(y[0])
    x = x[known]
    late = late[known]
    residuals = y[:, known] - lines.intercept[:, None] - lines.slope[:, None] * x
    largest = float(np.abs(residuals[0]).max())
    if len(x) < 3:
        return Misfit(largest, math.nan)
    if not np.isfinite(late).all():
        return Misfit(largest, 1.0)
    apart = x - x.mean()
    to_residuals = (
        np.eye(len(x)) - 1 / len(x) - np.outer(apart, apart) / (apart**2).sum()
    )
    # a median of m steps lies between m - 1 and m
    middle = residuals[0] - to_residuals @ late / 2
    excess = np.maximum(np.abs(middle) - np.abs(to_residuals) @ late / 2, 0.0).max()
    by_chance = np.abs(residuals[1:] - residuals[0]).max(1)
    # a resample may have had any residual
    by_chance[~np.isfinite(by_chance)] = math.inf
    p = (1 + int((by_chance >= excess).sum())) / (1 + len(by_chance))
    return Misfit(largest, p)


def _why_not(medians: Floats) -> str:
    n_known = int((np.isfinite(medians) & (medians > 0)).sum())
    if len(medians) == 1:
        return "no fit: one point"
    if np.isinf(medians).all():
        return "no fit: beyond the budget everywhere"
    return f"no fit: {n_known} of {len(medians)} medians within the budget"


def _three_digits(value: float) -> str:
    """Three digits, without -1e-16."""
    if math.isfinite(value):
        return f"{round(value, 9) + 0:.3g}"
    return f"{value:g}"
