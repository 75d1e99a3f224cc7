"""The command ``sfnbench inspect``, which says whether a network is at a saddle."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from .terminal import echo

commands = typer.Typer(rich_markup_mode=None)


@commands.command()
def inspect(
    model: Annotated[
        str, typer.Argument(help="What makes the module: package.module:build.")
    ],
    data: Annotated[
        str,
        typer.Option(
            help="What gives (inputs, targets), a Dataset or a DataLoader: package.module:load."
        ),
    ],
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            help="The state dict to look at, read with weights_only=True."
        ),
    ] = None,
    criterion: Annotated[
        str,
        typer.Option(
            help="Of outputs and targets, or of (model, batch): package.module:name."
        ),
    ] = "torch.nn.CrossEntropyLoss",
    examples: Annotated[
        int | None, typer.Option(min=1, help="The first so many; all by default.")
    ] = None,
    products: Annotated[
        int,
        typer.Option(
            min=14, help="Hessian-vector products, beyond 1,000 parameters."
        ),
    ] = 300,
    style: Annotated[
        Literal["plain", "html", "json"],
        typer.Option("--format", help="How it is printed."),
    ] = "plain",
) -> None:
    """Say whether a module of your own stands at a saddle: slope, curvature, certificate."""
    from ..inspection.inspect import inspect as look
    from ..members.named import find_named, make_named

    found = look(
        functools.partial(make_named, model, "model"),
        find_named(criterion, "criterion"),
        make_named(data, "data"),
        checkpoint=checkpoint,
        n_examples=examples,
        n_products=products,
    )
    if style == "html":
        echo(found._repr_html_())
    elif style == "json":
        echo(json.dumps(found.to_dict(), indent=2))
    else:
        echo(str(found))
    if not found.is_complete:
        raise typer.Exit(130)
