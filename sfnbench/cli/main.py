"""The command line: parse, call, print.

Heavy modules are imported by the commands that need them.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, get_args

import typer

from .. import __version__
from ..errors import DamagedError, DataError, SfnbenchError
from .results import reading
from .terminal import AsFormat, print_table, rendered, say, say_broken, say_damaged

app = typer.Typer(
    name="sfnbench",
    help="Benchmark optimizers near saddle points.\n\nBegin with `sfnbench list`, then `sfnbench run toy`.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # panels would double the time that --help takes
    context_settings={"help_option_names": ["-h", "--help"]},
)
data = typer.Typer(
    help="List, download and check real data.\n\nIt is in the folder that SFNBENCH_DATA names, else in the user's cache.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(reading)
app.add_typer(data, name="data")

Device = Literal["auto", "cpu", "cuda"]
Engine = Literal["processes", "inline"]
Listed = Literal["optimizers", "problems", "finders", "suites", "datasets"]
New = Literal["optimizer", "problem", "finder", "suite"]

Plugins = Annotated[
    list[Path] | None,
    typer.Option("--plugins", help="Look for members in this folder or file too; may be repeated."),
]
SuiteName = Annotated[
    str,
    typer.Argument(metavar="SUITE", help="A suite's name (see `sfnbench list suites`) or file."),
]
Datasets = Annotated[
    list[str] | None, typer.Argument(metavar="[NAME]...", help="Datasets; all of them by default.")
]
Profile = Annotated[
    str | None, typer.Option(help="A variant that the suite defines, often `quick`.")
]


@app.command()
def run(
    suite: SuiteName,
    optimizer: Annotated[
        list[str] | None,
        typer.Option(
            "-o",
            "--optimizer",
            help="Only this one (or this finder), even one that the suite lacks; may be repeated.",
        ),
    ] = None,
    problem: Annotated[
        list[str] | None, typer.Option("-p", "--problem", help="Only this one; may be repeated.")
    ] = None,
    profile: Profile = None,
    seeds: Annotated[
        int | None, typer.Option(help="How many seeds, instead of what the suite says.")
    ] = None,
    device: Annotated[Device, typer.Option(help="auto takes a GPU where there is one.")] = "auto",
    jobs: Annotated[int | None, typer.Option(help="Runs at a time; by default one a core.")] = None,
    engine: Annotated[
        Engine, typer.Option(help="A fresh process a run, or all in this one, to debug.")
    ] = "processes",
    out: Annotated[
        Path | None, typer.Option(help="Folder for the results; by default runs/SUITE.")
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Execute again what has a result already.")
    ] = False,
    only: Annotated[
        Literal["failed"] | None, typer.Option(help="Execute again what broke, and nothing else.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be executed, and stop.")
    ] = False,
    plugins: Plugins = None,
    style: AsFormat = "plain",
) -> None:
    """Run a suite and print its table.

    What has a result already is not run again; a killed run goes on where it was. Parameters given
    as ranges are tuned first; what came of that is in tuned.yaml beside the results.
    """
    from ..experiments.summary import summary
    from ..results.store import Store
    from ..session.engines.server import start_server
    from ..session.session import preview, run_suite
    from ..suite.reading import load_suite
    from ..words import counted
    from .progress import Terminal

    if engine == "processes" and not dry_run:
        start_server()  # it loads torch while this process does
    _add(plugins)
    loaded = load_suite(suite, profile)
    if dry_run:
        table = preview(
            loaded, optimizers=optimizer, problems=problem, seeds=seeds, device=device,
            out=out, fresh=fresh, only_failed=only == "failed",
        )  # fmt: skip
        typer.echo(rendered(table, style))
        n_tuned = sum(row["run"] == "tuning" for row in table)
        if n_tuned and loaded.tune:
            say(
                f"{counted(n_tuned * loaded.tune.trials, 'tuning run')}, then {counted(len(table) - n_tuned, 'run')}"
            )
        return
    watcher = Terminal(_console(stderr=True))
    try:
        folder = run_suite(
            loaded, optimizers=optimizer, problems=problem, seeds=seeds, device=device, engine=engine, jobs=jobs,
            out=out, fresh=fresh, only_failed=only == "failed", watcher=watcher,
        )  # fmt: skip
    except KeyboardInterrupt:
        then = "begins anew" if fresh else "goes on from there"
        say(
            f"\nstopped: {watcher.done} done and kept; `{shlex.join(['sfnbench', *sys.argv[1:]])}` {then}"
        )
        raise typer.Exit(130) from None
    damaged: list[DamagedError] = []
    with Store(folder) as store:
        results = list(store.summaries(damaged=damaged.append))
    print_table(summary(results), results, style)
    say_damaged(damaged)
    say(
        f"\nResults in {folder}: `sfnbench show {folder}` prints this table again,"
        f" `sfnbench export {folder} FILE.csv` writes a row per run and seed."
    )
    say_broken(results, folder)
    if any(result.status.failed for result in results):
        raise typer.Exit(1)


@app.command("list")
def list_members(
    what: Annotated[Listed | None, typer.Argument(help="Only these.")] = None,
    plugins: Plugins = None,
    style: AsFormat = "plain",
) -> None:
    """List optimizers, problems, finders, suites and datasets."""
    from . import catalogue

    _add(plugins)
    kinds = [what] if what else list(get_args(Listed))
    tables = {kind: catalogue.CATALOGUES[kind]() for kind in kinds}
    if style == "json":
        typer.echo(json.dumps(tables[what] if what else tables, indent=2))
        return
    for kind, table in tables.items():
        typer.secho(f"{kind}", bold=True)
        typer.echo(rendered(table, style) + "\n")


@app.command()
def validate(suite: SuiteName, plugins: Plugins = None) -> None:
    """Check a suite without running it.

    Every mistake is said at once, each with its line and column.
    """
    from ..session.session import tuning_runs
    from ..suite.plan import missing_data, plan
    from ..suite.reading import load_suite
    from ..words import counted

    _add(plugins)
    loaded = load_suite(suite)
    runs = plan(loaded)
    n_trials = len(tuning_runs(loaded, runs))
    first = ""
    if loaded.tune:
        first = f", after {counted(n_trials, 'tuning run')} of {counted(loaded.tune.seeds, 'seed')}"
    typer.echo(
        f"{loaded.path}: all well, {counted(len(runs), 'run')} of {counted(len(loaded.seeds), 'seed')}{first}"
    )
    for line in missing_data(runs):
        say(line)


@app.command()
def check(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME]...", help="Members to check; all of them by default."),
    ] = None,
    plugins: Plugins = None,
) -> None:
    """Check that optimizers, problems and finders keep the contract."""
    from . import catalogue

    _add(plugins)
    n_broken = 0
    for member in catalogue.chosen(names or []):
        broken = catalogue.broken_clauses(member)
        n_broken += bool(broken)
        typer.secho(
            f"{member.kind} {member.name}: {'BROKEN' if broken else 'ok'}",
            fg="red" if broken else None,
        )
        for clause, message in broken.items():
            typer.echo(f"    {clause}: {message}")
    if n_broken:
        raise typer.Exit(1)


@app.command()
def new(kind: New, name: Annotated[str, typer.Argument(help="Its name, like my_method.")]) -> None:
    """Begin an optimizer, problem, finder or suite of your own.

    Writes a file below the current folder that works as it is.
    """
    from . import scaffold

    path = scaffold.write(kind, name)
    then = f"sfnbench run {name}" if kind == "suite" else f"sfnbench check {name}"
    if kind == "optimizer":
        then += f"` and `sfnbench run toy -o {name}"
    typer.echo(f"{path}: now yours; next `{then}`")


@app.command()
def env(style: AsFormat = "plain") -> None:
    """Print versions, machine and threads.

    It is what every result carries of its circumstances.
    """
    from .. import environment

    facts = environment.describe()
    if style == "json":
        typer.echo(json.dumps(facts, indent=2))
    else:
        typer.echo(
            rendered([{"what": key, "value": str(value)} for key, value in facts.items()], style)
        )


@data.command("list")
def list_data(names: Datasets = None, style: AsFormat = "plain") -> None:
    """Say what data there are, how large, where they are now, and on which terms."""
    from . import catalogue

    table = catalogue.data(names or [])
    typer.echo(rendered(table, style))


@data.command()
def fetch(names: Datasets = None) -> None:
    """Download data into the user's cache and check them; what is there already is checked alone.

    The terms of each dataset are printed first. With SFNBENCH_DATA set nothing is downloaded.
    """
    from functools import partial

    from ..datasets import locate
    from . import catalogue
    from .downloads import download_bar

    chosen = catalogue.chosen_datasets(names or [])
    if folder := os.environ.get("SFNBENCH_DATA"):
        say(f"SFNBENCH_DATA={folder} is set: nothing is downloaded, its files are checked")
    n_failed = 0
    for name, dataset in chosen.items():
        typer.echo(f"{name}: terms: {dataset.terms}")
        if not dataset.files:
            typer.echo(f"    comes with {dataset.comes_with}")
        for file in dataset.files:
            try:
                typer.echo(f"    {locate(file, partial(download_bar, _console(stderr=True)))}")
            except DataError as error:
                n_failed += 1
                typer.secho(str(error), err=True, fg="red")
    if n_failed:
        raise typer.Exit(1)


@data.command()
def verify(names: Datasets = None, style: AsFormat = "plain") -> None:
    """Check the sums of all files; exits with 1 where one is missing or damaged."""
    from . import catalogue

    table = catalogue.verified(names or [])
    typer.echo(rendered(table, style))
    if any(row["state"] != "ok" for row in table):
        raise typer.Exit(1)


def main() -> NoReturn:
    """Run the command line.

    Exits with 0, 1 where runs failed, 2 on wrong use, 3 on a regression, 130 on Ctrl-C.
    """
    try:
        app(prog_name="sfnbench")
    except SfnbenchError as error:
        typer.secho(str(error), err=True, fg="red")
        sys.exit(2)
    except BrokenPipeError:  # `sfnbench list | head`
        sys.stderr.close()
        sys.exit(0)
    sys.exit(0)


# -- inside ----------------------------------------------------------------------------------------


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"sfnbench {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Print the version and stop."
        ),
    ] = False,
) -> None:
    pass


def _add(plugins: list[Path] | None) -> None:
    from ..members import registry

    for path in plugins or ():
        registry.add_plugins(path)


def _console(stderr: bool) -> Any:
    from rich.console import Console

    return Console(stderr=stderr)
