r"""One HTML file for everything: script, style, tables and figures lie in it.

It asks no network for anything. Its parts are the files of ``page/``. Whatever comes from a suite
is text there: escaped in HTML, and in JSON by ``\u003c``.
"""

from __future__ import annotations

import gzip
import io
import json
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from ..environment import install_hint
from ..errors import StoreError
from ..results.tables import legend
from ..results.writing import written_whole
from ..words import counted
from . import html_tables
from .draw_plotly import TEMPLATE, Arrays, plot
from .figure import MOST_IN_COLOUR, Figure
from .looks import Look, looks
from .sections import Section

MAX_NOTES = 50
AXIS_TITLES = {"steps": "steps", "cost": "cost in gradients", "seconds": "seconds"}
STROKES = {"solid": "", "dash": "8 4", "dot": "2 4", "dashdot": "8 3 2 3"}
OUTLINES = {  # of markers, in a sample of 30 by 10
    "": "",
    "square": "M11 1h8v8h-8z",
    "triangle-up": "M15 0l5 9h-10z",
    "diamond": "M15 0l5 5-5 5-5-5z",
    "cross": "M13 0h4v3h3v4h-3v3h-4v-3h-3v-4h3z",
    "star": "M15 0l2 3h4l-3 3 1 4-4-2-4 2 1-4-3-3h4z",
    "pentagon": "M15 0l5 4-2 6h-6l-2-6z",
    "hexagon": "M12 1h6l3 4-3 4h-6l-3-4z",
}


def write_page(
    sections: Sequence[Section], notes: Sequence[str], file: Path
) -> Path:
    """Write the report, whole or not at all; the file.

    StoreError where plotly is not installed, or the file cannot be written or is not called .html.
    """
    if file.suffix not in (".html", ".htm"):
        raise StoreError(
            f"{file}: the report is an HTML file, to be called .html;"
            " --figures DIR draws SVG, PDF and PNG"
        )
    page = _page(sections, notes)
    with written_whole(file) as partial:
        file.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(page, encoding="utf-8")
    return file


# -- inside ----------------------------------------------------------------------------------------


def _page(sections: Sequence[Section], notes: Sequence[str]) -> str:
    try:
        from plotly.offline import get_plotlyjs
    except ImportError:
        hint = f"the report needs the package plotly: {install_hint('report')}"
        raise StoreError(hint) from None
    parts = files(__package__) / "page"
    template, style, script = (
        parts.joinpath(f"page.{kind}").read_text("utf-8")
        for kind in ("html", "css", "js")
    )
    suites = list(dict.fromkeys(section.suite for section in sections))
    methods = dict.fromkeys(
        label for section in sections for label in section.methods
    )
    known = looks(methods)
    shown = [_section(i, section, known) for i, section in enumerate(sections)]
    return Template(template).substitute(
        title=escape(
            f"sfnbench: {', '.join(suites[:3])}{' and more' if len(suites) > 3 else ''}"
        ),
        lead=_lead(sections),
        style=style,
        summary=html_tables.section_summary(sections),
        notes=_notes(notes),
        legend_place="beside" if len(known) > MOST_IN_COLOUR else "above",
        legend="\n".join(_button(label, look) for label, look in known.items()),
        template=_json(TEMPLATE),
        sections="\n".join(shown),
        plotly=_packed([get_plotlyjs()]),
        script=script,
    )


def _packed(parts: Iterable[str]) -> str:
    """A text as gzip in base64, which the page unpacks: plotly's takes 1.9 MiB instead of 4.6."""
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=6, mtime=0) as file:
        for part in parts:
            file.write(part.encode())
    return b64encode(packed.getbuffer()).decode()


def _lead(sections: Sequence[Section]) -> str:
    n_rows = sum(section.n_seeds.total() for section in sections)
    n_runs = sum(len(section.results) for section in sections)
    n_folders = len({section.folder for section in sections})
    runs = counted(n_runs, "run")
    rows = counted(n_rows, "row")
    return f"{runs} with {rows}, from {counted(n_folders, 'folder')} of results."


def _notes(notes: Sequence[str]) -> str:
    if not notes:
        return ""
    if len(notes) > MAX_NOTES:
        more = f"<li>and {len(notes) - MAX_NOTES:,} more</li>"
    else:
        more = ""
    lines = "".join(f"<li>{escape(note)}</li>" for note in notes[:MAX_NOTES])
    return f'<h3>Missing or failed</h3><ul class="notes">{lines}{more}</ul>'


def _button(label: str, look: Look) -> str:
    """A button of the legend, with a sample of how the method is drawn."""
    paint = f'stroke="{look.colour}" fill="{look.colour}"'
    dashes = ""
    if look.dash != "solid":
        dashes = f'stroke-dasharray="{STROKES[look.dash]}"'
    outline = OUTLINES[look.marker]
    marker = ""
    if outline:
        marker = f'<path d="{outline}" stroke-width="{look.n_round}"/>'
    sample = f'<path d="M0 5H30" stroke-width="3" {dashes}/>{marker}'
    return (
        f'<button type="button" aria-pressed="true" title="{escape(label)}">'
        f'<svg viewBox="0 0 30 10" aria-hidden="true" {paint}>{sample}</svg>'
        f"<span>{escape(label)}</span></button>"
    )


def _section(i: int, section: Section, known: Mapping[str, Look]) -> str:
    where = f"<small>{escape(section.experiment)}, {escape(str(section.folder))}</small>"
    table = html_tables.sortable(section.table, "Table of results")
    findings = "".join(f"<p>{escape(line)}</p>" for line in section.findings())
    more = {
        title: html_tables.sortable(table, title)
        for title, table in section.more_tables().items()
    }
    more |= {"Statuses": html_tables.statuses(section)}
    more |= {"Environment": html_tables.environment(section)}
    folded = "\n".join(
        f"<details><summary>{escape(title)}</summary>{body}</details>"
        for title, body in more.items()
    )
    return (
        f'<section class="suite" id="suite-{i}"><h2>{escape(section.suite)} {where}</h2>\n'
        f"<details open><summary>Table</summary>{table}</details>\n"
        f'<p class="faint">{escape(legend(section.table))}</p>{findings}\n'
        f'{_controls(section)}<div class="figures"></div>\n'
        f'<script type="text/plain">{_packed(_page_data(section, known))}</script>\n'
        f"{folded}</section>"
    )


def _controls(section: Section) -> str:
    """Choices of the problem, and of the axis that curves are drawn against."""
    problems = {figure.problem for figure in section.figures}
    shown = {label: label for label in section.problems if label in problems}
    axes = {figure.against for figure in section.figures}
    chosen = {axis: title for axis, title in AXIS_TITLES.items() if axis in axes}
    parts = [
        _select("Problem", "problem", shown),
        _select("Against", "against", chosen),
    ]
    return f'<div class="controls">{"".join(parts)}</div>\n'


def _select(title: str, name: str, options: Mapping[str, str]) -> str:
    if len(options) < 2:
        return ""
    lines = "".join(
        f'<option value="{escape(value)}">{escape(text)}</option>'
        for value, text in options.items()
    )
    return f'<label>{title} <select name="{name}">{lines}</select></label>'


def _page_data(section: Section, known: Mapping[str, Look]) -> Iterator[str]:
    """JSON of all panels of a section and of the arrays that they refer to, piece by piece."""
    arrays = Arrays()
    comma = ""
    yield '{"panels":['
    for figure in section.figures:
        for each in _plots(figure, known, arrays):
            yield f"{comma}{_json(each)}"
            comma = ","
    yield f'],"arrays":[{",".join(arrays.texts)}]}}'


def _plots(
    figure: Figure, known: Mapping[str, Look], arrays: Arrays
) -> list[dict[str, Any]]:
    shown_of = ""
    if figure.problem is not None:
        shown_of = f" of {figure.problem}"
    return [
        {
            "name": panel.name,
            "problem": figure.problem,
            "against": figure.against,
            "title": panel.title,
            "caption": panel.caption,
            "label": f"{panel.title}{shown_of}, by {panel.x.title}: {panel.caption}",
            "plot": plot(panel, known, arrays),
        }
        for panel in figure.panels
    ]


def _json(value: object) -> str:
    """JSON that ends no script element, whatever a label says."""
    text = json.dumps(
        value, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return text.replace("<", "\\u003c")
