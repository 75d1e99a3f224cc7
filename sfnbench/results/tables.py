"""Tables of cells: the best marked, sorted, grouped, and at the very end printed."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from tabulate import tabulate

from ..errors import SfnbenchError
from ..words import did_you_mean
from .cells import (
    Cell,
    Line,
    TableEntry,
    as_json,
    is_empty,
    no_formula,
    rank,
    text,
    used_columns,
)

# the formats for people, by tabulate's names
FORMATS = {"plain": "simple", "github": "github", "latex": "latex", "html": "html"}
NARROWEST = 12  # characters that a column keeps, however narrow the terminal
SEPARATORS = {"csv": ",", "tsv": "\t"}
Table = Sequence[Line]
StarKey = tuple[str, str, str, str]  # problem, dtype, column, league


def render(table: Table, style: str, width: int | None = None) -> str:
    """The table as text in one of the formats plain, github, latex, html, tsv, csv and json.

    A row need not have every column: problems have measures of their own. Formats for people have
    stars at the best, JSON has numbers, intervals and flags apart. A plain table wider than `width`
    characters has its widest cells folded.
    """
    if style == "json":
        return json.dumps(as_records(table), indent=2, allow_nan=False)
    if style in SEPARATORS:
        written = io.StringIO(newline="")
        names = used_columns(table)
        writer = csv.writer(
            written, lineterminator="\n", delimiter=SEPARATORS[style]
        )
        writer.writerow(map(no_formula, names))
        writer.writerows(
            [_for_spreadsheet(line.get(name)) for name in names] for line in table
        )
        return written.getvalue().rstrip("\n")
    shown = as_text(table, is_starred=True)
    if style == "github":  # a bar within a cell would end it
        shown = [
            {_no_bar(n): _no_bar(t) for n, t in line.items()} for line in shown
        ]
    widths = None
    if width and style == "plain":
        widths = _folded(shown, width)
    if style == "plain" and widths is None and _is_ascii(shown):
        return _aligned(shown)
    return str(
        tabulate(
            shown,
            headers="keys",
            tablefmt=FORMATS[style],
            disable_numparse=True,
            maxcolwidths=widths,
        )
    )


def _aligned(shown: Sequence[Mapping[str, str]]) -> str:
    """As tabulate's "simple", in a tenth of its time, where each character is as wide as any."""
    names = [name.strip() for name in shown[0]]
    rows = [[cell.strip() for cell in line.values()] for line in shown]
    cells = [max(map(len, column)) for column in zip(*rows, strict=True)]
    widths = [max(len(name) + 2, n) for name, n in zip(names, cells, strict=True)]
    rule = ["-" * n for n in widths]
    form = "  ".join(f"{{:{n}}}" for n in widths)
    return "\n".join(form.format(*row).rstrip() for row in (names, rule, *rows))


def _is_ascii(shown: Sequence[Mapping[str, str]]) -> bool:
    texts = ["".join([*line, *line.values()]) for line in shown]
    return "".join(texts).isascii() and any(texts)


def _folded(shown: Sequence[dict[str, str]], width: int) -> list[int] | None:
    """The most characters of each column, so that all columns fit; None where they do anyway."""
    names = list(shown[0]) if shown else []
    # tabulate keeps two blanks beside a heading
    headings = [len(name) + 2 for name in names]
    cells = [max(len(line[name]) for line in shown) for name in names]
    widths = list(map(max, headings, cells))
    room = width - 2 * (len(names) - 1)  # two blanks between columns
    if sum(widths) <= room:
        return None
    most = max(widths)
    while most > NARROWEST and sum(min(most, each) for each in widths) > room:
        most -= 1
    return [min(most, each) for each in widths]


def _no_bar(cell: str) -> str:
    return cell.replace("|", "\\|")


def as_text(table: Table, *, is_starred: bool = False) -> list[dict[str, str]]:
    """The table as people read it: text by column for each row, empty columns left out."""
    names = used_columns(table)
    return [
        {name: text(line.get(name), is_starred=is_starred) for name in names}
        for line in table
    ]


def _for_spreadsheet(entry: TableEntry) -> str:
    """Words are no formula; numbers stay, whatever their sign."""
    if isinstance(entry, str):
        return no_formula(text(entry))
    return text(entry)


def as_records(table: Table) -> list[dict[str, Any]]:
    """The table for other programs: a mapping by column for each row, as `as_json` has it."""
    names = used_columns(table)
    return [{name: as_json(line.get(name)) for name in names} for line in table]


def table_json(table: Table) -> dict[str, Any]:
    """The table for the report's page: its columns, and entries by row as `as_json` has them."""
    names = used_columns(table)
    rows = [[as_json(line.get(name)) for name in names] for line in table]
    return {"columns": names, "rows": rows}


def mark_best(table: Table) -> Table:
    """The same table with a flag at the best of each problem (and dtype) in each column.

    The best is the lowest score, where those that have one differ. None is best where all scores
    are infinite. Numbers that came about in unlike ways, in unlike leagues, have a best each.
    """
    scores: dict[StarKey, set[float]] = {}
    for line in table:
        for name, cell in line.items():
            if isinstance(cell, Cell) and cell.score is not None:
                scores.setdefault(_star_key(line, name), set()).add(cell.score)
    best = {
        contest: min(found)
        for contest, found in scores.items()
        if len(found) > 1 and min(found) < math.inf
    }
    return [{name: _marked(line, name, best) for name in line} for line in table]


def _star_key(line: Line, column: str) -> StarKey:
    cell = line[column]
    league = cell.league if isinstance(cell, Cell) else ""
    return text(line.get("problem")), text(line.get("dtype")), column, league


def _marked(line: Line, column: str, best: dict[StarKey, float]) -> TableEntry:
    entry = line[column]
    if not isinstance(entry, Cell) or entry.score is None:
        return entry
    if entry.score != best.get(_star_key(line, column)):
        return entry
    return entry.changed(best=True)


def where_it_differs(table: Table, column: str) -> Table:
    """The same table, with a column emptied for problems on which all rows have the same in it."""
    found: dict[str, set[str]] = {}
    for line in table:
        found.setdefault(text(line.get("problem")), set()).add(
            text(line.get(column))
        )
    return [
        {
            **line,
            column: line.get(column)
            if len(found[text(line.get("problem"))]) > 1
            else None,
        }
        for line in table
    ]


def legend(table: Table) -> str:
    """The signs that occur in the table, explained in one line; empty where there are none."""
    cells = [
        (name, entry)
        for line in table
        for name, entry in line.items()
        if isinstance(entry, Cell)
    ]
    parts = []
    if any(cell.best for _, cell in cells):
        rivals = dict.fromkeys(
            cell.rivals
            for _, cell in cells
            if cell.score is not None and cell.rivals
        )
        parts.append(f"* best of its problem, {', '.join(rivals)}")
    if any(cell.is_beyond for _, cell in cells):
        parts.append("> N: later than the N steps made")
    held: dict[str, dict[str, None]] = {}
    for name, cell in cells:
        if cell.brackets and cell.has_interval:
            held.setdefault(cell.brackets, {})[name] = None
    if held:
        main, *others = sorted(held, key=lambda brackets: -len(held[brackets]))
        further = [
            f", of {' and '.join(held[brackets])} {brackets}" for brackets in others
        ]
        parts.append(f"[a, b]: {main}{''.join(further)}")
    return "; ".join(parts)


def ordered(table: Table, column: str) -> Table:
    """The rows by a column, ``-column`` downwards, by its numbers, else by its words.

    A column may be named by the first words of its name, where no other begins so. ``> 500`` comes
    after every number, never after that; rows without the column come last. SfnbenchError where no
    row has it.
    """
    is_descending = column.startswith("-")
    name = column.removeprefix("-").replace("_", " ").strip()
    known = dict.fromkeys(each for line in table for each in line)
    alike = [each for each in known if each.startswith(f"{name} ")]
    if name not in known and len(alike) == 1:
        name = alike[0]
    if name not in known:
        raise SfnbenchError(
            f"there is no column {name!r} to sort by{did_you_mean(name, known)}"
        )
    filled = [line for line in table if not is_empty(line.get(name))]
    empty = [line for line in table if is_empty(line.get(name))]
    return [
        *sorted(filled, key=lambda line: rank(line[name]), reverse=is_descending),
        *empty,
    ]


def grouped(table: Table, column: str) -> dict[str, Table]:
    """The table in parts, one for each value of a column, in the order of their first rows."""
    parts: dict[str, list[Line]] = {}
    for line in table:
        rest = {name: entry for name, entry in line.items() if name != column}
        parts.setdefault(text(line.get(column)), []).append(rest)
    return dict(parts)
