"""Making a card: its suites run, and its page is written."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..core.cost import PRICES
from ..errors import SfnbenchError
from ..experiments.race import scaling
from ..experiments.race.at_budget import repriced
from ..experiments.summary import summary
from ..report.html import write_page
from ..report.sections import Section
from ..results.store import Store
from ..results.tables import Table
from ..session.observer import Observer
from ..session.session import run_session
from .invariances import invariances
from .suites import PARTS, label_of, write_suite

CARD_FOLDER = Path("runs/card")
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


def make_card(
    method: str, params: Mapping[str, Any], observer: Observer | None = None
) -> tuple[dict[str, Table], list[Section]]:
    """Run what the card needs and is not there yet; its tables by title, and its sections."""
    sections = []
    for part in PARTS:
        path = write_suite(part, method, params, CARD_FOLDER)
        folder = run_session(path, out=CARD_FOLDER / part, observer=observer)
        sections.append(_card_section(folder, path.stem))
    saddles, network, steps = sections
    tables = {
        "How the time to escape grows, one factor at a time": scaling.table(
            scaling.growths(saddles.results)
        ),
        "Saddles without a law": _others(saddles),
        "Steps in other coordinates: relative difference after ten": _invariances(
            saddles
        ),
        "Cost and memory of a step": summary(steps.results),
        "A small network at equal cost, all tuned alike": network.table,
    }
    label = label_of(method, params)
    saddles.tables = {f"{label}: {title}": table for title, table in tables.items()}
    return tables, sections


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
    command = [browser, *options, f"--print-to-pdf={file.resolve()}", page.as_uri()]
    done = subprocess.run(command, capture_output=True, timeout=120, check=False)
    if done.returncode or not file.exists():
        raise SfnbenchError(f"{file}: chromium could not print {page}")
    return file


# -- inside ----------------------------------------------------------------------------------------


def _card_section(folder: Path, suite: str) -> Section:
    with Store(folder) as store:
        found = [result for result in store.results() if result.run.suite == suite]
    section = Section(folder, suite, found[0].run.experiment)
    for result in found:
        section.add(repriced(result, PRICES))
    return section


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
