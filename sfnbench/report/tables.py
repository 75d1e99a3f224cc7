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
    """The table as text in one of the formats plain, github, latex, html, tsv, csv and json."""
    shown = [name for name in (table[0] if table else ()) if any(row[name] not in ("", None) for row in table)]
    rows = [{name: row[name] for name in shown} for row in table]
    if style == "json":
        return json.dumps(rows, indent=2)
    if style == "csv":
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, shown, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return text.getvalue().rstrip("\n")
    return str(tabulate(rows, headers="keys", tablefmt=FORMATS[style], disable_numparse=True))
