"""Experiments: each turns a run into a result, and owns the only loops over steps."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from time import perf_counter

from .. import environment
from ..errors import SuiteError
from ..experiments.critical_points import execute as critical_points
from ..experiments.race import execute as race
from ..experiments.throughput import execute as throughput
from ..records import Result, Run

EXPERIMENTS: dict[str, Callable[[Run, Callable[[float], None]], Result]] = {
    "race": race.race,
    "critical_points": critical_points.critical_points,
    "throughput": throughput.throughput,
}


def execute(run: Run, progress: Callable[[float], None] | None = None) -> Result:
    """Execute one run in this process.

    `progress` is told now and then which fraction of the run is done. Numbers that break are
    statuses of rows; warnings go to the result's log. What the members themselves raise while they
    are set up passes.
    """
    if run.is_open:
        raise SuiteError(
            f"{run.title} has ranges, for tuning to find values first: see sfnbench.run_suite and sfnbench.tuning"
        )
    began = perf_counter()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        result = EXPERIMENTS[run.experiment](run, progress or (lambda fraction: None))
    log = "".join(dict.fromkeys(f"{w.category.__name__}: {w.message}\n" for w in caught))
    return Result(
        run=run,
        status=result.status,
        rows=result.rows,
        series=result.series,
        environment={**environment.describe(run.device), **result.environment},
        log=log + result.log,  # the last line says what happened
        seconds=perf_counter() - began,
    )
