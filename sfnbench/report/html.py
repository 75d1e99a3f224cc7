r"""One HTML file for everything.

Script, style, figures and numbers lie in it, and it asks no network for anything.

Its parts are the files of ``page/``. Whatever comes from a suite is text there: escaped in HTML,
and in JSON by ``\u003c``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template

from ..errors import StoreError
from ..words import counted
from .gathered import Section

MAX_NOTES = 50


def write(sections: Sequence[Section], notes: Sequence[str], file: Path) -> Path:
    """Write the report of what was gathered, whole or not at all; the file.

    StoreError where plotly is not installed, or the file cannot be written or is not called .html.
    """
    if file.suffix not in (".html", ".htm"):
        raise StoreError(
            f"{file}: the report is an HTML file, to be called .html; --figures DIR draws SVG, PDF and PNG"
        )
    page = _page(sections, notes)
    partial = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(page, encoding="utf-8")
        os.replace(partial, file)
    except OSError as error:
        raise StoreError(f"{file}: cannot be written ({error.strerror or error})") from error
    finally:
        with suppress(OSError):
            partial.unlink()
    return file


# -- inside ----------------------------------------------------------------------------------------


def _page(sections: Sequence[Section], notes: Sequence[str]) -> str:
    try:
        from plotly.offline import get_plotlyjs
    except ImportError:
        raise StoreError(
            "the report needs the package plotly: pip install 'sfnbench[report]'"
        ) from None
    parts = files(__package__) / "page"
    template, style, script = (
        parts.joinpath(f"page.{kind}").read_text("utf-8") for kind in ("html", "css", "js")
    )
    suites = list(dict.fromkeys(section.suite for section in sections))
    n_runs, n_seeds = (
        sum(s.n_runs for s in sections),
        sum(sum(s.n_seeds.values()) for s in sections),
    )
    n_folders = len({section.folder for section in sections})
    labels = list(
        dict.fromkeys(label for section in sections for label in section.optimizers if label)
    )
    shown = "\n".join(_section(i, section) for i, section in enumerate(sections))
    return Template(template).substitute(
        title=escape(f"sfnbench: {', '.join(suites[:3])}{' and more' if len(suites) > 3 else ''}"),
        lead=f"{counted(n_runs, 'run')} with {counted(n_seeds, 'row')}, from {counted(n_folders, 'folder')} of results.",
        style=style,
        summary=_summary(sections),
        notes=_notes(notes),
        sections=f'<script type="application/json" id="labels">{_json(labels)}</script>\n{shown}',
        plotly=get_plotlyjs(),
        script=script,
    )


def _summary(sections: Iterable[Section]) -> str:
    head = (
        "suite",
        "experiment",
        "folder",
        "problems",
        "optimizers",
        "runs",
        "seeds",
        "broke",
        "commit",
    )
    rows = []
    for i, section in enumerate(sections):
        seeds = ", ".join(f"{n:,} {status}" for status, n in section.n_seeds.most_common())
        commits = ", ".join(
            commit[:10] for commit in section.facts.get("commit", {}) if commit != "None"
        )
        cells = [
            section.experiment,
            str(section.folder),
            len(section.problems),
            len(section.optimizers),
            section.n_runs,
        ]
        texts = [escape(str(cell)) for cell in (*cells, seeds)]
        broke = f'<td class="broke">{section.n_broken}</td>' if section.n_broken else "<td>0</td>"
        first = f'<th scope="row"><a href="#suite-{i}">{escape(section.suite)}</a></th>'
        rows.append(
            f"<tr>{first}{''.join(f'<td>{text}</td>' for text in texts)}{broke}<td>{escape(commits)}</td></tr>"
        )
    header = "".join(f'<th scope="col">{name}</th>' for name in head)
    return f'<div class="scroll"><table><thead><tr>{header}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def _notes(notes: Sequence[str]) -> str:
    if not notes:
        return ""
    more = f"<li>and {len(notes) - MAX_NOTES:,} more</li>" if len(notes) > MAX_NOTES else ""
    lines = "".join(f"<li>{escape(note)}</li>" for note in notes[:MAX_NOTES])
    return f'<h3>Missing or broken</h3><ul class="notes">{lines}{more}</ul>'


def _section(i: int, section: Section) -> str:
    where = f"<small>{escape(section.experiment)}, {escape(str(section.folder))}</small>"
    return (
        f'<section class="suite" id="suite-{i}"><h2>{escape(section.suite)} {where}</h2>\n'
        f'<script type="application/json">{_json(section.data())}</script>\n<div class="body">…</div></section>'
    )


def _json(value: object) -> str:
    """JSON that ends no script element, whatever a label says."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False).replace(
        "<", "\\u003c"
    )
