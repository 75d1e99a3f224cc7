"""Results of several folders as sections of a report, one for each suite."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from ..core.cost import PRICES
from ..errors import DamagedError, NoResultsError, StoreError
from ..experiments import find
from ..experiments.race import scaling
from ..experiments.race.at_budget import repriced
from ..experiments.race.families import Family
from ..experiments.summary import summary
from ..members import registry
from ..records import Result
from ..results.cells import Cell, TableEntry
from ..results.store import Store
from ..results.tables import Table
from ..session.tuning import TUNED_FILE as TUNED
from .figure import Figure
from .reasons import damage, reasons

FACTS = (
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
    "cpu_capability",
    "prices",
    "device",
    "device_name",
    "cuda",
    "tf32_matmul",
)


@dataclass
class Section:
    """One suite of one folder, as it fills up result by result."""

    folder: Path
    suite: str
    experiment: str
    # results lie here without their series and logs
    results: list[Result] = field(default_factory=list)
    # every value of each fact
    facts: dict[str, dict[str, None]] = field(default_factory=dict)
    tables: dict[str, Table] = field(default_factory=dict)  # before all others
    _circumstances: dict[str, Any] | None = None  # of the last result
    _extracts: dict[int, list[tuple[Result, Any]]] = field(default_factory=dict)

    def add(self, result: Result) -> None:
        """Take in a result: its series are dropped once each figure has what it needs of them."""
        bare = replace(result, series={}, log="")
        self.results.append(bare)
        if result.environment != self._circumstances:
            self._circumstances = result.environment
            for fact in FACTS:
                value = str(result.environment.get(fact, ""))
                self.facts.setdefault(fact, {})[value] = None
        for i, module in enumerate(find(self.experiment).figures):
            found = module.extract(result)
            if found is not None:
                self._extracts.setdefault(i, []).append((bare, found))

    @cached_property
    def figures(self) -> list[Figure]:
        """All figures, once all results are in."""
        modules = find(self.experiment).figures
        return [
            figure
            for i, extracts in sorted(self._extracts.items())
            for figure in modules[i].figures(extracts)
        ]

    @property
    def problems(self) -> list[str]:
        """Labels of the problems, in the order of the suite."""
        return list(
            dict.fromkeys(result.run.problem.label for result in self.results)
        )

    @property
    def methods(self) -> list[str]:
        """Labels of the optimizers or finders."""
        return list(
            dict.fromkeys(result.run.method.label for result in self.results)
        )

    @property
    def n_broken(self) -> int:
        """Runs that broke as a whole, rather than their numbers."""
        return sum(result.status.failed for result in self.results)

    @property
    def n_seeds(self) -> Counter[str]:
        """Seeds (or points, or timings) by status."""
        return sum((statuses_of(result) for result in self.results), Counter())

    def absent(
        self, known: Mapping[registry.Kind, Container[str]]
    ) -> Iterator[str]:
        """The members that are not installed, as plugins that are no longer there."""
        kind: registry.Kind = (
            "finder" if self.experiment == "critical_points" else "optimizer"
        )
        for run in (result.run for result in self.results):
            used: list[tuple[registry.Kind, str]] = [
                ("problem", run.problem.use),
                (kind, run.method.use),
            ]
            for what, name in used:
                if not registry.is_stock(name) and name not in known[what]:
                    yield f"the {what} {name}"

    @cached_property
    def table(self) -> Table:
        """The table that `sfnbench show` prints, once all results are in."""
        return summary(self.results)

    @cached_property
    def growths(self) -> list[tuple[str, Family, list[scaling.Growth]]]:
        """The steps of escape against each factor of races, once all results are in."""
        return scaling.growths(self.results)

    def more_tables(self) -> dict[str, Table]:
        """The tables below the figures by their titles."""
        found = dict(self.tables)
        if self.experiment == "race":
            found["Escape against one factor"] = scaling.table(self.growths)
        for result in self._searches():
            from ..experiments.critical_points.table import controlled

            found |= controlled(result)
        found["Tuned values"] = self.tuned()
        return {title: table for title, table in found.items() if table}

    def findings(self) -> list[str]:
        """The findings of searches for critical points, in words."""
        searches = self._searches()
        if not searches:  # it imports scipy.stats, for a second
            return []
        from ..experiments.critical_points.analysis import run_title
        from ..experiments.critical_points.table import findings

        return [f"{run_title(result)}: {findings(result)}" for result in searches]

    def tuned(self) -> Table:
        """The values that tuning chose, from the file for people beside the results."""
        file = self.folder / TUNED
        if not file.exists():
            return []
        try:
            entries = yaml.safe_load(file.read_text("utf-8"))["tuned"]
            return [_tuned_row(entry) for entry in entries]
        except (
            OSError,
            yaml.YAMLError,
            KeyError,
            TypeError,
            AttributeError,
            ValueError,
        ):
            return [{"problem": f"{file} cannot be read"}]

    def _searches(self) -> list[Result]:
        is_search = self.experiment == "critical_points"
        return [result for result in self.results if is_search and result.rows]


def statuses_of(result: Result) -> Counter[str]:
    """How many seeds of a run ended with each status."""
    found = Counter(row["status"] for row in result.rows if "status" in row)
    return found or Counter({str(result.status): len(result.run.seeds)})


def gather(
    folders: Sequence[Path], prices: Mapping[str, float] = PRICES
) -> tuple[list[Section], list[str]]:
    """The sections of all folders, and a line for all that is missing or broke.

    Costs are by these prices. NoResultsError where there is nothing to show.
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
    absent = dict.fromkeys(
        name for section in sections.values() for name in section.absent(known)
    )
    if absent:
        names = ", ".join(absent)
        notes.append(
            f"no longer installed: {names}; their results are shown, but cannot be re-run"
        )
    return list(sections.values()), notes


# -- inside ----------------------------------------------------------------------------------------


def _fill(
    sections: dict[tuple[Path, str, str], Section],
    folder: Path,
    notes: list[str],
    prices: Mapping[str, float],
) -> None:
    damaged: list[DamagedError] = []
    bare: list[Result] = []
    with Store(folder) as store:
        for result in store.results(damaged=damaged.append, is_partial=True):
            key = folder, result.run.suite, result.run.experiment
            sections.setdefault(key, Section(*key)).add(repriced(result, prices))
            bare.append(replace(result, series={}))
    notes += [*damage(damaged), *(f"{folder}: {line}" for line in reasons(bare))]


def _tuned_row(entry: Mapping[str, Any]) -> dict[str, TableEntry]:
    """One line of ``tuned.yaml``: the values, what they reached, and how it was found."""
    kept_apart = (
        "problem",
        "optimizer",
        "params",
        "remarks",
        "broken",
        "expected_best",
        "spread",
    )
    values = [
        f"{name}={_four_digits(value)}"
        for name, value in (entry["params"] or {}).items()
    ]
    row: dict[str, TableEntry] = {
        "problem": entry["problem"],
        "optimizer": entry["optimizer"],
    }
    row["values"] = ", ".join(values)
    for name, value in entry.items():
        if name not in kept_apart:
            row[name.replace("_", " ")] = Cell(float(value))
    if "broken" in entry:
        remarks = [entry["broken"]]
    else:
        remarks = entry.get("remarks", [])
    return {**row, "remarks": "; ".join(remarks)}


def _four_digits(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)
