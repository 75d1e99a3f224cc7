"""Figures as SVG, PDF and PNG files, for papers: matplotlib's own objects, without pyplot."""

from __future__ import annotations

import itertools
import re
import warnings
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arrays import Floats
from ..environment import install_hint
from ..errors import SfnbenchError
from .figure import Axis, Figure, Panel, Trace
from .looks import GREY, Look, looks, looks_in
from .sections import Section

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

PICTURE_FORMATS = ("svg", "pdf", "png")
# without dates equal results make equal files
UNDATED = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
INK = "#1b1b1b"
PANEL_INCHES = 3.6, 3.4  # of a panel in inches
MOST_BELOW = 12  # entries of a legend below the panels; more stand beside them
MOST_LETTERS = 60  # of a line above a panel
N_LEVELS = 8  # contours on either side of the saddle's own
N_MARKERS = 8  # of a line, of those methods that have markers
LINE_STYLES = {"solid": "-", "dash": "--", "dot": ":", "dashdot": "-."}
STEPS = {"step": "steps-post", "histogram": "steps-mid"}
SYMBOLS = {
    "": "o",
    "circle": "o",
    "circle-open": "o",
    "square": "s",
    "triangle-up": "^",
    "triangle-up-open": "^",
    "diamond": "D",
    "diamond-open": "D",
    "cross": "P",
    "star": "*",
    "pentagon": "p",
    "hexagon": "h",
    "x": "x",
}


def write_figures(
    sections: Iterable[Section], folder: Path, axis: str = "cost"
) -> list[Path]:
    """Draw all figures of all sections into a folder, curves against an axis; the files.

    Of figures whose names are alike as files' names, the second ends with _2, and so on.
    SfnbenchError where matplotlib is not installed, or the folder cannot be made.
    """
    _prepare_folder(folder)
    written = []
    used: set[str] = set()
    for section in sections:
        known = looks(section.methods)
        for figure in section.figures:
            if figure.against not in (None, axis):
                continue
            canvas = paint(figure, known, section.suite)
            stem = _unused(f"{slug(section.suite)}_{slug(figure.name)}", used)
            used.add(stem)
            written += [
                save(canvas, folder / f"{stem}.{suffix}")
                for suffix in PICTURE_FORMATS
            ]
    return written


def paint(figure: Figure, known: Mapping[str, Look], suite: str = "") -> Canvas:
    """A figure with its panels side by side, and one legend for all."""
    _require_matplotlib()
    from matplotlib.figure import Figure as Canvas

    n = len(figure.panels)
    width, height = PANEL_INCHES if n > 1 else (4.8, 4.0)
    canvas = Canvas(figsize=(width * n + 0.4, height), layout="constrained")
    axes = list(canvas.subplots(1, n, squeeze=False)[0])
    if suite:
        title = f"{suite}: {figure.title}"
    else:
        title = figure.title
    canvas.suptitle(_without_mathematics(title), fontsize=10)
    for each, panel in zip(axes, figure.panels, strict=True):
        _paint_panel(each, panel, looks_in(panel, known))
        lines = [panel.title] if panel.title != figure.title else []
        lines += [
            line for remark in panel.remarks for line in wrap(remark, MOST_LETTERS)
        ]
        each.set_title(
            _without_mathematics("\n".join(lines)),
            fontsize=8 if len(lines) == 1 else 7,
        )
    _add_legend(canvas, axes, figure)
    return canvas


def save(canvas: Canvas, path: Path) -> Path:
    """Write a drawn figure as the suffix says, the same bytes each time."""
    import matplotlib

    with (
        matplotlib.rc_context({"svg.hashsalt": "sfnbench"}),
        warnings.catch_warnings(),
    ):
        # matplotlib warns of scripts that the font lacks
        warnings.filterwarnings("ignore", message="Glyph")
        canvas.savefig(path, dpi=150, metadata=UNDATED.get(path.suffix[1:]))
    return path


def slug(text: str) -> str:
    """The text as it can stand in a file's name.

    >>> slug("5x^2 - y^2")
    '5x_2_y_2'
    """
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_") or "figure"


# -- inside ----------------------------------------------------------------------------------------


def _unused(stem: str, used: Collection[str]) -> str:
    """The stem, numbered where it is used: labels may differ in signs and accents alone."""
    numbered = (f"{stem}_{n}" for n in itertools.count(2))
    return next(
        each for each in itertools.chain([stem], numbered) if each not in used
    )


def _require_matplotlib() -> None:
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        hint = f"figures need the package matplotlib: {install_hint('report')}"
        raise SfnbenchError(hint) from None


def _prepare_folder(folder: Path) -> None:
    _require_matplotlib()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror or error
        raise SfnbenchError(
            f"{folder}: figures cannot be written there ({reason})"
        ) from error


def _paint_panel(axes: Axes, panel: Panel, own: Mapping[str, Look]) -> None:
    if panel.contours is not None:
        at = panel.contours.at
        heights = np.asarray(panel.contours.heights, float)
        levels = np.linspace(-1, 1, 2 * N_LEVELS + 1)
        axes.contourf(
            at,
            at,
            heights,
            levels,
            cmap="Greys_r",
            vmin=-2.5,
            vmax=1,
            extend="both",
        )
        axes.contour(
            at, at, heights, levels, colors=GREY, linewidths=0.4, linestyles="solid"
        )
    for trace in panel.in_order:
        look = None
        if trace.method is not None:
            look = own[trace.method]
        is_grey = trace.method is not None and trace.method not in panel.in_colour
        if trace.in_legend and not is_grey:
            label = _without_mathematics(trace.name)
        else:
            label = None
        _paint_trace(axes, trace, look, label)
    n_grey = len(panel.methods) - len(panel.in_colour)
    if n_grey:
        axes.plot([], [], color=GREY, label=f"the other {n_grey} methods")
    for x, _ in panel.marks:
        axes.axvline(x, color=GREY, linewidth=0.6, linestyle=":")
    _set_axis(axes, "x", panel.x)
    _set_axis(axes, "y", panel.y)
    if panel.is_square:
        axes.set_aspect("equal")


def _paint_trace(
    axes: Axes, trace: Trace, look: Look | None, label: str | None
) -> None:
    colour = look.colour if look else INK
    x = np.asarray(trace.x, float)
    y = np.asarray(trace.y, float)
    if trace.style == "bars":
        pattern = look.pattern if look else ""
        axes.bar(
            x,
            y,
            trace.width,
            color=colour,
            hatch=2 * pattern,
            label=label,
            zorder=2,
        )
    elif trace.style == "points" or trace.is_dot:
        axes.plot(x, y, linestyle="", label=label, **_marker(trace, look, colour))
    else:
        _paint_line(axes, trace, look, label)
    if trace.low is not None and trace.style in ("points", "bars"):
        low = np.asarray(trace.low, float)
        high = np.asarray(trace.high, float)
        axes.vlines(
            x,
            low,
            high,
            color=colour if trace.style == "points" else INK,
            linewidth=1,
        )
    _write_texts(axes, trace, x, y)


def _write_texts(axes: Axes, trace: Trace, x: Floats, y: Floats) -> None:
    angle = 90 if trace.style == "bars" else 0
    for at, height, text in zip(x, y, trace.text or [], strict=False):
        if text and np.isfinite(height):
            axes.annotate(
                text,
                (at, height),
                (0, 3),
                "data",
                "offset points",
                rotation=angle,
                fontsize=7,
                ha="center",
            )


def _paint_line(
    axes: Axes, trace: Trace, look: Look | None, label: str | None
) -> None:
    x = np.asarray(trace.x, float)
    y = np.asarray(trace.y, float)
    style: dict[str, Any] = {
        "color": look.colour if look else GREY,
        "linewidth": 0.7 * trace.width,
    }
    style["linestyle"] = LINE_STYLES[look.dash] if look else "-"
    style["drawstyle"] = STEPS.get(trace.style, "default")
    if look is not None and look.marker:
        every = max(1, len(x) // N_MARKERS)
        size = 4 + 2 * look.n_round
        style |= {
            "marker": SYMBOLS[look.marker],
            "markersize": size,
            "markevery": every,
        }
    axes.plot(x, y, label=label, **style)
    if trace.low is not None:
        low = np.asarray(trace.low, float)
        high = np.asarray(trace.high, float)
        axes.fill_between(
            x, low, high, color=style["color"], alpha=0.18, linewidth=0
        )


def _marker(trace: Trace, look: Look | None, colour: str) -> dict[str, Any]:
    symbol = trace.symbol or (look.marker if look else "")
    made: dict[str, Any] = {
        "color": colour,
        "marker": SYMBOLS[symbol],
        "markersize": 0.8 * trace.size,
    }
    if symbol.endswith("-open"):
        made["markerfacecolor"] = "none" if look else "w"
    elif symbol != "x":
        made |= {"markeredgewidth": 0, "alpha": 0.8 if look else 1.0}
    return made


def _set_axis(axes: Axes, which: str, axis: Axis) -> None:
    made: dict[str, Any] = {
        f"{which}label": _without_mathematics(axis.title),
        f"{which}scale": axis.scale,
    }
    axes.set(**made)
    if axis.ticks is not None:
        places, texts = zip(*axis.ticks, strict=True)
        getattr(axes, f"set_{which}ticks")(places, texts)
        getattr(axes, f"{which}axis").minorticks_off()
    if axis.range is not None:
        axes.set(**{f"{which}lim": axis.range})


def _add_legend(canvas: Canvas, axes: Iterable[Axes], figure: Figure) -> None:
    """Below the panels, or beside them where it is long."""
    handles: dict[str, Any] = {}
    for each in axes:
        for handle, label in zip(*each.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    if not handles:
        return
    style: dict[str, Any] = {"fontsize": 7, "handlelength": 2.6}
    width, height = canvas.get_size_inches()
    longest = max(len(label) for label in handles)
    n_columns = max(1, int(14 * width / (longest + 6)))
    n_rows = -(-len(handles) // n_columns)
    if n_rows <= MOST_BELOW:
        canvas.set_size_inches(width, height + 0.16 * n_rows)
        style |= {
            "loc": "outside lower center",
            "ncols": min(n_columns, len(handles)),
        }
    else:
        canvas.set_size_inches(
            width + 0.07 * longest + 0.8, max(height, 0.15 * len(handles) + 0.6)
        )
        style["loc"] = "outside right upper"
    canvas.legend(handles.values(), handles.keys(), **style)


def _without_mathematics(text: str) -> str:
    """Text without mathematics; a label that begins with an underscore would be none at all."""
    text = text.replace("$", r"\$")
    return f" {text}" if text.startswith("_") else text
