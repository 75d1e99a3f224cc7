"""Trajectories of problems with two parameters over contours of the loss.

Figure 2 of Dauphin et al. 2014.

Both axes measure from the frame's centre, the saddle where there is one, in t = asinh(distance /
unit): even within the distance that the race starts at and logarithmic beyond, for Newton's method
ends within it while others leave for good.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...records import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes

N_LEVELS = 8  # contours on either side of the saddle's own
N_LENGTHS = 100  # of the frame's half: points of a path nearer to each other are not told apart
MOST_POINTS = 400  # of a path
GREY = "#808080"  # seen on white and on black

Landscape = dict[str, Any]


def landscape(result: Result) -> Landscape | None:
    """Contours of a run's problem as plain numbers; None where the run kept none.

    ``t`` (n,) of either axis, and ``z`` (n, n) with a row for each second coordinate: the signed
    asinh of the loss over the saddle's, or over the lowest where there is none, from -1 to 1.
    ``ticks``: t and what is written there.
    """
    if "landscape" not in result.series:
        return None
    losses, frame = result.series["landscape"], result.series["landscape.frame"][0]
    has_saddle = bool(result.environment.get("problem", {}).get("has_saddle"))
    n = len(losses)
    t = frame[3] * np.linspace(-1, 1, n)
    above = losses - (losses[n // 2, n // 2] if has_saddle else np.nanmin(losses))
    near = above[np.ix_(abs(t) <= np.arcsinh(1.0), abs(t) <= np.arcsinh(1.0))]  # within the unit
    typical = float(np.nanmedian(np.abs(near))) or 1.0
    with np.errstate(invalid="ignore"):
        heights = np.arcsinh(above / typical)
        heights /= float(np.nanmax(np.abs(heights), initial=0, where=np.isfinite(heights))) or 1.0
    z = [
        [float(f"{value:.3g}") if np.isfinite(value) else None for value in row]
        for row in heights.tolist()
    ]
    kept = {"frame": frame.tolist(), "has_saddle": has_saddle}
    return {
        **kept,
        "t": np.round(t, 4).tolist(),
        "z": z,
        "ticks": _ticks(float(frame[2]), float(frame[3])),
    }


def path(result: Result, over: Landscape) -> dict[str, list[float]] | None:
    """One seed's way over a landscape, in its coordinates t; None where the run kept no points.

    The seed is the one that starts furthest from both axes: from near an axis all go along it, and
    cover each other. Points that an eye could not tell apart are left out, and what comes after a
    number that broke.
    """
    if "theta.0" not in result.series or not len(result.series["theta.0"]):
        return None
    both, (x, y, unit, reach) = (
        np.stack([result.series["theta.0"], result.series["theta.1"]]),
        over["frame"],
    )  # (2, S, n)
    starts = np.abs(both[:, :, 0] - [[x], [y]]).min(0)
    points = both[:, int(np.argmax(np.nan_to_num(starts)))]  # (2, n)
    broken = np.flatnonzero(~np.isfinite(points).all(0))
    points = points[:, : broken[0] if len(broken) else None]
    if not points.size:
        return None
    t = np.arcsinh((points - [[x], [y]]) / unit)
    gone = np.concatenate([[0.0], np.hypot(*np.diff(t)).cumsum()])  # the length of the way so far
    kept = np.unique((gone / (reach / N_LENGTHS)).astype(int), return_index=True)[1]
    kept = np.unique(
        [
            *kept[np.linspace(0, len(kept) - 1, min(len(kept), MOST_POINTS)).astype(int)],
            len(gone) - 1,
        ]
    )
    return dict(zip("xy", np.round(t[:, kept], 3).tolist(), strict=True))


def draw(
    axes: Axes,
    over: Landscape,
    paths: Sequence[tuple[str, tuple[str, str], Mapping[str, list[float]]]],
) -> None:
    """Draw labels, looks (dash, colour) and paths over a landscape."""
    t, heights = over["t"], np.array(over["z"], float)
    levels = np.linspace(-1, 1, 2 * N_LEVELS + 1)
    axes.contourf(t, t, heights, levels, cmap="Greys_r", vmin=-2.5, vmax=1, extend="both")
    axes.contour(t, t, heights, levels, colors=GREY, linewidths=0.4, linestyles="solid")
    for label, (dash, colour), way in paths:
        axes.plot(
            way["x"],
            way["y"],
            dash,
            color=colour,
            label=label,
            marker=".",
            markersize=3,
            linewidth=1.2,
        )
        axes.plot(way["x"][-1:], way["y"][-1:], "o", color=colour, markersize=5)
    for _, _, way in paths[:1]:
        axes.plot(
            way["x"][:1], way["y"][:1], "o", color="k", markerfacecolor="w", markersize=6, zorder=3
        )
    if over["has_saddle"]:
        axes.plot(0, 0, "x", color="k", markersize=7, zorder=3)
    axes.set(xlabel="first parameter", ylabel="second parameter")
    axes.set(xlim=(t[0], t[-1]), ylim=(t[0], t[-1]), aspect="equal")
    at, said = over["ticks"]["at"], over["ticks"]["said"]
    axes.set_xticks(at, said)
    axes.set_yticks(at, said)


def _ticks(unit: float, reach: float) -> dict[str, list[Any]]:
    """Round distances along an axis, apart enough to be read.

    Powers of ten where there are several.
    """
    end = unit * np.sinh(reach)
    decades = [
        10.0**k for k in range(int(np.ceil(np.log10(unit / 2))), int(np.floor(np.log10(end))) + 1)
    ]
    finer = [
        c * 10.0**k
        for k in range(int(np.floor(np.log10(unit / 2))), int(np.floor(np.log10(end))) + 1)
        for c in (1, 2, 5)
    ]
    at, values = [0.0], [0.0]
    for value in decades if len(decades) > 1 else finer:
        t = float(np.arcsinh(value / unit))
        if at[-1] + reach / 5 <= t <= reach:
            at.append(t)
            values.append(value)
    at = [-t for t in at[:0:-1]] + at
    return {
        "at": np.round(at, 4).tolist(),
        "said": [f"{value:g}" for value in [-v for v in values[:0:-1]] + values],
    }
