"""Metrics of one race as bands: quantiles over its seeds, against what these had used up."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import ArrayLike

from ...arrays import Floats
from ...records import Result, Status
from ...survival.intervals import MIN_RUNS
from .at_budget import AXES, axis_of

N_BAND_POINTS = 50  # of a band: about as many as a phone can show
# quantiles over seeds; of fewer than MIN_RUNS seeds, their range
QUANTILES = (0.25, 0.5, 0.75)
LOGARITHMIC = ("loss", "gradient_norm")  # where all of their numbers are positive
# so far above the typical band, on a logarithmic and a linear axis, a curve is off the scale
DECADES, TIMES = 3, 100


@dataclass(frozen=True, eq=False)
class Band:
    """Low, middle and high of one metric at m points; inf where a seed broke."""

    # (m,) steps, cost and seconds that half of the seeds had used up
    used: dict[str, Floats]
    low: Floats
    middle: Floats
    high: Floats

    @property
    def edges(self) -> tuple[Floats, Floats, Floats]:
        """Low, middle and high."""
        return self.low, self.middle, self.high


def used_by(result: Result) -> dict[str, Floats]:
    """The amount that each seed had used up after each step, (S, steps + 1), by axis."""
    return {axis: axis_of(result, axis) for axis in AXES}


def band(result: Result, metric: str, used: Mapping[str, Floats]) -> Band | None:
    """The band of one metric; None where it was not measured.

    A seed that ended keeps its last value; one that broke counts as infinite.
    """
    if f"{metric}.step" not in result.series:
        return None
    steps = result.series[f"{metric}.step"]  # (S, n)
    grid = np.unique(steps[np.isfinite(steps)])
    if not len(grid):
        return None
    places = np.linspace(0, len(grid) - 1, min(len(grid), N_BAND_POINTS)).astype(
        int
    )
    grid = grid[np.unique(places)]  # (m,)
    low, middle, high = quantiles(_on_grid(result, metric, grid))
    return Band(
        {axis: typical(each, grid) for axis, each in used.items()},
        low,
        middle,
        high,
    )


def typical(used: Floats, steps: Floats) -> Floats:
    """The amount (m,) that half of the seeds had used up at these steps; ended ones stay put."""
    ends = np.isfinite(used).sum(1) - 1  # (S,)
    started = ends >= 0
    if not started.any():
        return np.full(len(steps), np.nan)
    places = np.minimum(steps.astype(int), ends[started, None])  # (S', m)
    at_steps = np.sort(used[np.flatnonzero(started)[:, None], places], axis=0)
    # numpy's median takes ten times as long over few seeds
    middle = at_steps[[(len(at_steps) - 1) // 2, len(at_steps) // 2]]
    return cast(Floats, middle.sum(0) / 2)


def quantiles(values: ArrayLike) -> Floats:
    """Low, middle and high over seeds (3, m) of values (S, m); nan counts as infinite.

    >>> quantiles([[3.0], [1.0]]).ravel().tolist()
    [1.0, 2.0, 3.0]
    """
    known = np.nan_to_num(
        np.asarray(values, float), nan=np.inf, posinf=np.inf, neginf=-np.inf
    )
    if len(known) >= MIN_RUNS:
        levels = QUANTILES
    else:
        levels = (0.0, 0.5, 1.0)
    # As in tables: the mean of two values at a step of the distribution (numpy's method
    # averaged_inverted_cdf, in a tenth of its time over few seeds).
    ordered = np.sort(known, axis=0)
    n = len(ordered)
    lower = [max(math.ceil(n * level) - 1, 0) for level in levels]
    upper = [min(math.floor(n * level), n - 1) for level in levels]
    with np.errstate(invalid="ignore"):  # between two infinite ones
        found = (ordered[lower] + ordered[upper]) / 2
    return cast(Floats, np.where(np.isnan(found), np.inf, found))


class Window(NamedTuple):
    """The upright axis of several bands: one of them may rise to 1e107 where its run diverges."""

    is_log: bool
    off_scale: list[str]  # whose bands leave it
    range: tuple[float, float] | None  # of the bands that stay within; None: all do
    ends: tuple[float, float] | None  # far outside: where bands that leave are cut

    def cut(self, band: Band) -> Band:
        """The band, cut where a painter has no numbers for the way there."""
        if self.ends is None:
            return band
        low, middle, high = (_clip(edge, *self.ends) for edge in band.edges)
        return replace(band, low=low, middle=middle, high=high)


def window(bands: Mapping[str, Band], metric: str) -> Window:
    """The upright axis that shows the typical bands of a metric."""
    heights = {label: _finite_only(*band.edges) for label, band in bands.items()}
    is_log = metric in LOGARITHMIC and all(
        (each > 0).all() for each in heights.values()
    )
    sizes = {
        label: np.log10(y) if is_log else np.abs(y) for label, y in heights.items()
    }
    most = _most([_finite_only(band.middle) for band in bands.values()], is_log)
    off_scale = [label for label, size in sizes.items() if (size > most).any()]
    if not off_scale:
        return Window(is_log, [], None, None)
    kept = [heights[label][size <= most] for label, size in sizes.items()]
    shown = np.concatenate([np.log10(y) if is_log else y for y in kept])
    low = float(shown.min())
    high = float(shown.max())
    margin = 0.05 * ((high - low) or 1.0)
    low = low - margin
    high = high + margin
    limits = (low, high)
    ends = (low - 20 * margin, high + 20 * margin)
    if is_log:
        limits = (10 ** limits[0], 10 ** limits[1])
        ends = (10 ** ends[0], 10 ** ends[1])
    return Window(is_log, off_scale, limits, ends)


# -- inside ----------------------------------------------------------------------------------------


def _on_grid(result: Result, metric: str, grid: Floats) -> Floats:
    """The last value of each seed at each step of the grid, (S, m)."""
    steps = result.series[f"{metric}.step"]
    values = result.series[metric]
    shown = np.full((len(values), len(grid)), np.nan)
    for seed, (at, measured) in enumerate(zip(steps, values, strict=True)):
        at = at[np.isfinite(at)]
        last = np.searchsorted(at, grid, side="right") - 1
        if len(at):
            shown[seed] = np.where(last >= 0, measured[last], np.nan)
        if not Status(result.rows[seed]["status"]).sound:
            shown[seed, grid > (at[-1] if len(at) else -1)] = np.inf
    return shown


def _most(middles: list[Floats], is_log: bool) -> float:
    """How large a number may be, or its logarithm, before it is off the scale."""
    known = [np.log10(y) if is_log else np.abs(y) for y in middles if len(y)]
    tops = sorted(float(each.max()) for each in known)
    typical_top = tops[(len(tops) - 1) // 2] if tops else 0.0
    if is_log:
        return typical_top + DECADES
    return TIMES * typical_top or np.inf


def _clip(values: Floats, low: float, high: float) -> Floats:
    return np.where(np.isfinite(values), np.clip(values, low, high), values)


def _finite_only(*values: Floats) -> Floats:
    joined = np.concatenate(values)
    return joined[np.isfinite(joined)]
