"""Trajectories of problems with two parameters over contours of the loss.

Figure 2 of Dauphin et al. 2014. Both axes measure from the frame's centre, the saddle where there
is one, in t = asinh(distance / unit): even within the distance that the race starts at and
logarithmic beyond. Newton's method ends within it, while others leave for good.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from ....arrays import Floats
from ....records import Result
from ....report.figure import Axis, Contours, Figure, Panel, Trace

# lengths in half a frame: points of a path nearer to each other than one look the same
N_LENGTHS = 100
MOST_PATH_POINTS = 400  # of a path
PLANE_NOTES = (
    "The seed that starts furthest from both axes, over contours of the loss; the greyer, the"
    " lower. Circle: the start; cross: the saddle; dots: the ends. The axes measure from the"
    " saddle, evenly up to the distance of the start and logarithmically beyond.",
)


@dataclass(frozen=True, eq=False)
class Plane:
    """The loss of a problem around its frame's centre."""

    centre: Floats  # (2,)
    unit: float
    reach: float  # t at the frame's edge
    has_saddle: bool
    losses: Floats  # (n, n), a row for each y

    @cached_property
    def heights(self) -> Floats:
        """From -1 to 1, nan where the loss is no number (n, n).

        A signed asinh of what the loss is over the saddle's, or over the lowest where there is
        none.
        """
        n = len(self.losses)
        if self.has_saddle:
            above = self.losses - self.losses[n // 2, n // 2]
        else:
            above = self.losses - np.nanmin(self.losses)
        is_near = abs(self.t) <= np.arcsinh(1.0)  # within the unit
        near = above[np.ix_(is_near, is_near)]
        usual = float(np.nanmedian(np.abs(near))) or 1.0
        with np.errstate(invalid="ignore"):
            heights = np.arcsinh(above / usual)
        heights[~np.isfinite(heights)] = np.nan
        heights /= float(np.nanmax(np.abs(heights), initial=0)) or 1.0
        return heights

    @property
    def t(self) -> Floats:
        """Coordinates of either axis (n,)."""
        return self.reach * np.linspace(-1, 1, len(self.losses))

    def within(self, points: Floats) -> Floats:
        """Points (2, m) in the plane's coordinates t."""
        return np.arcsinh((points - self.centre[:, None]) / self.unit)


def extract(result: Result) -> tuple[Plane, Floats] | None:
    """The plane of a run's problem and one seed's path in it; None where the run kept none."""
    plane = plane_of(result)
    points = None if plane is None else path(result, plane)
    if plane is None or points is None:
        return None
    return (plane, points)


def figures(
    runs: Sequence[tuple[Result, tuple[Plane, Floats]]],
) -> Iterator[Figure]:
    """A figure for each problem; the frame depends on problem and starts alone, so all share it."""
    problems: dict[str, tuple[Plane, dict[str, Floats]]] = {}
    for result, (plane, points) in runs:
        _, of_methods = problems.setdefault(result.run.problem.label, (plane, {}))
        of_methods[result.run.method.label] = points
    for problem, (plane, of_methods) in problems.items():
        paths = {method: plane.within(at) for method, at in of_methods.items()}
        panel = _plane_panel(plane, paths)
        yield Figure(f"{problem} trajectories", problem, [panel], problem)


def plane_of(result: Result) -> Plane | None:
    """The plane of a run's problem; None where the run kept none."""
    if "landscape" not in result.series:
        return None
    frame = result.series["landscape.frame"][0]
    losses = result.series["landscape"]
    return _plane(frame.tobytes(), losses.tobytes(), result.facts.has_saddle)


@lru_cache(maxsize=8)  # all methods of a problem have the same
def _plane(frame: bytes, losses: bytes, has_saddle: bool) -> Plane:
    centre_and_size = np.frombuffer(frame)
    heights = np.frombuffer(losses)
    n = math.isqrt(len(heights))
    unit, reach = map(float, centre_and_size[2:4])
    return Plane(
        centre_and_size[:2], unit, reach, has_saddle, heights.reshape(n, n)
    )


def path(result: Result, plane: Plane) -> Floats | None:
    """One seed's path, (2, m) parameters; None where the run kept no points.

    The seed is the one that starts furthest from both axes: from near an axis all go along it, and
    cover each other. Points that look the same are left out, and all that come after a number that
    is not finite.
    """
    if "theta.0" not in result.series or not len(result.series["theta.0"]):
        return None
    # both: (2, S, n)
    both = np.stack([result.series["theta.0"], result.series["theta.1"]])
    starts = np.abs(both[:, :, 0] - plane.centre[:, None]).min(0)
    points = both[:, int(np.argmax(np.nan_to_num(starts)))]  # (2, n)
    broken = np.flatnonzero(~np.isfinite(points).all(0))
    points = points[:, : broken[0] if len(broken) else None]
    if not points.size:
        return None
    lengths = np.hypot(*np.diff(plane.within(points)))
    gone = np.concatenate([[0.0], lengths.cumsum()])
    bins = (gone / (plane.reach / N_LENGTHS)).astype(int)
    first = np.unique(bins, return_index=True)[1]
    few = first[
        np.linspace(0, len(first) - 1, min(len(first), MOST_PATH_POINTS)).astype(
            int
        )
    ]
    return points[:, np.unique([*few, len(gone) - 1])]


def ticks(unit: float, reach: float) -> list[tuple[float, str]]:
    """Round distances along an axis, far enough apart to be read: place t and text.

    Powers of ten where there are several.
    """
    end = unit * np.sinh(reach)
    top = int(np.floor(np.log10(end))) + 1
    values = [10.0**k for k in range(int(np.ceil(np.log10(unit / 2))), top)]
    if len(values) < 2:
        bottom = int(np.floor(np.log10(unit / 2)))
        values = [c * 10.0**k for k in range(bottom, top) for c in (1, 2, 5)]
    kept = [(0.0, 0.0)]
    for value in values:
        t = float(np.arcsinh(value / unit))
        if kept[-1][0] + reach / 5 <= t <= reach:
            kept.append((t, value))
    mirrored = [(-t, -value) for t, value in kept[:0:-1]]
    return [(t, f"{value:g}") for t, value in [*mirrored, *kept]]


# -- inside ----------------------------------------------------------------------------------------


def _plane_panel(plane: Plane, paths: dict[str, Floats]) -> Panel:
    traces = []
    for method, (x, y) in paths.items():
        traces.append(Trace(x, y, method))
        traces += [_dots(x, y, method, 3), _dots(x[-1:], y[-1:], method, 8)]
    x, y = next(iter(paths.values()))
    traces.append(
        Trace(
            x[:1],
            y[:1],
            label="start",
            style="points",
            symbol="circle-open",
            size=9,
        )
    )
    if plane.has_saddle:
        traces.append(
            Trace([0.0], [0.0], label="saddle", style="points", symbol="x", size=9)
        )
    across, upright = (
        Axis(
            title,
            range=(-plane.reach, plane.reach),
            ticks=ticks(plane.unit, plane.reach),
        )
        for title in ("first parameter", "second parameter")
    )
    contours = Contours(plane.t, plane.heights)
    return Panel(
        "trajectories",
        "Trajectories",
        across,
        upright,
        traces,
        PLANE_NOTES,
        contours=contours,
        is_square=True,
    )


def _dots(x: Floats, y: Floats, method: str, size: float) -> Trace:
    return Trace(
        x, y, method, style="points", symbol="circle", size=size, in_legend=False
    )
