"""Panels as Plotly draws them on the page: plain JSON values.

Arrays occur many times over, as one curve is drawn against steps, cost and seconds: each is kept
once, in `Arrays`, and a trace refers to it by ``{"ref": [place]}``. Colours of the theme, which
only the browser knows, are ``{"css": "--ink"}``.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape, unescape
from textwrap import wrap
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .figure import Axis, Panel, Trace
from .looks import GREY, Look, looks_in

DIGITS = 4  # of a number: what an eye can tell apart
MOST_IN_LINE = 44  # characters of a legend's entry
LARGEST_WHOLE = 1e6  # that is written out: larger ones are shorter as powers of ten
HEIGHT = 320  # of a panel in pixels, its legend aside
INK, GRID, PAPER = ({"css": name} for name in ("--ink", "--line", "--paper"))
LINE_SHAPES = {"line": "linear", "step": "hv", "histogram": "hvh"}
MARKERS_ALONG = 8  # of a line, of those methods that have markers
Json = dict[str, Any]

_AXIS = {
    "gridcolor": GRID,
    "linecolor": GRID,
    "zerolinecolor": GRID,
    "automargin": True,
}
_HOVER = "%{fullData.name}<br>%{x:.4g}, %{y:.4g}<extra></extra>"
TEMPLATE: Json = {  # what all panels share
    "layout": {
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": INK, "family": "system-ui, sans-serif", "size": 13},
        "margin": {"t": 8, "r": 12, "b": 44, "l": 54},
        "hovermode": "closest",
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": GRID},
        "showlegend": False,
        "dragmode": False,
        "legend": {
            "y": 0,
            "yref": "container",
            "yanchor": "bottom",
            "x": 0,
            "font": {"size": 11},
        },
        "xaxis": _AXIS,
        "yaxis": {**_AXIS, "exponentformat": "power"},
    },
    "data": {
        "scatter": [
            {"hovertemplate": _HOVER, "line": {"width": 2}, "showlegend": False}
        ],
        "bar": [
            {"hovertemplate": _HOVER, "textposition": "outside", "textangle": -90}
        ],
    },
}


@dataclass
class Arrays:
    """Numbers of many traces as texts of JSON, each array once."""

    texts: list[str] = field(default_factory=list)
    _places: dict[str, int] = field(default_factory=dict)
    # places by the hash of an array, for rounding takes longer
    _known: dict[bytes, int] = field(default_factory=dict)

    def __call__(self, *parts: ArrayLike) -> Json:
        """A reference to an array, or to one that goes along the first and back on the second."""
        return {"ref": [self._place(np.asarray(part, float)) for part in parts]}

    def _place(self, floats: np.ndarray) -> int:
        key = hashlib.blake2b(floats.tobytes(), digest_size=16).digest()
        if key not in self._known:
            text = json.dumps(numbers(floats), separators=(",", ":"))
            self._known[key] = self._places.setdefault(text, len(self.texts))
            if self._known[key] == len(self.texts):
                self.texts.append(text)
        return self._known[key]


def numbers(values: ArrayLike) -> list[float | int | None]:
    """Rounded to `DIGITS`; None for a number that is not finite, which JSON lacks.

    >>> numbers([1 / 3, 2e-30, 50.0, float("inf")])
    [0.3333, 2e-30, 50, None]
    """
    floats = np.asarray(values, float).ravel()
    return [_shortest(each) for each in _rounded(floats).tolist()]


def _rounded(floats: np.ndarray) -> np.ndarray:
    """Numbers (n,) to `DIGITS`: a whole number over or times a power of ten, both of them exact."""
    sizes = np.abs(floats)
    is_usual = (sizes > 1e-15) & (sizes < 1e15)
    usual = floats[is_usual]
    power = DIGITS - 1 - np.floor(np.log10(np.abs(usual)))
    up = 10.0 ** np.maximum(power, 0)
    down = 10.0 ** np.maximum(-power, 0)
    found = floats.copy()
    found[is_usual] = np.rint(usual * up / down) / up * down
    shape = f"%.{DIGITS}g"
    for place in np.flatnonzero(~is_usual & np.isfinite(floats) & (floats != 0)):
        found[place] = float(shape % floats[place])
    return found


def _shortest(number: float) -> float | int | None:
    """The number as JSON has it in the fewest characters."""
    if number.is_integer():  # neither of infinite ones nor of nan
        return int(number) if abs(number) < LARGEST_WHOLE else number
    return number if math.isfinite(number) else None


def plot(panel: Panel, looks: Mapping[str, Look], arrays: Arrays) -> Json:
    """Data and layout of a panel, as ``Plotly.react`` takes them."""
    own = looks_in(panel, looks)
    data = []
    if panel.contours is not None:
        data = [_contour(panel)]
    for trace in panel.in_order:
        if np.size(trace.x):
            look = None
            if trace.method is not None:
                look = own[trace.method]
            data += _traces(trace, look, arrays)
            if panel.has_legend and trace.in_legend:
                data[-1] |= {
                    "showlegend": True,
                    "name": _in_lines(data[-1]["name"]),
                }
    return {"data": data, "layout": _layout(panel, data)}


# -- inside ----------------------------------------------------------------------------------------


def _in_lines(name: str) -> str:
    """A legend's entry, escaped, in lines that a figure on paper or on a phone has room for."""
    lines = wrap(unescape(name), MOST_IN_LINE, break_long_words=False)
    return "<br>".join(escape(line, quote=False) for line in lines)


def _traces(trace: Trace, look: Look | None, arrays: Arrays) -> Iterator[Json]:
    if trace.style == "bars":
        yield _bars(trace, look or Look(GREY), arrays)
        return
    if trace.low is not None and trace.style != "points":
        yield _band(trace, look or Look(GREY), arrays)
    yield _scatter(trace, look, arrays)


def _base(trace: Trace, arrays: Arrays) -> Json:
    made: Json = {"name": escape(trace.name, quote=False), "x": arrays(trace.x)}
    made["y"] = arrays(trace.y)
    if trace.method is not None:
        made["meta"] = trace.method
    if trace.text is not None:
        made["text"] = list(trace.text)
    return made


def _scatter(trace: Trace, look: Look | None, arrays: Arrays) -> Json:
    is_line = trace.style != "points" and not trace.is_dot
    colour = look.colour if look else (GREY if is_line else INK)
    made = {**_base(trace, arrays), "type": "scatter"}
    if is_line:
        dash = look.dash if look else "solid"
        made["line"] = {
            "color": colour,
            "dash": dash,
            "shape": LINE_SHAPES[trace.style],
        }
        if trace.width != 2:
            made["line"]["width"] = trace.width
    if not is_line or (look and look.marker):
        made["marker"] = _plotly_marker(trace, look, colour)
    modes = [
        ("lines", is_line),
        ("markers", "marker" in made),
        ("text", "text" in made),
    ]
    made["mode"] = "+".join(name for name, is_there in modes if is_there)
    if trace.text is not None:
        made |= {"textposition": "top center", "textfont": {"size": 11}}
    if trace.style == "points" and trace.low is not None:
        made["error_y"] = _errors(trace, arrays)
    return made


def _plotly_marker(trace: Trace, look: Look | None, colour: Any) -> Json:
    symbol = trace.symbol or (look.marker if look else "") or "circle"
    if trace.style in ("line", "step") and not trace.is_dot and look is not None:
        size = 7 + 3 * look.n_round
        return {
            "color": colour,
            "symbol": symbol,
            "size": size,
            "maxdisplayed": MARKERS_ALONG,
        }
    made = {"color": colour, "symbol": symbol, "size": trace.size * 4 / 3}
    if symbol == "x" or symbol.endswith("-open"):
        made |= {
            "symbol": {"x": "x-thin"}.get(symbol, symbol),
            "line": {"width": 2, "color": colour},
        }
    elif trace.method is not None:
        made["opacity"] = 0.8
    return made


def _band(trace: Trace, look: Look, arrays: Arrays) -> Json:
    """The area between low and high, gone round once."""
    x = np.asarray(trace.x, float)
    low = np.asarray(trace.low, float)
    high = np.asarray(trace.high, float)
    known = np.isfinite(x) & np.isfinite(low) & np.isfinite(high)
    return {
        "type": "scatter",
        "mode": "lines",
        "x": arrays(x[known], x[known]),
        "y": arrays(high[known], low[known]),
        "meta": trace.method,
        "name": escape(trace.name, quote=False),
        "fill": "toself",
        "fillcolor": f"{look.colour}2b",
        "line": {"width": 0},
        "hoverinfo": "skip",
        "hovertemplate": None,
    }


def _bars(trace: Trace, look: Look, arrays: Arrays) -> Json:
    marker = {
        "color": look.colour,
        "pattern": {"shape": look.pattern, "size": 8 + 4 * look.n_round},
    }
    made = {
        **_base(trace, arrays),
        "type": "bar",
        "marker": marker,
        "width": trace.width,
    }
    if trace.low is not None:
        made["error_y"] = _errors(trace, arrays)
    return made


def _errors(trace: Trace, arrays: Arrays) -> Json:
    y = np.asarray(trace.y, float)
    low = np.asarray(trace.low, float)
    high = np.asarray(trace.high, float)
    made: Json = {"type": "data", "symmetric": False, "thickness": 1.5}
    return {**made, "array": arrays(high - y), "arrayminus": arrays(y - low)}


def _contour(panel: Panel) -> Json:
    assert panel.contours is not None
    at = panel.contours.at
    heights = np.asarray(panel.contours.heights, float)
    z = numbers(heights.round(3))
    n = len(heights)
    return {
        "type": "contour",
        "name": "loss",
        "x": numbers(at),
        "y": numbers(at),
        "z": [z[row * n : (row + 1) * n] for row in range(n)],
        "showscale": False,
        "hoverinfo": "skip",
        "contours": {"start": -1, "end": 1, "size": 1 / 8, "coloring": "heatmap"},
        "line": {"color": GREY, "width": 0.7, "smoothing": 1},
        "colorscale": [
            [0, "rgba(128, 128, 128, 0.55)"],
            [1, "rgba(128, 128, 128, 0)"],
        ],
    }


def _layout(panel: Panel, data: Sequence[Json]) -> Json:
    made: Json = {"xaxis": _axis(panel.x), "yaxis": _axis(panel.y)}
    if panel.is_square:
        made["xaxis"] |= {"constrain": "domain", "zeroline": False}
        made["yaxis"] |= {
            "constrain": "domain",
            "zeroline": False,
            "scaleanchor": "x",
        }
    if panel.marks:
        line = {"color": GREY, "width": 1, "dash": "dot"}
        made["shapes"] = [
            {
                "type": "line",
                "x0": x,
                "x1": x,
                "y0": 0,
                "y1": 1,
                "yref": "paper",
                "line": line,
            }
            for x, _ in panel.marks
        ]
    if panel.has_legend:
        shown = [trace["name"] for trace in data if trace.get("showlegend", False)]
        below = 20 * sum(1 + name.count("<br>") for name in shown) + 12
        made |= {
            "showlegend": True,
            "height": HEIGHT + below,
            "margin": {"b": 44 + below},
        }
    return made


def _axis(axis: Axis) -> Json:
    made: Json = {"title": {"text": axis.title}, "type": axis.scale}
    if axis.range is not None:
        ends = np.array(axis.range, float)
        if axis.scale == "log":
            ends = np.log10(ends)
        made["range"] = ends.tolist()
    if axis.ticks is not None:
        made |= {
            "tickvals": [x for x, _ in axis.ticks],
            "ticktext": [text for _, text in axis.ticks],
        }
    return made
