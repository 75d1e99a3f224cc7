"""Making a card: its suites run, and its page is written."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from ..core.cost import PRICES
from ..errors import SfnbenchError, SuiteError
from ..experiments.race import scaling
from ..experiments.race.at_budget import repriced
from ..experiments.summary import summary
from ..report.html import write_page
from ..report.sections import Section
from ..results.cells import text
from ..results.store import Store
from ..results.tables import Table, render
from ..session.observer import Observer
from ..session.plans import Planned
from ..session.session import run_session
from ..suite.reading import Suite, load_suite
from .invariances import invariances
from .suites import PARTS, label_of, write_suite

CARD_FOLDER = Path("runs/card")
NOISE = "card_noise"  # the part of methods that take minibatches
OTHERS = ("degenerate", "monkey", "manifold", "octopus")  # saddles without a law
SHOWN_COLUMNS = (
    "problem",
    "optimizer",
    "seeds",
    "escaped",
    "escape step",
    "captured",
    "end points",
)


@dataclass(frozen=True)
class Card:
    """What a card says: its tables by title, and the results that they rest on."""

    method: str
    tables: dict[str, Table]
    sections: list[Section]

    def __repr__(self) -> str:
        return f"<Card of {self.method}: {len(self.tables)} tables>"

    def __str__(self) -> str:
        parts = (
            f"{title}\n{render(t, 'plain')}" for title, t in self.tables.items()
        )
        return "\n\n".join(parts)

    def _repr_html_(self) -> str:
        parts = (
            f"<h3>{escape(title)}</h3>{render(table, 'html')}"
            for title, table in self.tables.items()
        )
        return "".join(parts)

    def write(self, file: str | Path) -> Path:
        """Write the page with its figures as .html, or as .pdf by Chromium."""
        return write_card(self.sections, Path(file))


def make_card(
    method: str,
    params: Mapping[str, Any] | None = None,
    observer: Observer | None = None,
) -> Card:
    """The card of an optimizer, its runs made where they are not there yet (minutes).

    SuiteError for a method that is not known, or parameters that it does not have.
    """
    params = params or {}
    sections = {}
    for part, suite in _card_suites(method, params).items():
        folder = run_session(
            Planned.of(suite), out=CARD_FOLDER / part, observer=observer
        )
        sections[part] = _card_section(folder, suite.name)
    saddles = sections["card_saddles"]
    growing = [saddles.results]
    if NOISE in sections:
        growing.append(sections[NOISE].results)
    tables = {
        "What caught it": _caught(saddles),
        "How the time to escape grows, one factor at a time": scaling.table(
            each for results in growing for each in scaling.growths(results)
        ),
        "Saddles without a law": _others(saddles),
        "Steps in other coordinates: relative difference after ten": _invariances(
            saddles
        ),
        "Cost and memory of a step": summary(sections["card_steps"].results),
        "A small network at equal cost, all tuned alike": sections[
            "card_network"
        ].table,
    }
    label = label_of(method, params)
    saddles.tables = {f"{label}: {title}": table for title, table in tables.items()}
    return Card(label, tables, list(sections.values()))


def write_card(sections: list[Section], file: Path) -> Path:
    """Write the page as .html, or as .pdf by Chromium."""
    if file.suffix != ".pdf":
        return write_page(sections, [], file)
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        raise SfnbenchError(
            f"{file}: a PDF needs chromium, which is not installed; write .html"
        )
    page = write_page(sections, [], file.with_suffix(".html")).resolve()
    options = ["--headless", "--no-sandbox", "--virtual-time-budget=20000"]
    options.append("--no-pdf-header-footer")
    command = [browser, *options, f"--print-to-pdf={file.resolve()}", page.as_uri()]
    done = subprocess.run(command, capture_output=True, timeout=120, check=False)
    if done.returncode or not file.exists():
        raise SfnbenchError(f"{file}: chromium could not print {page}")
    return file


# -- inside ----------------------------------------------------------------------------------------


def _card_suites(method: str, params: Mapping[str, Any]) -> dict[str, Suite]:
    """The suites of all parts, read before the first is run; one that is refused leaves no file."""
    found = {}
    for part in PARTS:
        path = write_suite(part, method, params, CARD_FOLDER)
        try:
            found[part] = load_suite(path)
        except SuiteError:
            path.unlink()
            if part != NOISE:  # a method of full gradients has all the rest
                raise
    return found


def _card_section(folder: Path, suite: str) -> Section:
    with Store(folder) as store:
        found = [result for result in store.results() if result.run.suite == suite]
    section = Section(folder, suite, found[0].run.experiment)
    for result in found:
        section.add(repriced(result, PRICES))
    return section


def _caught(saddles: Section) -> Table:
    """A row for each method: how many saddles caught a seed of it, and which."""
    caught: dict[str, dict[str, str]] = {}
    n_saddles: dict[str, int] = {}
    for line in saddles.table:
        label = text(line["optimizer"])
        n_saddles[label] = n_saddles.get(label, 0) + 1
        share = text(line.get("captured"))
        names = caught.setdefault(label, {})
        if share and not share.startswith("0/"):
            names[text(line["problem"])] = share
    return [
        {
            "optimizer": label,
            "saddles": n_saddles[label],
            "caught at": len(names),
            "which, by how many seeds": ", ".join(
                f"{name} ({share})" for name, share in names.items()
            ),
        }
        for label, names in caught.items()
    ]


def _others(saddles: Section) -> Table:
    return [
        {name: line.get(name) for name in SHOWN_COLUMNS}
        for line in saddles.table
        if any(word in str(line["problem"]) for word in OTHERS)
    ]


def _invariances(saddles: Section) -> Table:
    specs = {each.run.method.label: each.run.method for each in saddles.results}
    return [
        line
        for label, spec in specs.items()
        for line in invariances(label, spec.use, spec.params)
    ]
