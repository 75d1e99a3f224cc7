"""The commands about members and suites: list, check, new."""

from __future__ import annotations

import json
from typing import Annotated, Literal, get_args

import typer

from ..words import with_article
from .terminal import (
    AsFormat,
    Device,
    Plugins,
    echo,
    rendered,
    short_path,
    terminal_width,
    use_plugins,
)

Listed = Literal[
    "optimizers", "problems", "finders", "metrics", "suites", "datasets"
]
New = Literal["optimizer", "problem", "finder", "metric", "dataset", "suite"]

commands = typer.Typer(rich_markup_mode=None)


@commands.command("list")
def list_members(
    what: Annotated[Listed | None, typer.Argument(help="Only these.")] = None,
    plugins: Plugins = None,
    style: AsFormat = "plain",
) -> None:
    """List optimizers, problems, finders, metrics, suites and datasets."""
    from . import catalogue

    use_plugins(plugins)
    kinds = [what] if what else list(get_args(Listed))
    tables = {kind: catalogue.CATALOGUES[kind]() for kind in kinds}
    if style == "json":
        echo(json.dumps(tables[what] if what else tables, indent=2))
        return
    width = terminal_width()
    for kind, table in tables.items():
        echo(f"{kind}", bold=True)
        table = [{**row, "from": short_path(row["from"])} for row in table]
        echo(rendered(table, style, width))
        if kind in catalogue.OTHERS and style == "plain":
            echo(catalogue.OTHERS[kind])
        echo("")


@commands.command()
def check(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME]...", help="Members to check; all of them by default."
        ),
    ] = None,
    plugins: Plugins = None,
    device: Annotated[
        Device, typer.Option(help="Where it is checked; auto takes a GPU.")
    ] = "cpu",
) -> None:
    """Check that optimizers, problems, finders and metrics keep the contract."""
    from ..session.device import check_device, device_kind
    from . import catalogue

    use_plugins(plugins)
    there = device_kind(device)
    check_device(there)
    n_broken = 0
    for member in catalogue.chosen(names or []):
        broken = catalogue.broken_clauses(member, there)
        n_broken += bool(broken)
        verdict, colour = ("BROKEN", "red") if broken else ("ok", None)
        echo(f"{member.kind} {member.name}: {verdict}", fg=colour)
        for clause, message in broken.items():
            echo(f"    {clause}: {message}")
    if n_broken:
        raise typer.Exit(1)


@commands.command()
def new(
    kind: New,
    name: Annotated[str, typer.Argument(help="Its name, like my_method.")],
    module: Annotated[
        bool, typer.Option("--module", help="A problem made of a module of torch.")
    ] = False,
) -> None:
    """Begin an optimizer, problem, finder, metric, dataset or suite of your own.

    Writes a file below the current folder that works as it is.
    """
    from .new import write_template

    if module and kind != "problem":
        raise typer.BadParameter(
            f"--module begins a problem, not {with_article(kind)}"
        )
    path = write_template(kind, name, is_module=module)
    if kind == "suite":
        then = f"`sfnbench run {name}`"
    elif kind == "dataset":
        then = f"`sfnbench data list`, then `dataset: {name}` in a suite"
    else:
        then = f"`sfnbench check {name}`"
    if kind == "optimizer":
        then += (
            f", `sfnbench run toy -o {name}`, and `sfnbench run standing -o {name}`"
        )
        then += " to rank it among others"
    echo(f"{path}: yours to edit; next {then}")
