"""Where results go."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import NoResultsError
from ..results.store import FILE, Store

if TYPE_CHECKING:
    from ..suite.reading import Suite

RUNS = Path("runs")  # unless --out says otherwise
TUNING = "tuning"  # the folder of the trials, within that of the results


def results_folder(suite: Suite, out: str | Path | None = None) -> Path:
    """The folder of a suite's results: `out`, or ``runs/SUITE``."""
    return RUNS / suite.name if out is None else Path(out)


def latest() -> Path:
    """The folder in ``runs`` that was written to last; NoResultsError where none has results."""
    files = sorted(
        RUNS.glob(f"*/{FILE}"), key=lambda file: file.stat().st_mtime, reverse=True
    )
    for file in files:
        # a run that was stopped early leaves a file without results
        with suppress(NoResultsError), Store(file.parent):
            return file.parent
    raise NoResultsError(f"no results in {RUNS}; `sfnbench run SUITE` makes them")


def find_results(name: str | Path | None) -> Path:
    """The folder of that path, or of the suite of that name below ``runs``; the latest for None."""
    if name is None:
        return latest()
    path = Path(name)
    below = RUNS / path
    is_name = len(path.parts) == 1 and not path.exists() and below.is_dir()
    return below if is_name else path
