"""Why runs broke, seeds diverged and results cannot be read, each reason once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from ..errors import COPY_AGAIN, DamagedError
from ..records import Result
from ..session.folders import RUNS
from ..words import counted, listed


def reasons(results: Iterable[Result]) -> list[str]:
    """A line for each reason, with those it befell."""
    befell: dict[str, dict[str, None]] = {}
    for result in results:
        for reason in _reasons_of(result):
            befell.setdefault(reason, {})[result.run.title] = None
    return [f"{reason} ({listed(list(names))})" for reason, names in befell.items()]


def damage(errors: Iterable[DamagedError]) -> list[str]:
    """A line for each way in which a file's results cannot be read, with whose they are."""
    names: dict[tuple[Path, str], list[str]] = {}
    for error in errors:
        names.setdefault((error.file, error.why), []).append(error.name)
    return [
        f"{file}: damaged ({why}): {listed(of)}; {COPY_AGAIN}" for (file, why), of in names.items()
    ]


def way_back(results: Iterable[Result], folder: Path) -> str:
    """How many runs broke, and how they are executed again; empty where none did."""
    results = list(results)
    suites = {result.run.suite: None for result in results if result.status.failed}
    if not suites:
        return ""
    n = sum(result.status.failed for result in results)
    commands = (
        f"`sfnbench run {suite}{'' if folder == RUNS / suite else f' --out {folder}'} --only failed`"
        for suite in suites
    )
    again = f"{'it' if n == 1 else 'them'} again (with the file, --plugins, -o, --profile and --seeds that it was run with)"
    return f"{n} of {counted(len(results), 'run')} broke; {', '.join(commands)} executes {again}"


def _reasons_of(result: Result) -> Iterator[str]:
    if result.status.failed:
        yield f"{result.status}: {result.reason}"
    for what in dict.fromkeys(row["not_finite"] for row in result.rows if row.get("not_finite")):
        yield f"diverged: {what} was not finite"
