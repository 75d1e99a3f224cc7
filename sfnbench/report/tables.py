"""A table as text, in every format that the command line offers."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

from tabulate import tabulate

FORMATS = {"plain": "simple", "github": "github", "latex": "latex", "html": "html", "tsv": "tsv"}
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
    if style == "csv":
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, shown, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return text.getvalue().rstrip("\n")
    return str(tabulate(rows, headers="keys", tablefmt=FORMATS[style], disable_numparse=True))
