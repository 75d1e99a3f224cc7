"""The command that judges a method: card."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from . import completion
from .terminal import (
    AsFormat,
    Plugins,
    console,
    echo,
    in_words,
    rendered,
    say,
    use_plugins,
)

commands = typer.Typer(rich_markup_mode=None)


@commands.command()
def card(
    method: Annotated[
        str,
        typer.Argument(
            metavar="METHOD",
            help="An optimizer, as suites name it.",
            autocompletion=completion.methods,
        ),
    ],
    given: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="NAME=VALUE", help="One of its parameters. Repeatable."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="FILE", help="card_METHOD.html by default; or .pdf."
        ),
    ] = None,
    plugins: Plugins = None,
    style: AsFormat = "plain",
) -> None:
    """Make an optimizer's card: minutes of runs, one page.

    How its time to escape grows with nearness, curvature, dimension, index, noise beside gradient
    descent, momentum, Adam and saddle-free Newton; what catches it; which changes of coordinates
    it is indifferent to; what a step costs; a small network at equal cost. Runs that are there are
    not made again.
    """
    from ..card.making import make_card
    from ..card.suites import parameters
    from ..results.tables import as_records
    from .progress import Terminal

    use_plugins(plugins)
    params = parameters(given or [])
    made = make_card(method, params, Terminal(console(stderr=True)))
    tables = made.tables
    if style == "json":
        records = {title: as_records(table) for title, table in tables.items()}
        echo(json.dumps(records, indent=2))
    else:
        for title, table in tables.items():
            heading = (
                f"## {title}\n" if style == "github" else in_words(title, style)
            )
            echo(f"{heading}\n{rendered(table, style)}\n")
    file = out or Path(f"card_{method}.html")
    say(f"The card is in {made.write(file)}")
