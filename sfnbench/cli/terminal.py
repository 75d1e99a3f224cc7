"""How commands print: tables in every format, and words to the person on stderr."""

from __future__ import annotations

import gc
import html
import os
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ..words import one_line, printable

if TYPE_CHECKING:
    from ..errors import DamagedError
    from ..records import Result
    from ..results.tables import Table

Device = Literal["auto", "cpu", "cuda"]
Format = Literal["plain", "github", "latex", "html", "tsv", "csv", "json"]
# how each format writes a remark beside a table
REMARKS = {
    "plain": "{}",
    "github": "{}",
    "latex": "% {}",
    "html": "<p>{}</p>",
    "tsv": "# {}",
}
FOR_PEOPLE = ("plain", "github", "latex", "html")
Plugins = Annotated[
    list[Path] | None,
    typer.Option(
        "--plugins", help="Look for members in this folder or file too. Repeatable."
    ),
]
AsFormat = Annotated[
    Format, typer.Option("--format", help="How to print the table.")
]


def echo(text: str, **style: Any) -> None:
    """Print text, whatever wrote it: control characters reach the terminal as escapes."""
    err = style.pop("err", False)
    if style and not os.environ.get("NO_COLOR"):  # nor bold: no-color.org
        text = typer.style(printable(text), **style)
    else:
        text = printable(text)
    typer.echo(text, err=err)


def say(text: str, **style: Any) -> None:
    """To the person, not to the pipe: on stderr."""
    echo(text, err=True, **style)


def short_path(path: str) -> str:
    """The path from the current folder, or from home; elsewhere as it is."""
    for folder, sign in ((Path.cwd(), ""), (Path("~").expanduser(), "~/")):
        if Path(path).is_relative_to(folder):
            return sign + Path(path).relative_to(folder).as_posix()
    return path


def in_words(text: str, style: Format) -> str:
    """A heading or a remark beside tables of that format."""
    return REMARKS.get(style, "{}").format(
        html.escape(text) if style == "html" else text
    )


def rendered(table: Table, style: Format, width: int | None = None) -> str:
    """The table as text, folded to a width where one is given."""
    from ..results.tables import render

    return render(table, style, width)


def print_table(table: Table, style: Format, by: str | None = None) -> None:
    """The table, or to people one for each value of a column, and its signs explained."""
    from ..results.tables import grouped, legend

    if style not in FOR_PEOPLE:
        by = None  # a column there
    for i, (name, part) in enumerate(
        (grouped(table, by) if by else {"": table}).items()
    ):
        if by:
            echo(f"{chr(10) if i else ''}{in_words(name, style)}")
        echo(rendered(part, style))
    if style in FOR_PEOPLE and (signs := legend(table)):
        echo(f"{chr(10) if style == 'github' else ''}{in_words(signs, style)}")


def say_damaged(errors: Iterable[DamagedError], is_all: bool = False) -> None:
    """What cannot be read, each reason once.

    Where that is all there is, the command ends as on any file it cannot read.
    """
    from ..report.reasons import damage

    lines = damage(errors)
    for line in lines:
        say(one_line(line))
    if lines and is_all:
        raise typer.Exit(2)


def say_broken(results: list[Result], folder: Path) -> None:
    """Why runs broke and seeds diverged, and the way back."""
    from ..report.reasons import reasons, rerun_hint

    for line in filter(None, [*reasons(results), rerun_hint(results, folder)]):
        say(one_line(line))


def collect_seldom() -> None:
    """Look for garbage seldom: thousands of results are many objects, and none of them is any."""
    gc.freeze()
    gc.set_threshold(100_000, 50, 50)


def use_plugins(paths: list[Path] | None) -> None:
    """Look for members in these folders or files, too."""
    from ..members import registry

    for path in paths or ():
        registry.add_plugins(path)


def terminal_width() -> int | None:
    """The columns of the terminal that words go to; None where they go elsewhere.

    It does without rich, which takes half as long to import as `list` takes.
    """
    if not sys.stdout.isatty():
        return None
    return shutil.get_terminal_size().columns


def console(stderr: bool) -> Any:
    """A console of rich's, which knows whether it is a terminal."""
    from rich.console import Console

    return Console(stderr=stderr)
