"""Results of several folders, as a page shows them.

A section a suite, and a note for each thing that is missing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from ..core.cost import PRICES
from ..errors import DamagedError, NoResultsError, StoreError
from ..experiments.critical_points import analysis as cp
from ..experiments.critical_points.table import controlled, findings
from ..experiments.race.at_budget import repriced
from ..experiments.race.profiles import Solving, profiles, solving
from ..experiments.race.scaling import drawn as scaling_drawn
from ..experiments.race.scaling import table as scaling_table
from ..experiments.race.trajectories import Landscape, landscape, path
from ..experiments.summary import summary
from ..members import registry
from ..records import Result
from ..results.cells import columns
from ..results.store import Store
from ..results.tables import Table, as_text, legend
from .curves import DRAWN, curves, escaped_within, index_curve, rates, spread, window, within
from .reasons import damage, reasons

FACTS = (
    *(
        "commit",
        "dirty",
        "sfnbench",
        "torch",
        "numpy",
        "scipy",
        "python",
        "platform",
        "cpu",
        "n_cores",
        "threads",
    ),
    *("cpu_capability", "prices", "device", "device_name", "cuda", "tf32_matmul"),
)
CURVES = {"race": curves, "critical_points": index_curve, "throughput": rates}
Cell = tuple[int, int]  # problem, optimizer: places in the section's lists


@dataclass
class Section:
    """One suite of one folder, as it fills up result by result."""

    folder: Path
    suite: str
    experiment: str
    problems: dict[str, int] = field(default_factory=dict)  # label -> place
    optimizers: dict[str, int] = field(default_factory=dict)
    drawn: list[dict[str, Any]] = field(default_factory=list)
    statuses: dict[Cell, Counter[str]] = field(default_factory=dict)
    facts: dict[str, dict[str, None]] = field(
        default_factory=dict
    )  # what it came about with: every value there is
    landscapes: dict[int, Landscape] = field(
        default_factory=dict
    )  # by problem; the first run's is everybody's
    _bare: list[Result] = field(default_factory=list)  # without series
    _escapes: dict[int, list[float]] = field(default_factory=dict)
    _widths: dict[tuple[str, int], dict[int, list[float | None]]] = field(default_factory=dict)
    _solved: dict[Cell, Solving | None] = field(default_factory=dict)

    def add(self, result: Result) -> None:
        """Take in a result; its series are not kept."""
        run = result.run
        p = self.problems.setdefault(run.problem.label, len(self.problems))
        o = self.optimizers.setdefault(run.method.label, len(self.optimizers))
        self.statuses[p, o] = Counter(r["status"] for r in result.rows if "status" in r)
        self.statuses[p, o] = self.statuses[p, o] or Counter({result.status: len(run.seeds)})
        self._bare.append(replace(result, series={}, log=""))
        for fact in FACTS:
            self.facts.setdefault(fact, {})[str(result.environment.get(fact, ""))] = None
        self.drawn.append({"p": p, "o": o, **CURVES[self.experiment](result)})
        if self.experiment != "race":
            return
        self._solved[p, o] = solving(result)
        self._add_path(p, result)
        if result.environment.get("problem", {}).get("has_saddle"):
            costs = [row.get("escape_cost") for row in result.rows]
            self._escapes.setdefault(o, []).extend(
                float("inf") if cost is None else cost for cost in costs
            )
        hidden = run.problem.params.get("hidden")
        if isinstance(hidden, list) and "training_error" in result.environment.get(
            "problem", {}
        ).get("measures", ()):
            errors = [row.get("training_error") for row in result.rows]
            self._widths.setdefault((run.problem.use, o), {})[sum(hidden)] = errors

    def _add_path(self, p: int, result: Result) -> None:
        over = self.landscapes.get(p) or landscape(result)
        if over is not None:
            self.landscapes[p] = over
            self.drawn[-1] |= {"path": way} if (way := path(result, over)) else {}

    @property
    def n_broken(self) -> int:
        """Runs that broke as a whole, rather than their numbers."""
        return sum(result.status.failed for result in self._bare)

    def gone(self, known: Mapping[registry.Kind, Container[str]]) -> Iterator[str]:
        """The members that are not among those known.

        Of plugins that are not here, or not any more.
        """
        kind: registry.Kind = "finder" if self.experiment == "critical_points" else "optimizer"
        for run in (result.run for result in self._bare):
            if run.problem.use not in known["problem"]:
                yield f"the problem {run.problem.use}"
            if not registry.is_stock(run.method.use) and run.method.use not in known[kind]:
                yield f"the {kind} {run.method.use}"

    @property
    def n_runs(self) -> int:
        """Runs that have a result."""
        return len(self._bare)

    @property
    def n_seeds(self) -> Counter[str]:
        """Seeds (or points, or timings) by status."""
        return sum(self.statuses.values(), Counter())

    def table(self) -> Table:
        """As `sfnbench show` prints it."""
        return summary(self._bare)

    def families(self) -> list[dict[str, Any]]:
        """The error of networks that differ in width, where a suite has several, by optimizer."""
        found = []
        for (use, o), by_width in self._widths.items():
            if len(by_width) > 1:
                widths = sorted(by_width)
                low, mid, high = zip(*(spread(by_width[width]) for width in widths), strict=True)
                found.append(
                    {"problem": use, "o": o, "x": widths, "low": low, "mid": mid, "high": high}
                )
        return found

    @cached_property
    def windows(self) -> dict[str, dict[str, Any]]:
        """The upright axes of figures of bands, by the problem's place and series ("0 loss").

        To be asked once all is in.
        """
        shown: dict[tuple[int, str], dict[int, Any]] = {}
        for run in self.drawn:
            for each in DRAWN:
                if each in run:
                    shown.setdefault((run["p"], each), {})[run["o"]] = run[each]
        return {f"{p} {each}": window(bands, each) for (p, each), bands in shown.items()}

    @property
    def cut(self) -> list[dict[str, Any]]:
        """What is drawn, with the bands cut where they leave the picture."""
        found = []
        for run in self.drawn:
            windows = {each: self.windows[f"{run['p']} {each}"] for each in DRAWN if each in run}
            found.append(
                run
                | {each: run[each] | within(run[each], window) for each, window in windows.items()}
            )
        return found

    @cached_property
    def scaling(self) -> list[dict[str, Any]]:
        """How the time to escape grows in families of runs, as `scaling.drawn` has it.

        To be asked once all is taken in.
        """
        places = {"problem": self.problems, "optimizer": self.optimizers}
        return scaling_drawn(self._bare, places) if self.experiment == "race" else []

    def profiles(self) -> list[dict[str, Any]]:
        """Performance profiles by optimizer, over the problems of which each one has a result."""
        cells = [
            [self._solved.get((p, o)) for o in range(len(self.optimizers))]
            for p in range(len(self.problems))
        ]
        whole = [[cell for cell in row if cell is not None] for row in cells if None not in row]
        return [{"o": o, **curve} for o, curve in enumerate(profiles(whole))]

    def tables(self) -> dict[str, Table]:
        """What stands below the figures, by title.

        Laws of the escape, and the controls of critical points.
        """
        found = {"Escape against one factor": scaling_table(self.scaling)}
        for result in self._searches():
            found |= controlled(result)
        return {title: table for title, table in found.items() if table}

    def _searches(self) -> list[Result]:
        return [
            result for result in self._bare if self.experiment == "critical_points" and result.rows
        ]

    def data(self) -> dict[str, Any]:
        """Everything that the page's script draws, as plain JSON values without infinity."""
        table = self.table()
        names = columns(table)
        return {
            "experiment": self.experiment,
            "problems": list(self.problems),
            "optimizers": list(self.optimizers),
            "columns": names,
            "rows": [list(line.values()) for line in as_text(table, is_starred=True)],
            "statuses": [[p, o, dict(found)] for (p, o), found in self.statuses.items()],
            "drawn": self.cut,
            "windows": self.windows,
            "escaped": [{"o": o, **escaped_within(costs)} for o, costs in self._escapes.items()],
            "families": self.families(),
            "scaling": self.scaling,
            "legend": legend(table),
            "said": [f"{cp.title(result)}: {findings(result)}" for result in self._searches()],
            "tables": {title: as_text(table) for title, table in self.tables().items()},
            "profiles": self.profiles(),
            "landscapes": [{"p": p, **over} for p, over in self.landscapes.items()],
            "facts": [
                [name, ", ".join(values)] for name, values in self.facts.items() if any(values)
            ],
        }


def gather(
    folders: Sequence[Path], prices: Mapping[str, float] = PRICES
) -> tuple[list[Section], list[str]]:
    """The sections of all folders, and a line for each folder or result that is missing or broke.

    The rest is there.

    Costs are by these prices.

    NoResultsError where nothing at all can be shown.
    """
    sections: dict[tuple[Path, str, str], Section] = {}
    notes: list[str] = []
    for folder in folders:
        try:
            _fill(sections, folder, notes, prices)
        except StoreError as error:
            notes.append(str(error))
    if not sections:
        raise NoResultsError("\n".join(notes) or "no folder of results was given")
    known = {kind: registry.members(kind) for kind in registry.KINDS}
    if gone := dict.fromkeys(
        member for section in sections.values() for member in section.gone(known)
    ):
        notes.append(
            f"no longer installed: {', '.join(gone)}; what they did is shown, but cannot be run again"
        )
    return list(sections.values()), notes


def _fill(
    sections: dict[tuple[Path, str, str], Section],
    folder: Path,
    notes: list[str],
    prices: Mapping[str, float],
) -> None:
    damaged: list[DamagedError] = []
    told: list[Result] = []
    with Store(folder) as store:
        for result in store.results(damaged=damaged.append, is_partial=True):
            key = folder, result.run.suite, result.run.experiment
            sections.setdefault(key, Section(*key)).add(repriced(result, prices))
            told.append(replace(result, series={}))
    notes += [*damage(damaged), *(f"{folder}: {line}" for line in reasons(told))]
