"""A result as a row of the table ``runs``, and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import numpy as np

from ..records import Facts, Result, Run, Status
from .encoding import from_run, to_json
from .json_values import check_text
from .validation import read_environment, read_rows, read_run


def to_row(result: Result) -> tuple[Any, ...]:
    """All columns of the table."""
    run = result.run
    method = result.run.method
    return (
        run.id,
        run.suite,
        run.experiment,
        run.problem.use,
        run.problem.label,
        to_json(run.problem.params),
        method.use,
        method.label,
        to_json(method.params),
        to_json(run.seeds),
        to_json(run.settings),
        run.dtype,
        run.device,
        to_json(from_run(run)),
        result.status,
        float(result.seconds),
        datetime.now(UTC).isoformat(timespec="milliseconds"),
        result.environment.get("commit"),
        to_json(result.environment),
        to_json(result.rows),
        result.log.encode(
            "utf-8", "replace"
        ).decode(),  # a worker's output may hold anything
    )


def to_result(stored: Sequence[Any], series: dict[str, np.ndarray]) -> Result:
    """From all columns of the table.

    ValueError and others of `UNREADABLE` for damage.
    """
    run_text, status, seconds, _, _, environment_text, rows_text, log = stored[13:]
    run = read_run(run_text)
    environment, facts = _circumstances(environment_text)
    rows = read_rows(rows_text, run, facts)
    log = check_text(log, "log")
    return Result(
        run, Status(status), rows, series, {**environment}, log, float(seconds)
    )


@lru_cache(maxsize=32)  # many results of a folder have the same
def _circumstances(text: object) -> tuple[dict[str, Any], Facts]:
    environment = read_environment(text)
    return environment, Facts.of(environment.get("problem") or {})


def place_of(run: Run) -> tuple[str, str, str, str]:
    """The run's slot, in its suite."""
    return run.suite, *run.slot


def relabelled(run: Run, suite: str, problem: str, optimizer: str) -> Run:
    """The run under the labels that its slot has now."""
    if (run.suite, run.problem.label, run.method.label) == (
        suite,
        problem,
        optimizer,
    ):
        return run
    return replace(
        run,
        suite=suite,
        problem=replace(run.problem, label=problem),
        method=replace(run.method, label=optimizer),
    )
