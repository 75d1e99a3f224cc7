"""The command that writes the page of all results: report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ..words import one_line
from . import standing
from .results import PricesOption
from .terminal import (
    AsFormat,
    Format,
    collect_seldom,
    echo,
    in_words,
    rendered,
    say,
)

if TYPE_CHECKING:
    from ..results.tables import Table

BudgetAxis = Literal["steps", "cost", "seconds"]

commands = typer.Typer(rich_markup_mode=None)


@commands.command()
def report(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[DIR]...",
            help="Folders of results; by default the last one written to in runs/.",
        ),
    ] = None,
    out: Annotated[
        Path,
        typer.Option("-o", "--out", metavar="FILE.html", help="Where to write it."),
    ] = Path("report.html"),
    figures: Annotated[
        Path | None,
        typer.Option(help="Draw them into this folder too, as SVG, PDF and PNG."),
    ] = None,
    axis: Annotated[
        BudgetAxis, typer.Option(help="What figures of races are drawn against.")
    ] = "cost",
    prices: PricesOption = None,
    archive: standing.With = None,
    style: AsFormat = "plain",
) -> None:
    """Write one HTML file with the tables and figures of all results.

    It needs no network. What cannot be shown, it says; the rest is there. Critical points have
    tables of their own, printed with their controls: they vary the cut-off, and take the same
    statistic of start points and of what has not converged.
    """
    from ..core.cost import price_list
    from ..experiments.race.scaling import table
    from ..report.html import write_page
    from ..report.sections import gather
    from ..session.folders import find_results, latest

    collect_seldom()
    asked = [find_results(each) for each in folders] if folders else [latest()]
    sections, notes = gather(asked, price_list(prices or ()))
    if archive:
        notes += standing.put_among(archive, sections)
    for note in notes:
        say(one_line(note))
    of = {
        experiment: [
            r for s in sections if s.experiment == experiment for r in s.results
        ]
        for experiment in ("critical_points", "race")
    }
    _print_critical_points(of["critical_points"], style)
    families = [
        each for s in sections if s.experiment == "race" for each in s.growths
    ]
    _print_scaling(table(families), style)
    say(f"\nThe report is in {write_page(sections, notes, out)}")
    if figures:
        from ..report import draw_matplotlib

        for path in draw_matplotlib.write_figures(sections, figures, axis):
            say(str(path))


# -- inside ----------------------------------------------------------------------------------------


def _print_scaling(table: Table, style: Format) -> None:
    from ..results.tables import as_records

    heading = "How the time to escape grows, one factor at a time"
    if table and style == "json":
        echo(json.dumps({heading: as_records(table)}, indent=2))
    elif table:
        echo(f"{in_words(heading, style)}\n{rendered(table, style)}\n")


def _print_critical_points(results: list[Any], style: Format) -> None:
    if not results:  # it imports scipy.stats, for a second
        return
    from ..experiments.critical_points.analysis import run_title
    from ..experiments.critical_points.table import findings, tables
    from ..results.tables import as_records

    found = tables(results)
    said = [
        f"{run_title(result)}: {findings(result)}"
        for result in results
        if result.rows
    ]
    if found and style == "json":
        echo(
            json.dumps(
                {
                    **{
                        heading: as_records(table)
                        for heading, table in found.items()
                    },
                    "findings": said,
                },
                indent=2,
            )
        )
        return
    for heading, table in found.items():
        echo(f"{in_words(heading, style)}\n{rendered(table, style)}\n")
    for line in said:
        echo(in_words(line, style))
