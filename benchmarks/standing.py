"""Make the archive suites/standing.parquet, docs/standing.md and its figure: `make standing`.

Methods whose archived results would come out again are not run. With --stored it runs nothing, and
reads what lies in runs/. A killed one goes on where it was.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from sfnbench import Result, Store
from sfnbench.records import Run
from sfnbench.results.cells import Cell
from sfnbench.results.tables import Table, grouped, legend, render
from sfnbench.standing.archive import load_archive, write_archive
from sfnbench.standing.changes import changes_since
from sfnbench.standing.table import Standing
from sfnbench.suite.plan import plan
from sfnbench.suite.reading import load_suite

TOP = Path(__file__).parents[1]
FOLDERS = {"": "standing", "tuned": "standing_tuned"}  # by rule
SPARE = 1  # problems that a method may lack while the archive is half made
ABOUT = """\
# Where methods stand

Made by `make standing` from the suite `standing`: {problems} problems, {methods} methods,
{seeds} seeds, {cost} gradients for each seed whatever a method asks for.
`digits 4x4` has no known saddle: its losses are in the archive, and it stands in no table.
`sfnbench run standing -o my_method` runs a new method alone, and `sfnbench show --with standing`
prints these tables with it among the others ([how](commands.md#where-a-method-stands)).

**Rank** is by escape area: the area under the share of runs that have escaped, over the logarithm
of cost. It is 1 for an escape by the first gradient, and 0 for none within the budget. **Gradients
an escape** is the expected running time: all that was spent, over the number of escapes. **Way
down** is the mean share of the way from the start to the lowest loss in this archive. Brackets hold
95 % intervals of a bootstrap over problems and seeds; two methods tie where the interval of their
difference holds 0. If no trial of a tuned method escapes, it counts as never escaping, at its whole
budget. The order is that of these problems, these settings and this budget.
"""


def main() -> None:
    """Run, unless told not to; write archive, page and figure."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--stored", action="store_true", help="run nothing")
    asked.add_argument(
        "--all", action="store_true", help="run what has not changed, too"
    )
    asked.add_argument("--runs", type=Path, default=TOP / "runs")
    given = asked.parse_args()
    archive = TOP / "suites" / "standing.parquet"
    archived = [] if given.all or given.stored else load_archive(archive)
    by_rule = {}
    for rule, folder in FOLDERS.items():
        planned = plan(load_suite("standing", rule or None))
        kept = unchanged(
            [each.result for each in archived if each.rule == rule], planned
        )
        methods = {run.method.label for run in planned}
        missing = sorted(methods - {result.run.method.label for result in kept})
        if missing and not given.stored:
            _run(rule, missing, given.runs / folder)
        made = [
            result
            for result in _stored(given.runs / folder)
            if given.stored or result.run.method.label in missing
        ]
        by_rule[rule] = _complete(in_order([*kept, *made], planned))
    write_archive(archive, by_rule)
    found = Standing.of(str(archive), ())
    page = "\n".join(_page(found))
    (TOP / "docs" / "standing.md").write_text(page, encoding="utf-8")
    _draw(found, TOP / "docs" / "standing.svg")


def _run(rule: str, methods: Sequence[str], folder: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "sfnbench",
        "run",
        "standing",
        "--out",
        str(folder),
    ]
    if rule:
        command += ["--profile", rule]
    for label in methods:
        command += ["-o", label]
    code = subprocess.run(command, cwd=TOP).returncode
    if code not in (0, 1):  # 1: some diverged, or no trial of theirs escaped
        sys.exit(code)


def unchanged(archived: Sequence[Result], planned: Sequence[Run]) -> list[Result]:
    """Results of the methods that would give them again: on each planned problem, by equal code."""
    by_method, of_all = changes_since(archived)
    wanted: dict[str, set[str]] = {}
    for run in planned:
        wanted.setdefault(run.method.label, set()).add(run.problem.label)
    there: dict[str, dict[str, Result]] = {}
    for result in archived:
        there.setdefault(result.run.method.label, {})[result.run.problem.label] = (
            result
        )
    if of_all:
        return []
    return [
        there[method][problem]
        for method, problems in wanted.items()
        if problems <= there.get(method, {}).keys() and not by_method[method]
        for problem in sorted(problems)
    ]


def in_order(results: Sequence[Result], planned: Sequence[Run]) -> list[Result]:
    """Results as the suite has them: what a bootstrap draws depends on their order."""
    places = {run.slot: place for place, run in enumerate(planned)}
    return sorted(
        results, key=lambda result: places.get(result.run.slot, len(places))
    )


def _stored(folder: Path) -> Iterator:
    if folder.is_dir():
        with Store(folder) as store:
            yield from store.summaries()


def _complete(results: list[Result]) -> list[Result]:
    """Those of the methods that have most problems, on the problems that all of these have."""
    by_method: dict[str, set[str]] = {}
    for result in results:
        own = by_method.setdefault(result.run.method.label, set())
        own.add(result.run.problem.label)
    most = max(map(len, by_method.values()), default=0)
    whole = {
        name: own for name, own in by_method.items() if len(own) >= most - SPARE
    }
    shared = set.intersection(*whole.values()) if whole else set()
    return [
        result
        for result in results
        if result.run.method.label in whole and result.run.problem.label in shared
    ]


def _page(found: Standing) -> Iterator[str]:
    runs = [each.result.run for each in found.archived if not each.rule]
    yield ABOUT.format(
        problems=len({run.problem.label for run in runs}),
        methods=len({run.method.label for run in runs}),
        seeds=len(runs[0].seeds),
        cost=f"{runs[0].settings['budget']['cost']:g}",
    )
    tables = {
        **grouped(_unmarked(found.table()), "over"),
        **grouped(_unmarked(found.table(by_kind=True)), "over"),
    }
    yield "![Ranks with their intervals, by kind of saddle](standing.svg)\n"
    for heading, table in tables.items():
        yield f"## {heading[0].upper()}{heading[1:]}\n\n{render(table, 'github')}\n"
    yield f"{legend([line for table in tables.values() for line in table])}."
    yield ""


def _unmarked(table: Table) -> Table:
    """Without what changed since, which is nothing on the day that it is made."""
    return [
        {name: entry for name, entry in line.items() if name != "changed since"}
        for line in table
    ]


def _draw(found: Standing, file: Path) -> None:
    """Ranks of all methods at strict and at degenerate saddles, the best over all on top."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    labels = [str(line["optimizer"]) for line in _over_all(found)]
    places = {
        "strict saddles": _ranks(found, ("strict", "strict, with zero modes")),
        "degenerate saddles": _ranks(found, _degenerate(found)),
    }
    with rc_context({"svg.hashsalt": "standing", "svg.fonttype": "none"}):
        canvas = Figure(figsize=(9.0, 7.6), layout="constrained")
        panels = canvas.subplots(1, len(places), sharey=True)
        for panel, (title, ranks) in zip(panels, places.items(), strict=True):
            _draw_ranks(panel, title, [ranks[label] for label in labels])
        panels[0].set_yticks(range(len(labels)), labels, fontsize=7)
        panels[0].invert_yaxis()
        canvas.savefig(file, metadata={"Date": None})


def _draw_ranks(panel, title: str, ranks: Sequence[Cell]) -> None:
    low, value, high = (
        [getattr(each, part) for each in ranks] for part in ("low", "value", "high")
    )
    panel.hlines(range(len(ranks)), low, high, color="#9db4c8", linewidth=3)
    panel.plot(value, range(len(ranks)), "o", color="#1f4e79", markersize=4)
    panel.set_title(title, fontsize=10)
    panel.set_xlabel("rank, with its 95 % interval")
    panel.spines[["top", "right"]].set_visible(False)
    panel.grid(axis="x", color="#dddddd", linewidth=0.6)
    panel.set_axisbelow(True)


def _over_all(found: Standing) -> Table:
    return next(iter(grouped(found.table(), "over").values()))


def _degenerate(found: Standing) -> tuple[str, ...]:
    kinds = {each.kind for each in found.archived}
    return tuple(sorted(kind for kind in kinds if kind.startswith("degenerate")))


def _ranks(found: Standing, kinds: tuple[str, ...]) -> dict[str, Cell]:
    """Ranks by method on the problems of several kinds together."""
    picked = tuple(
        each for each in found.archived if each.kind in kinds and not each.rule
    )
    table = Standing(found.path, picked).table()
    return {str(line["optimizer"]): line["rank"] for line in table}


if __name__ == "__main__":
    main()
