"""Why runs failed, stopped or diverged and why results cannot be read, each reason once."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import COPY_AGAIN, DamagedError
from ..records import Result, Status
from ..session.folders import RUNS
from ..words import counted, listed


def reasons(results: Iterable[Result]) -> list[str]:
    """A line for each reason, with the runs that it stopped."""
    titles: dict[str, dict[str, None]] = {}
    for result in results:
        for reason in _reasons_of(result):
            titles.setdefault(reason, {})[result.run.title] = None
    return [f"{reason} ({listed(list(names))})" for reason, names in titles.items()]


def remnant(result: Result) -> Result:
    """The part of a result that says why its run failed, stopped or diverged."""
    rows = tuple(row for row in result.rows if _has_reason(row))
    log = result.log if result.status.failed else ""
    return replace(result, rows=rows, series={}, environment={}, log=log)


def damage(errors: Iterable[DamagedError]) -> list[str]:
    """A line for each way in which a file's results cannot be read, with the runs concerned."""
    names: dict[tuple[Path, str], list[str]] = {}
    for error in errors:
        names.setdefault((error.file, error.why), []).append(error.name)
    return [
        f"{file}: damaged ({why}): {listed(of)}; {COPY_AGAIN}"
        for (file, why), of in names.items()
    ]


def rerun_hint(results: Iterable[Result], folder: Path) -> str:
    """How many runs failed and the command that re-runs them; empty where none failed."""
    results = list(results)
    suites = {result.run.suite: None for result in results if result.status.failed}
    if not suites:
        return ""
    n_failed = sum(result.status.failed for result in results)
    commands = [_command(suite, folder) for suite in suites]
    verb = "re-runs" if len(commands) == 1 else "re-run"
    return (
        f"{n_failed} of {counted(len(results), 'run')} failed; {', '.join(commands)} {verb}"
        f" {'it' if n_failed == 1 else 'them'}"
        " (with the file, --plugins, -o, --profile and --seeds of the first time)"
    )


def _command(suite: str, folder: Path) -> str:
    if folder == RUNS / suite:
        out = ""
    else:
        out = f" --out {shlex.quote(str(folder))}"
    return f"`sfnbench run {suite}{out} --only failed`"


def _has_reason(row: Mapping[str, Any]) -> bool:
    return bool(row.get("not_finite") or row.get("message"))


def _reasons_of(result: Result) -> Iterator[str]:
    if result.status.failed:
        yield f"{result.status}: {result.reason}"
    not_finite = dict.fromkeys(row.get("not_finite") for row in result.rows)
    for what in filter(None, not_finite):
        yield f"diverged: {what} was not finite"
    messages = dict.fromkeys(row.get("message") for row in result.rows)
    for message in filter(None, messages):
        yield f"{Status.STOPPED}, in its own words: {message}"
