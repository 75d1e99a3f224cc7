"""One run executed in this process, by its experiment."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from time import perf_counter

from .. import environment, experiments
from ..errors import SuiteError
from ..records import Result, Run


def execute(run: Run, progress: Callable[[float], None] | None = None) -> Result:
    """Execute one run in this process.

    `progress` is called now and then with the fraction that is done. Numbers that break are
    statuses of rows; warnings go to the result's log. Errors that members raise while they are set
    up are raised.
    """
    if run.is_open:
        raise SuiteError(
            f"{run.title} has ranges: tune it first, as sfnbench.run_suite does"
        )
    # the import of the experiment warns here, outside of the log
    experiment = experiments.find(run.experiment).execute
    began = perf_counter()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        result = experiment.execute(run, progress or (lambda fraction: None))
    log = "".join(
        dict.fromkeys(f"{w.category.__name__}: {w.message}\n" for w in caught)
    )
    return Result(
        run=run,
        status=result.status,
        rows=result.rows,
        series=result.series,
        environment={**environment.describe(run.device), **result.environment},
        log=log + result.log,  # the last line says what happened
        seconds=perf_counter() - began,
    )
