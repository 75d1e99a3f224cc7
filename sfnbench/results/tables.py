"""A table as text, in every format that the command line offers."""

from __future__ import annotations

import csv
import io
import json
import re
from typing import Any

from tabulate import tabulate

from ..errors import SfnbenchError
from ..words import did_you_mean

FORMATS = {"plain": "simple", "github": "github", "latex": "latex", "html": "html"}
SEPARATORS = {"csv": ",", "tsv": "\t"}
NUMBER = r"[-+]?(?:inf|[0-9.]+(?:e[-+]?[0-9]+)?)"  # that a cell begins with
Table = list[dict[str, Any]]


def render(table: Table, style: str) -> str:
    """The table as text in one of the formats plain, github, latex, html, tsv, csv and json.

    A row need not have every column: problems have measures of their own.
    """
    names = dict.fromkeys(name for row in table for name in row)
    shown = [name for name in names if any(row.get(name) not in ("", None) for row in table)]
    rows = [{name: row.get(name, "") for name in shown} for row in table]
    if style == "json":
        return json.dumps(rows, indent=2)
    if style in SEPARATORS:
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, shown, lineterminator="\n", delimiter=SEPARATORS[style])
        writer.writeheader()
        writer.writerows(rows)
        return text.getvalue().rstrip("\n")
    return str(tabulate(rows, headers="keys", tablefmt=FORMATS[style], disable_numparse=True))


def ordered(table: Table, column: str) -> Table:
    """The rows by a column, ``-column`` downwards.

    By the number that a cell begins with, else by its words.

    A column may be named by the first words of its name, where no other begins so.

    ``> 500`` comes after every number; rows without the column come last. SfnbenchError where no
    row has it.
    """
    down, name = column.startswith("-"), column.removeprefix("-").replace("_", " ").strip()
    known = dict.fromkeys(each for row in table for each in row)
    alike = [each for each in known if each.startswith(f"{name} ")]
    name = alike[0] if name not in known and len(alike) == 1 else name
    if name not in known:
        raise SfnbenchError(f"there is no column {name!r} to sort by{did_you_mean(name, known)}")
    filled = sorted(
        (row for row in table if row.get(name, "") not in ("", None)),
        key=lambda row: _rank(row[name]),
        reverse=down,
    )
    return filled + [row for row in table if row.get(name, "") in ("", None)]


def grouped(table: Table, column: str) -> dict[str, Table]:
    """The table in parts, one for each value of a column, in the order of their first rows."""
    parts: dict[str, Table] = {}
    for row in table:
        parts.setdefault(row.get(column, ""), []).append(
            {name: value for name, value in row.items() if name != column}
        )
    return parts


def _rank(cell: Any) -> tuple[int, float, str]:
    """Numbers first, what exceeds the budget next, words last."""
    text = str(cell)
    found = re.match(rf"(> )?({NUMBER})", text)
    return (1 if found[1] else 0, float(found[2]), text) if found else (2, 0.0, text)
