"""How commands print: tables in every format, and words to the person on stderr."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

Format = Literal["plain", "github", "latex", "html", "tsv", "csv", "json"]
AsFormat = Annotated[Format, typer.Option("--format", help="How to print the table.")]


def say(text: str) -> None:
    """To the person, not to the pipe: on stderr."""
    typer.echo(text, err=True)


def rendered(table: list[dict[str, Any]], style: Format) -> str:
    """The table as text."""
    from .report.tables import render

    return render(table, style)


def print_summary(results: list[Any], style: Format) -> None:
    """The table of results; the best of each problem marked where a person reads it."""
    from .report.summary import mark_best, summary

    table = summary(results)
    typer.echo(rendered(mark_best(table) if style == "plain" else table, style))
