"""The command line: parse, call, print.

A file of this folder holds some commands. Heavy modules are imported by the commands that need
them.
"""

from __future__ import annotations

import functools
import sys
from typing import Annotated, Any, NoReturn

import typer

from .. import __version__
from ..errors import SfnbenchError
from . import card, data, inspect, members, report, results, run
from .terminal import echo, say

app = typer.Typer(
    name="sfnbench",
    help=(
        "Benchmark optimizers near saddle points.\n\n"
        "Begin with `sfnbench list`, then `sfnbench run toy`."
    ),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # panels would double the time that --help takes
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(run.commands)
app.add_typer(results.commands)
app.add_typer(report.commands)
app.add_typer(card.commands)
app.add_typer(members.commands)
app.add_typer(inspect.commands)
app.add_typer(data.commands, name="data")


@functools.cache
def command() -> Any:
    """The command line with all its options, made once a process."""
    return typer.main.get_command(app)


def main() -> NoReturn:
    """Run the command line.

    Exits with 0, 1 where runs failed, 2 on wrong use, 3 on a regression, 130 on Ctrl-C.
    """
    try:
        _call()
    except SystemExit as end:
        engine = sys.modules.get("sfnbench.session.engines.ranks")
        if engine:
            engine.end_process(end.code if isinstance(end.code, int) else 1)
        raise


def _call() -> NoReturn:
    try:
        command()(prog_name="sfnbench")
    except SfnbenchError as error:
        say(str(error), fg="red")
        sys.exit(2)
    except BrokenPipeError:  # `sfnbench list | head`
        sys.stderr.close()
        sys.exit(0)
    sys.exit(0)


def _print_version(is_asked: bool) -> None:
    if is_asked:
        echo(f"sfnbench {__version__}")
        raise typer.Exit


@app.callback()
def _global_options(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_print_version,
            is_eager=True,
            help="Print the version and stop.",
        ),
    ] = False,
) -> None:
    pass
