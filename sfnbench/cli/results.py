"""The commands that read results: show, export, merge, compare."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ..errors import DamagedError, SfnbenchError
from ..words import counted
from . import standing
from .terminal import (
    AsFormat,
    Format,
    collect_seldom,
    echo,
    print_table,
    rendered,
    say,
    say_broken,
    say_damaged,
)

if TYPE_CHECKING:
    from ..records import Result
    from ..results.cells import Spread
    from ..results.tables import Table


PricesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--price",
        metavar="KIND=GRADIENTS",
        help="The price of a loss (1/3), grad (1), hvp (2) or hessian (2 a parameter), "
        "as in hvp=1.65; repeatable.",
    ),
]

commands = typer.Typer(rich_markup_mode=None)


@commands.command()
def show(
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="[DIR]",
            help="A folder of results; by default the last one written to in runs/.",
        ),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(
            metavar="AXIS=NUMBER",
            help="Where each run stood at steps=N, epochs=N, cost=N (gradients) or seconds=N.",
        ),
    ] = None,
    optimizers: Annotated[
        list[str] | None,
        typer.Option(
            "-o",
            "--optimizer",
            help="Only this one, by name, label or pattern ('stall*'); may be repeated.",
        ),
    ] = None,
    problems: Annotated[
        list[str] | None,
        typer.Option(
            "-p", "--problem", help="Only this one, likewise; may be repeated."
        ),
    ] = None,
    statuses: Annotated[
        list[str] | None,
        typer.Option("--status", help="Only what has a seed of this status."),
    ] = None,
    sort: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="By this column or its first words; -COLUMN downwards, as in --sort=-seconds.",
        ),
    ] = None,
    by: Annotated[
        Literal["problem", "optimizer", "kind"] | None,
        typer.Option(help="A table for each; kind is that of the saddle."),
    ] = None,
    interval: Annotated[
        bool,
        typer.Option(
            "--interval",
            help="In brackets the 95 % interval of the median, not the range over seeds.",
        ),
    ] = False,
    prices: PricesOption = None,
    archive: standing.With = None,
    style: AsFormat = "plain",
) -> None:
    """Print the table of results, at the end or at an equal budget; sorted, filtered, grouped.

    --with standing prints where each optimizer stands among those of an archive instead.
    """
    from ..experiments.summary import matching
    from ..results.store import Store
    from ..results.tables import ordered
    from ..session.folders import find_results

    wanted = (problems or (), optimizers or (), statuses or ())
    if archive:
        standing.refuse_beside(archive, at, prices, by)
        standing.show_among(archive, folder, wanted, by == "kind", sort, style)
        return
    _refuse_several(by, style)
    collect_seldom()
    damaged: list[DamagedError] = []
    bare: list[Result] = []  # thousands would fill the memory
    folder = find_results(folder)
    with Store(folder) as store:
        read = store.results if at or prices else store.summaries
        stored = read(damaged=damaged.append)
        picked = keeping_remnants(matching(stored, *wanted), bare)
        table = _tabulated(_priced(picked, prices), at, interval, by)
    say_damaged(damaged, is_all=not bare)
    print_table(ordered(table, sort) if sort else table, style, by)
    say_broken(bare, folder)


@commands.command()
def export(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR", help="A folder of results, or its suite's name."
        ),
    ],
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="FILE.csv, FILE.jsonl or FILE.parquet."
        ),
    ],
    series: Annotated[
        bool,
        typer.Option(
            "--series",
            help="The curves: a row per run, seed and step (csv, parquet).",
        ),
    ] = False,
) -> None:
    """Write results to a file, a row per run and seed."""
    from ..experiments.export_curves import export_curves
    from ..results.export import export as rows_to
    from ..results.store import Store
    from ..session.folders import find_results

    damaged: list[DamagedError] = []
    with Store(find_results(folder)) as store:
        write = export_curves if series else rows_to
        n_rows = write(store, file, damaged=damaged.append)
    echo(f"{file}: {counted(n_rows, 'row')}")
    say_damaged(damaged, is_all=not n_rows)


@commands.command()
def merge(
    folders: Annotated[
        list[Path],
        typer.Argument(
            metavar="DIR... OUT", help="Folders of results, and the one to make."
        ),
    ],
) -> None:
    """Join folders of results that were made apart into one.

    Where two of them hold the same run, the result in OUT stays, else the first one counts. Where
    their numbers differ, that is said.
    """
    from ..results.merge import merge as join

    *sources, target = folders
    if not sources:
        raise SfnbenchError(
            "merge needs folders to join and one to write: DIR... OUT"
        )
    merged = join(sources, target)
    echo(f"{target}: {counted(merged.n_added, 'result')} added")
    for line in merged.conflicts:
        say(line)


@commands.command()
def compare(
    before: Annotated[
        str,
        typer.Argument(
            metavar="A",
            help="A folder of results, or a commit that left some in runs/.",
        ),
    ],
    after: Annotated[
        str | None,
        typer.Argument(metavar="[B]", help="Likewise, to hold against A."),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Show what stayed the same, too.")
    ] = False,
    bits: Annotated[
        bool,
        typer.Option(
            "--bits",
            help="Whether each run of both folders is the same to the bit, timings aside.",
        ),
    ] = False,
    archive: standing.With = None,
    style: AsFormat = "plain",
) -> None:
    """Say what became worse or better from A to B; exits with 3 where anything became worse.

    Counts are compared by equality; losses, escapes and times seed by seed. Times need the same
    machine. With --bits every stored number counts, and 3 says that one differs: from where on, and
    how the environments do. With --with standing, A is compared with each method of the archive.
    """
    from ..experiments.compare import compare as compare_results
    from ..results.compare import is_regression, share_reasons
    from ..results.loading import load

    if archive and after is None and not bits:
        standing.compare_with(archive, Path(before), style)
        return
    if archive or after is None:
        raise SfnbenchError("compare takes two sides: A B, or A --with ARCHIVE")
    if bits:
        _compare_bits(Path(before), Path(after))
        return
    damaged: list[DamagedError] = []
    first, second = (load(side, damaged=damaged.append) for side in (before, after))
    say_damaged(damaged)
    if not first.keys() & second.keys():
        raise SfnbenchError(
            f"{before} and {after} have nothing in common: no run of the same suite, "
            "problem and optimizer"
        )
    changes = compare_results(first, second)
    lines: list[str] = []
    shown = [change for change in changes if everything or change.verdict != "same"]
    if style == "plain":
        shown, lines = share_reasons(shown)
    if shown or style != "plain":
        echo(rendered([change.line() for change in shown], style))
    for line in lines:
        echo(line)
    counts = Counter(change.verdict for change in changes)
    say(", ".join(f"{n} {verdict}" for verdict, n in counts.most_common()))
    if counts.keys() == {"not comparable"}:
        raise SfnbenchError(f"nothing of {before} and {after} can be compared")
    if is_regression(changes):
        raise typer.Exit(3)


def keeping_remnants(
    results: Iterable[Result], bare: list[Result]
) -> Iterator[Result]:
    """The same results; what may be said of those that broke is left in `bare`."""
    from ..report.reasons import remnant

    for result in results:
        bare.append(remnant(result))
        yield result


# -- inside ----------------------------------------------------------------------------------------


def _refuse_several(by: str | None, style: Format) -> None:
    """Of kinds of saddle one table is made in any case."""
    if by in ("problem", "optimizer") and style in ("csv", "json"):
        raise SfnbenchError(
            f"--by makes several tables, and {style} holds one: sort it by {by} instead"
        )


def _priced(
    results: Iterable[Result], prices: list[str] | None
) -> Iterator[Result]:
    """The same results, their cost by these prices."""
    from ..core.cost import price_list
    from ..experiments.race.at_budget import repriced

    priced = price_list(prices or ())
    for result in results:
        yield repriced(result, priced)


def _tabulated(
    results: Iterable[Result], at: str | None, interval: bool, by: str | None
) -> Table:
    """The table of results, at their end, or where ``--at`` says, or by kind of saddle."""
    from ..experiments.race.at_budget import at_budget, budget_from
    from ..experiments.summary import summary

    spread: Spread = "interval" if interval else "range"
    if by == "kind":
        return _by_kind(results, at)
    if at:
        return at_budget(results, *budget_from(at), spread)
    return summary(results, spread)


def _by_kind(results: Iterable[Result], at: str | None) -> Table:
    from ..experiments.by_kind import by_kind

    if at:
        raise SfnbenchError(f"--by kind is of whole runs: leave out --at {at}")
    return by_kind(results)


def _compare_bits(before: Path, after: Path) -> None:
    from ..results.bits import compare_bits
    from ..results.store import Store

    with Store(before) as first, Store(after) as second:
        found = compare_bits(first, second)
    say_damaged(found.damaged)
    if not found.n_shared:
        raise SfnbenchError(
            f"{before} and {after} have no run of the same suite, problem and method in common;"
            " run one suite into both"
        )
    for line in found.lines():
        echo(line)
    say(found.total())
    if found.different or found.damaged:
        raise typer.Exit(3)
