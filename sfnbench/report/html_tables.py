"""Tables of the page: HTML whose rows a browser can sort by numbers.

Whatever comes from a suite is text there, escaped.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from html import escape

from ..records import Status
from ..results.cells import Cell, TableEntry, rank, text, used_columns
from ..results.tables import Table
from .sections import Section, statuses_of

MOST_ACROSS = 8  # methods beside each other: more are cut off on paper
RANK_OF_WORDS = 3  # the rank of words: they have no number


def sortable(table: Table, label: str) -> str:
    """A table whose headers are buttons that sort it; columns without a value are left out."""
    shown = used_columns(table)
    head = "".join(
        f'<th scope="col"><button type="button">{escape(name)}</button></th>'
        for name in shown
    )
    rows = ["".join(_cell(row.get(name)) for name in shown) for row in table]
    return _scrolling(
        f'<table class="sortable">{_whole(head, rows)}</table>', label
    )


def statuses(section: Section) -> str:
    """How many seeds ended with each status, by problem and method, the more of them downwards."""
    found = {
        (result.run.problem.label, result.run.method.label): statuses_of(result)
        for result in section.results
    }
    down, across, corner = list(section.problems), list(section.methods), "problem"
    if len(across) > max(len(down), MOST_ACROSS):
        down, across, corner = across, down, "method"
        found = {
            (method, problem): each for (problem, method), each in found.items()
        }
    head = "".join(
        f'<th scope="col">{escape(each)}</th>' for each in (corner, *across)
    )
    rows = []
    for row in down:
        cells = [_statuses_cell(found.get((row, column), {})) for column in across]
        rows.append(_row_header(row) + "".join(cells))
    return _scrolling(f"<table>{_whole(head, rows)}</table>", "Statuses")


def environment(section: Section) -> str:
    """The machine, the versions and the settings that the results were made with."""
    facts = {
        name: ", ".join(values)
        for name, values in section.facts.items()
        if any(values)
    }
    rows = [
        f"{_row_header(name)}<td>{escape(value)}</td>"
        for name, value in facts.items()
    ]
    return _scrolling(f"<table>{_whole('', rows)}</table>", "Environment")


def section_summary(sections: Iterable[Section]) -> str:
    """A row for each section, with a link to it."""
    names = (
        "suite",
        "experiment",
        "folder",
        "problems",
        "methods",
        "runs",
        "seeds",
        "failed",
        "commit",
    )
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
    rows = [_summary_row(i, section) for i, section in enumerate(sections)]
    return _scrolling(f"<table>{_whole(head, rows)}</table>", "Summary")


# -- inside ----------------------------------------------------------------------------------------


def _scrolling(table: str, label: str) -> str:
    attributes = (
        f'class="scroll" tabindex="0" role="region" aria-label="{escape(label)}"'
    )
    return f"<div {attributes}>{table}</div>"


def _whole(head: str, rows: Sequence[str]) -> str:
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    return (
        f"{f'<thead><tr>{head}</tr></thead>' if head else ''}<tbody>{body}</tbody>"
    )


def _row_header(text: str) -> str:
    return f'<th scope="row">{escape(text)}</th>'


def _cell(entry: TableEntry) -> str:
    """A number with its interval in small print, and its place in the order of the column."""
    words = escape(text(entry, is_starred=True))
    if isinstance(entry, Cell) and entry.value is not None and entry.has_interval:
        value = escape(str(replace(entry, low=None, high=None)))
        words = f"{value}<small>{words.removeprefix(value)}</small>"
    group, number, _ = rank(entry)
    if number == math.inf:
        size = "Infinity"
    else:
        size = f"{number:.17g}"
    order = ""
    if group < RANK_OF_WORDS:
        order = f' data-sort="{group} {size}"'
    return f"<td{order}>{words}</td>"


def _statuses_cell(counts: Mapping[str, int]) -> str:
    is_sound = all(Status(status).sound for status in counts)
    text = ", ".join(f"{n} {status}" for status, n in counts.items()) or "none"
    if is_sound:
        return f"<td>{escape(text)}</td>"
    return f'<td class="failed">{escape(text)}</td>'


def _summary_row(i: int, section: Section) -> str:
    seeds = ", ".join(
        f"{n:,} {status}" for status, n in section.n_seeds.most_common()
    )
    commits = ", ".join(
        name[:10] for name in section.facts.get("commit", {}) if name != "None"
    )
    counts = len(section.problems), len(section.methods), len(section.results)
    cells = [section.experiment, section.folder, *counts, seeds]
    texts = "".join(f"<td>{escape(str(cell))}</td>" for cell in cells)
    if section.n_broken:
        failed = f'<td class="failed">{section.n_broken}</td>'
    else:
        failed = "<td>0</td>"
    link = f'<th scope="row"><a href="#suite-{i}">{escape(section.suite)}</a></th>'
    return f"{link}{texts}{failed}<td>{escape(commits)}</td>"
