"""The commands about data: data list, data fetch, data verify."""

from __future__ import annotations

import os
from functools import partial
from typing import Annotated

import typer

from ..errors import DataError
from .terminal import AsFormat, console, echo, rendered, say

Datasets = Annotated[
    list[str] | None,
    typer.Argument(metavar="[NAME]...", help="Datasets; all of them by default."),
]

commands = typer.Typer(
    help=(
        "List, download and check real data.\n\n"
        "They lie in the folder that SFNBENCH_DATA names, else in the user's cache."
    ),
    no_args_is_help=True,
    rich_markup_mode=None,
)


@commands.command("list")
def list_data(names: Datasets = None, style: AsFormat = "plain") -> None:
    """List datasets: size, where they are now, and their terms."""
    from . import catalogue

    echo(rendered(catalogue.data(names or []), style))


@commands.command()
def fetch(names: Datasets = None) -> None:
    """Download data into the user's cache and check them; files that are there are only checked.

    Prints the terms of each dataset first. Where SFNBENCH_DATA is set, nothing is downloaded.
    """
    from ..datasets import locate_file
    from . import catalogue
    from .downloads import download_bar

    chosen = catalogue.chosen_datasets(names or [])
    if folder := os.environ.get("SFNBENCH_DATA"):
        say(
            f"SFNBENCH_DATA={folder} is set: its files are checked, nothing is downloaded"
        )
    n_failed = 0
    bar = partial(download_bar, console(stderr=True))
    for name, dataset in chosen.items():
        echo(f"{name}: terms: {dataset.terms}")
        if not dataset.files:
            echo(f"    comes with {dataset.comes_with}")
        for file in dataset.files:
            try:
                echo(f"    {locate_file(file, bar)}")
            except DataError as error:
                n_failed += 1
                say(str(error), fg="red")
    if n_failed:
        raise typer.Exit(1)


@commands.command()
def verify(names: Datasets = None, style: AsFormat = "plain") -> None:
    """Check the sums of all files; exits with 1 where a file is missing or damaged."""
    from . import catalogue

    table = catalogue.verified(names or [])
    echo(rendered(table, style))
    if any(row["state"] != "ok" for row in table):
        raise typer.Exit(1)
