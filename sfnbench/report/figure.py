"""A figure as plain data; `draw_plotly` and `draw_matplotlib` paint it.

The code that fills in these records knows what the numbers mean, and nothing about drawing. The
code that paints them knows nothing about races or critical points.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

MOST_IN_COLOUR = 24  # methods of one panel that an eye can tell apart
BEST_IN_COLOUR = 12  # of a panel with more: the rest is grey
WIDE = 20  # times as far as others: only a logarithmic axis shows both

Style = Literal["line", "step", "histogram", "points", "bars"]
Symbol = Literal[
    "circle", "circle-open", "triangle-up", "triangle-up-open", "diamond-open", "x"
]


@dataclass(frozen=True, eq=False)
class Axis:
    """One axis of a panel."""

    title: str
    scale: Literal["linear", "log"] = "linear"
    range: tuple[float, float] | None = None  # None: whatever holds all traces
    # each tick's place and text; None: the painter's own
    ticks: Sequence[tuple[float, str]] | None = None

    def __post_init__(self) -> None:
        """Drop a range that cannot be drawn: its ends are not finite, or have no logarithm.

        >>> Axis("loss", "log", (0.0, 2.0)).range
        >>> Axis("loss", "log", (0.1, 2.0)).range
        (0.1, 2.0)
        """
        ends = np.array(self.range or (1.0, 1.0))
        if not np.isfinite(ends).all() or (self.scale == "log" and ends.min() <= 0):
            object.__setattr__(self, "range", None)


@dataclass(frozen=True, eq=False)
class Trace:
    """One curve, cloud of points or row of bars; numbers that are not finite are gaps."""

    x: ArrayLike
    y: ArrayLike
    method: str | None = None  # gives colour, dashes and marker; None: grey
    label: str = ""  # in legends and under the pointer; by default the method
    style: Style = "line"
    # the edge of a band around a line, else the ends of error bars
    low: ArrayLike | None = None
    high: ArrayLike | None = None
    # the symbol of points; by default the method's own, or a circle
    symbol: Symbol | None = None
    size: float = 6.0  # of points, in typographic points
    width: float = 2.0  # of lines in typographic points, of bars in units of x
    text: Sequence[str] | None = None  # above each point
    in_legend: bool = True  # of a figure with a legend of its own

    @property
    def name(self) -> str:
        """The label, or the method."""
        return self.label or self.method or ""

    @cached_property
    def n_finite(self) -> int:
        """Points that can be drawn."""
        return int(
            np.isfinite(np.asarray(self.x, float) + np.asarray(self.y, float)).sum()
        )

    @property
    def is_dot(self) -> bool:
        """Whether it is a line with a single point, drawn as a dot."""
        return self.style in ("line", "step") and self.n_finite == 1


@dataclass(frozen=True, eq=False)
class Contours:
    """Heights (n, n) from -1 to 1 below a panel's traces, a row for each y."""

    at: ArrayLike  # (n,) of either axis
    heights: ArrayLike


@dataclass(frozen=True, eq=False)
class Panel:
    """One pair of axes with what is drawn there."""

    name: str  # unique within its figure
    title: str
    x: Axis
    y: Axis
    traces: Sequence[Trace]
    notes: Sequence[str] = ()  # sentences that explain it
    # sentences about these results, which files show too
    findings: Sequence[str] = ()
    # its methods by merit, for panels with too many of them
    best_first: Sequence[str] = ()
    contours: Contours | None = None
    # vertical lines: the place of each, and its text
    marks: Sequence[tuple[float, str]] = ()
    is_square: bool = False  # one unit is as long on either axis
    # whether it has its own legend: the labels say more than the methods' names
    has_legend: bool = False

    @cached_property
    def methods(self) -> list[str]:
        """Its methods, in the order of their first traces."""
        named = (trace.method for trace in self.traces)
        return list(dict.fromkeys(name for name in named if name is not None))

    @cached_property
    def in_colour(self) -> frozenset[str]:
        """The methods that are drawn in colour: all of them, or the best of too many."""
        if len(self.methods) <= MOST_IN_COLOUR:
            return frozenset(self.methods)
        ranked = [
            name for name in self.best_first if name in self.methods
        ] or self.methods
        return frozenset(ranked[:BEST_IN_COLOUR])

    @property
    def in_order(self) -> Iterable[Trace]:
        """Its traces as they are painted: first the grey ones, thin and without their bands."""
        grey = set(self.methods) - self.in_colour
        for trace in self.traces:
            is_line = trace.style not in ("points", "bars")
            if trace.method in grey:
                yield (
                    replace(trace, low=None, high=None, width=1)
                    if is_line
                    else trace
                )
        yield from (trace for trace in self.traces if trace.method not in grey)

    @property
    def caption(self) -> str:
        """Notes on its contents, the findings, and whatever the drawing leaves out."""
        return " ".join([*self.notes, *self.remarks, *self._grey()])

    @property
    def remarks(self) -> list[str]:
        """The findings, and the curves that are too short to be seen."""
        return [*self.findings, *self._too_short()]

    def _grey(self) -> Iterable[str]:
        n_grey = len(self.methods) - len(self.in_colour)
        if n_grey:
            which = "best" if self.best_first else "first"
            yield (
                f"The {which} {len(self.in_colour)} of {len(self.methods)} methods are in colour,"
                f" the other {n_grey} are grey."
            )

    def _too_short(self) -> Iterable[str]:
        lines = [trace for trace in self.traces if trace.style in ("line", "step")]
        dots = dict.fromkeys(trace.name for trace in lines if trace.is_dot)
        empty = dict.fromkeys(trace.name for trace in lines if not trace.n_finite)
        if dots:
            yield f"A single point, drawn as a dot: {', '.join(dots)}."
        if empty:
            yield f"No finite number to draw: {', '.join(empty)}."


@dataclass(frozen=True, eq=False)
class Figure:
    """Panels that belong together: side by side in a file, one after another on the page."""

    name: str  # of its file
    title: str
    panels: Sequence[Panel]
    problem: str | None = None  # label of the one that it shows; None: several
    # what it is against: steps, cost or seconds, where the reader may choose
    against: str | None = None


def scale_of(values: Iterable[ArrayLike]) -> Literal["linear", "log"]:
    """Logarithmic where some of these arrays end long before others.

    >>> scale_of([[0, 10], [0, 500]])
    'log'
    """
    ends = [
        float(np.nanmax(np.asarray(each, float), initial=0.0)) for each in values
    ]
    known = [end for end in ends if 0 < end < np.inf]
    if known and max(known) > WIDE * min(known):
        return "log"
    return "linear"


def left_edge(values: Iterable[ArrayLike]) -> float:
    """Where a logarithmic axis of these arrays begins: what is at zero is drawn there.

    >>> left_edge([[0, 10], [0, 5]])
    4.0
    """
    arrays = [np.asarray(each, float) for each in values]
    lowest = [float(each[each > 0].min()) for each in arrays if (each > 0).any()]
    return min(lowest, default=1.0) / 1.25
