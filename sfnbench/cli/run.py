"""The commands that execute suites or check them: run, validate, env."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ..errors import DamagedError, SfnbenchError
from ..words import counted, first_line
from . import completion
from .terminal import (
    AsFormat,
    Device,
    Format,
    Plugins,
    collect_seldom,
    console,
    echo,
    print_table,
    rendered,
    say,
    say_broken,
    say_damaged,
    use_plugins,
)

if TYPE_CHECKING:
    from ..records import Result
    from ..session.plans import Planned, Request

SuiteName = Annotated[
    str,
    typer.Argument(
        metavar="SUITE",
        help="A suite's name (see `sfnbench list suites`) or file.",
        autocompletion=completion.suite_names,
    ),
]
Profile = Annotated[
    str | None,
    typer.Option(
        help="A variant that the suite defines, often `quick`.",
        autocompletion=completion.profile_names,
    ),
]
Optimizers = Annotated[
    list[str] | None,
    typer.Option(
        "-o",
        "--optimizer",
        help="Only this optimizer or finder; the suite need not have it. Repeatable.",
        autocompletion=completion.optimizers,
    ),
]
Problems = Annotated[
    list[str] | None,
    typer.Option(
        "-p",
        "--problem",
        help="Only this problem. Repeatable.",
        autocompletion=completion.problems,
    ),
]

EngineName = Annotated[
    str,
    typer.Option(
        help="processes: as many as --jobs; inline: all in this one, to debug;"
        " dask: on a scheduler's workers, or a cluster made here; slurm: as job arrays;"
        " ranks: each run by all processes of torchrun."
    ),
]
Scheduler = Annotated[
    str | None,
    typer.Option(metavar="ADDRESS", help="The scheduler of --engine dask."),
]
SlurmOptions = Annotated[
    list[str] | None,
    typer.Option(
        metavar="KEY=VALUE|FILE",
        help="For --engine slurm: sbatch's option, or a YAML file of them. Repeatable.",
    ),
]

Watchers = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME[:PLACE]",
        help="Hand curves and results to a tracker too: tensorboard:FOLDER, mlflow:URI or"
        " wandb:PROJECT. Repeatable.",
    ),
]

Choices = dict[str, Any]  # of results, as `session.preview` takes them
CheckpointEvery = Annotated[
    float,
    typer.Option(
        metavar="SECONDS", min=0, help="Keep the state of a long race so often."
    ),
]

commands = typer.Typer(rich_markup_mode=None)


@commands.command()
def run(
    suite: SuiteName,
    optimizer: Optimizers = None,
    problem: Problems = None,
    profile: Profile = None,
    seeds: Annotated[
        int | None,
        typer.Option(help="How many seeds, instead of what the suite says."),
    ] = None,
    device: Annotated[
        Device, typer.Option(help="auto takes a GPU where there is one.")
    ] = "auto",
    jobs: Annotated[
        int | None,
        typer.Option(help="Runs at a time; one for each core by default."),
    ] = None,
    engine: EngineName = "processes",
    scheduler: Scheduler = None,
    slurm: SlurmOptions = None,
    checkpoint: CheckpointEvery = 300.0,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the results; runs/SUITE by default."),
    ] = None,
    fresh: Annotated[
        bool,
        typer.Option(
            "--fresh", help="Execute every run, also those with a result."
        ),
    ] = False,
    only: Annotated[
        Literal["failed"] | None,
        typer.Option(help="failed: re-run failed runs, no others."),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Print what would be executed, and stop."),
    ] = False,
    watch: Watchers = None,
    plugins: Plugins = None,
    style: AsFormat = "plain",
) -> None:
    """Run a suite and print its table.

    Runs that have a result are not executed again, so a killed `run` goes on where it was.
    Parameters given as ranges are tuned first: tuned.yaml, beside the results, has the winners.
    """
    from ..session.engines import check_choices
    from ..session.plans import Request
    from ..session.session import run_session
    from ..watchers import watched
    from .progress import Terminal

    use_plugins(plugins)
    options = _engine_options(scheduler, slurm or ())
    check_choices(engine, jobs, options=options)
    if engine == "ranks" and _has_served():
        return
    picked = _tuple(optimizer), _tuple(problem)
    request = Request(suite, profile, *picked, seeds, device)
    request.check()
    if dry_run:
        collect_seldom()
    terminal = Terminal(console(stderr=True))
    observer = watched(terminal, watch or ())
    planned = _planned(request, forks=engine == "processes" and not dry_run)
    for line in planned.left_out:
        say(line)
    choices: Choices = {"out": out, "fresh": fresh, "only_failed": only == "failed"}
    if dry_run:
        _print_preview(planned, choices, style)
        return
    try:
        folder = run_session(
            planned,
            engine=engine,
            engine_options=options,
            jobs=jobs,
            checkpoint_s=checkpoint,
            observer=observer,
            **choices,
        )
    except KeyboardInterrupt:
        _say_stopped(terminal.done, fresh)
        raise typer.Exit(130) from None
    _print_results(folder, style)


@commands.command()
def validate(suite: SuiteName, plugins: Plugins = None) -> None:
    """Check a suite without running it.

    Prints every mistake at once, each with its line and column.
    """
    from ..session.plans import Request
    from ..session.session import tuning_runs
    from ..suite.plan import missing_data

    collect_seldom()
    use_plugins(plugins)
    request = Request(suite, device="cpu")
    planned = request.recall() or request.make()
    loaded, runs = planned.suite, planned.runs
    n_trials = len(tuning_runs(loaded, runs))
    line = f"{loaded.path}: all well, {counted(len(runs), 'run')}"
    line += f" of {counted(len(loaded.seeds), 'seed')}"
    if loaded.tune:
        n_seeds = counted(loaded.tune.seeds, "seed")
        line += f", after {counted(n_trials, 'tuning run')} of {n_seeds}"
    echo(line)
    for missing in () if planned.has_data else missing_data(runs):
        say(missing)


@commands.command()
def schema() -> None:
    """Print the JSON schema of suites, for editors.

    The suites that ship name it in their first line, as the YAML extensions of editors want it.
    """
    from ..suite.json_schema import json_schema

    echo(json.dumps(json_schema(), indent=1))


@commands.command()
def env(style: AsFormat = "plain") -> None:
    """Print versions, machine and threads, which every result carries."""
    from .. import environment

    facts = environment.describe()
    if style == "json":
        echo(json.dumps(facts, indent=2))
        return
    table = [{"what": key, "value": str(value)} for key, value in facts.items()]
    echo(rendered(table, style))


# -- inside ----------------------------------------------------------------------------------------


def _tuple(names: list[str] | None) -> tuple[str, ...] | None:
    return None if names is None else tuple(names)


def _say_stopped(done: str, fresh: bool) -> None:
    """How far it got, and the command that goes on."""
    command = shlex.join(["sfnbench", *sys.argv[1:]])
    then = "starts from the beginning" if fresh else "goes on from there"
    say(f"\nstopped: {done} done and stored; `{command}` {then}")


def _has_served() -> bool:
    """Whether this process was another one's to command, and that has no more to do."""
    from ..session.engines import ranks

    if ranks.is_first():
        return False
    ranks.execute_orders()
    return True


def _planned(request: Request, forks: bool) -> Planned:
    """The plan that was kept for the request, or a new one."""
    planned = request.recall()
    if planned is not None:
        return planned
    if forks:
        from ..session.engines._server import start_server

        start_server()  # it loads torch while this process reads the suite
    return request.make()


def _engine_options(scheduler: str | None, slurm: Iterable[str]) -> dict[str, Any]:
    """What an engine is given of its own."""
    options: dict[str, Any] = {"scheduler": scheduler} if scheduler else {}
    for each in slurm:
        options.update(_slurm_options(each))
    return options


def _slurm_options(given: str) -> dict[str, Any]:
    """Options as YAML values, from ``KEY=VALUE`` or the path of a file."""
    import yaml

    key, is_pair, value = given.partition("=")
    try:
        found = yaml.safe_load(value if is_pair else Path(given).read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SfnbenchError(f"--slurm {given}: {first_line(error)}") from error
    if is_pair:
        return {key: found}
    if not isinstance(found, dict):
        raise SfnbenchError(
            f"--slurm {given}: the file has to hold a mapping, as `partition: gpu`"
        )
    return {str(name): each for name, each in found.items()}


def _print_preview(planned: Planned, choices: Choices, style: Format) -> None:
    from ..session.session import preview

    suite, table = planned.suite, preview(planned, **choices)
    echo(rendered(table, style))
    n_tuned = sum(row["run"] == "tuning" for row in table)
    if n_tuned and suite.tune:
        n_trials = counted(n_tuned * suite.tune.trials, "tuning run")
        say(f"{n_trials}, then {counted(len(table) - n_tuned, 'run')}")


def _print_results(folder: Path, style: Format) -> None:
    """The table of a folder, and what to do next; exits with 1 where a run failed."""
    from ..experiments.summary import summary
    from ..results.store import Store
    from .results import keeping_remnants

    damaged: list[DamagedError] = []
    results: list[Result] = []
    with Store(folder) as store:
        table = summary(
            keeping_remnants(store.summaries(damaged=damaged.append), results)
        )
    print_table(table, style)
    say_damaged(damaged)
    quoted = shlex.quote(str(folder))
    say(
        f"\nResults in {folder}: `sfnbench show {quoted}` prints this table again,"
        f" `sfnbench export {quoted} FILE.csv` writes a row per run and seed."
    )
    say_broken(results, folder)
    if any(result.status.failed for result in results):
        raise typer.Exit(1)
