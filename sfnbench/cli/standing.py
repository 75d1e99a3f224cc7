"""Results among those of an archive: what `--with` does for show, report and compare."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import DamagedError, SfnbenchError
from .terminal import Format, print_table, say, say_damaged

if TYPE_CHECKING:
    from ..report.sections import Section
    from ..standing.table import Standing

# the problems, optimizers and statuses that were asked for
Wanted = tuple[Sequence[str], Sequence[str], Sequence[str]]
With = Annotated[
    str | None,
    typer.Option(
        "--with",
        metavar="ARCHIVE",
        help="Among the methods of an archive that travels with sfnbench: standing;"
        " or of a .parquet file.",
    ),
]


def refuse_beside(
    archive: str, at: str | None, prices: list[str] | None, by: str | None
) -> None:
    """An archive has the prices and the ends of its own runs, and no tables by problem."""
    options = {"--at": at, "--price": prices}
    given = [name for name, value in options.items() if value]
    if by in ("problem", "optimizer"):
        given.append(f"--by {by}")
    if given:
        raise SfnbenchError(
            f"--with {archive} and {given[0]} do not go together: leave one out"
        )


def show_among(
    archive: str,
    folder: Path | None,
    wanted: Wanted,
    by_kind: bool,
    sort: str | None,
    style: Format,
) -> None:
    """Print where the methods of a folder stand, over all problems or by kind of saddle."""
    from ..results.tables import ordered

    found = _put_among(archive, folder, wanted)
    table = found.table(by_kind=by_kind)
    print_table(ordered(table, sort) if sort else table, style, "over")
    for line in found.remarks():
        say(line)


def put_among(archive: str, sections: list[Section]) -> list[str]:
    """Give each section of races the archive's tables with its own methods in them; remarks."""
    from ..results.tables import grouped
    from ..standing.table import Standing

    said: list[str] = []
    for section in sections:
        found = Standing.of(archive, section.results)
        if found.own:
            whole = (*found.table(), *found.table(by_kind=True))
            for heading, table in grouped(whole, "over").items():
                section.tables[f"Standing, {heading}"] = table
            said += found.remarks()
    return said or [
        f"--with {archive}: these results have nothing in common with it"
    ]


def compare_with(archive: str, folder: Path, style: Format) -> None:
    """Print each method of a folder against each of the archive."""
    found = _put_among(archive, folder)
    print_table(found.against(), style, "optimizer")
    for line in found.remarks():
        say(line)


# -- inside ----------------------------------------------------------------------------------------


def _put_among(
    archive: str, folder: Path | None, wanted: Wanted = ((), (), ())
) -> Standing:
    """The results of a folder among an archive's; without one of the archive's name, it alone."""
    from ..experiments.summary import matching
    from ..results.store import Store
    from ..session.folders import RUNS, find_results
    from ..standing.table import Standing

    own = find_results(folder or RUNS / Path(archive).stem)
    if folder is None and not own.is_dir():
        return Standing.of(archive, ())
    damaged: list[DamagedError] = []
    with Store(own) as store:
        results = list(matching(store.summaries(damaged=damaged.append), *wanted))
    say_damaged(damaged, is_all=not results)
    return Standing.of(archive, results)
