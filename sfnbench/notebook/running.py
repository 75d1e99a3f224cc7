"""`run_suite`: a suite from Python, and what came of it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..session.observer import Observer
from ..session.plans import Planned
from ..session.session import run_session
from ..suite.reading import Suite, load_suite
from ..watchers import watched
from .following import follower, in_notebook
from .results import Results


def run_suite(
    suite: Suite | str | Path,
    *,
    profile: str | None = None,
    optimizers: Iterable[str] | None = None,
    problems: Iterable[str] | None = None,
    seeds: int | Sequence[int] | None = None,
    device: str = "auto",
    engine: str = "processes",
    engine_options: Mapping[str, Any] | None = None,
    jobs: int | None = None,
    out: str | Path | None = None,
    fresh: bool = False,
    only_failed: bool = False,
    observer: Observer | None = None,
    watch: Iterable[str] = (),
) -> Results:
    """Execute the runs of a suite that have no result yet; gives all results of its folder.

    `optimizers` and `problems` pick members by name, this script's too. `fresh` executes all again,
    `only_failed` failed runs. `engine_options`: dask's ``{"scheduler": ADDRESS}``, slurm's by
    sbatch's names. Results go to ``runs/SUITE`` or `out`. Ranges are tuned first. To `watch`:
    ``tensorboard:FOLDER``, ``mlflow:URI``, ``wandb:PROJECT``. SfnbenchError for a wrong suite.
    """
    if not isinstance(suite, Suite):
        suite = load_suite(suite, profile)
    folder = run_session(
        Planned.of(suite, optimizers, problems, seeds, device),
        engine=engine,
        engine_options=engine_options,
        jobs=jobs,
        out=out,
        fresh=fresh,
        only_failed=only_failed,
        observer=watched(observer or follower(), watch),
    )
    return _with_failures_said(Results(folder), observer)


def _with_failures_said(results: Results, observer: Observer | None) -> Results:
    """The results; a script without an observer of its own reads on stderr what broke."""
    if observer is None and not in_notebook():
        for line in results.complaints:
            print(line, file=sys.stderr)
    return results
