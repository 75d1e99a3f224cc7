"""An archive: the results of a suite in one parquet file beside it, a row per run and seed.

It has no seconds, which compare on one machine alone, and no series. The code that decided each
run's numbers is in the column `run`, so that what changed since can be said.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any, cast

from ..environment import install_hint
from ..errors import SfnbenchError, StoreError
from ..experiments.by_kind import kind_of_saddle
from ..records import Facts, Result, Row, Run, Status, columns
from ..results.encoding import UNREADABLE, to_json, to_run
from ..results.export import arrow_column
from ..results.validation import check_columns
from ..results.writing import written_whole
from ..suite.files import available, locate
from ..words import did_you_mean, first_line

VERSION = 1  # of the file: raised when its columns change their meaning
VERSION_KEY = b"sfnbench_archive"
SUFFIX = ".parquet"
RUN = ("rule", "kind", "run", "facts", "commit", "run_status")
# columns that an archive does not keep, with values that pass the check of rows
UNTIMED = {"seconds": 0.0, "escape_seconds": None, "n_sharing": 1}
AGAIN = "`make standing` makes it again"


@dataclass(frozen=True)
class Archived:
    """A result of an archive, under which rule it was made, and the kind of its saddle."""

    rule: str  # "" where each method has its authors' settings, or "tuned"
    kind: str
    result: Result


def find_archive(name: str) -> Path:
    """The archive beside the suite of that name, or the file of that path; StoreError without."""
    path = Path(name)
    if path.suffix == SUFFIX:
        if path.is_file():
            return path
        raise StoreError(f"--with {name}: no such file")
    known = [each for each, at in available().items() if _beside(at).is_file()]
    try:
        found = _beside(locate(name))
    except SfnbenchError:
        found = None
    if found is None or not found.is_file():
        raise StoreError(
            f"--with {name}: no archive has that name{did_you_mean(name, known)}"
        )
    return found


def write_archive(path: Path, by_rule: Mapping[str, Iterable[Result]]) -> int:
    """Write the results of races by their rule, whole or not at all; says how many rows."""
    pa, pq = _arrow(path)
    pairs = [(rule, each) for rule, results in by_rule.items() for each in results]
    if any(not _cost_budget(result.run) for _, result in pairs):
        raise StoreError(
            f"{path}: an archive is of races that have a budget of cost: budget: {{cost: 400}}"
        )
    rows = [row for rule, result in pairs for row in _archived_rows(rule, result)]
    if not rows:
        raise StoreError(f"{path}: there is no race to archive")
    table = pa.table(
        {
            name: arrow_column(pa, name, [row[name] for row in rows])
            for name in rows[0]
        }
    )
    version = {VERSION_KEY: str(VERSION).encode()}
    with written_whole(path) as partial:
        pq.write_table(
            table.replace_schema_metadata(version), partial, compression="zstd"
        )
    return len(rows)


def load_archive(path: Path) -> list[Archived]:
    """All results of an archive.

    StoreError without pyarrow, for an archive of another version, and for any other file.
    """
    pa, pq = _arrow(path)
    try:
        version = (
            (pq.read_schema(path).metadata or {}).get(VERSION_KEY, b"").decode()
        )
        if version != str(VERSION):
            raise StoreError(_of_another_version(path, version))
        rows = pq.read_table(path).to_pylist()
        if not rows:
            raise StoreError(f"{path}: an archive without results; {AGAIN}")
        return [
            _archived(run, list(group))
            for run, group in groupby(
                rows, key=lambda row: (row["rule"], row["run"])
            )
        ]
    except (pa.ArrowException, *UNREADABLE) as error:
        raise StoreError(
            f"{path}: no archive ({first_line(error)}); {AGAIN}"
        ) from error


# -- inside ----------------------------------------------------------------------------------------


def _beside(suite: Path) -> Path:
    return suite.with_suffix(SUFFIX)


def _arrow(path: Path) -> tuple[Any, Any]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise StoreError(
            f"{path} needs the package pyarrow: {install_hint('parquet')}"
        ) from None
    return pa, pq


def _of_another_version(path: Path, version: str) -> str:
    if not version:
        return f"{path}: a table, but no archive that `make standing` wrote"
    return (
        f"{path}: an archive of version {version}, this sfnbench reads version {VERSION};"
        f" install the sfnbench that it came with, or {AGAIN}"
    )


def _cost_budget(run: Run) -> float | None:
    return run.settings.get("budget", {}).get("cost")


def _archived_rows(rule: str, result: Result) -> list[dict[str, Any]]:
    """A row for each seed, those of a run that broke too; circumstances first."""
    run = result.run
    shared = {
        "rule": rule,
        "kind": kind_of_saddle(run.problem),
        "problem": run.problem.label,
        "optimizer": run.method.label,
        "run": to_json(asdict(run)),
        "facts": to_json(asdict(replace(result.facts, measures=()))),
        "commit": result.environment.get("commit"),
        "run_status": str(result.status),
    }
    kept = [name for name in columns("race") if name not in UNTIMED]
    rows: list[Mapping[str, Any]] = list(result.rows)
    if not rows:
        rows = [{"seed": seed, "status": str(result.status)} for seed in run.seeds]
    return [{**shared, **{name: row.get(name) for name in kept}} for row in rows]


def _archived(key: tuple[str, str], group: list[dict[str, Any]]) -> Archived:
    rule, text = key
    first = group[0]
    run: Run = to_run(json.loads(text))
    own = columns("race")
    rows = tuple(
        cast(Row, {name: value for name, value in row.items() if name in own})
        for row in group
    )
    facts = Facts.of(json.loads(first["facts"]))
    lacking = [name for name in own if name not in first and name not in UNTIMED]
    if lacking:
        raise ValueError(f"it lacks {', '.join(lacking)}")
    if not Status(first["run_status"]).failed:
        check_columns([{**UNTIMED, **row} for row in rows], "race", facts)
    environment = {"problem": asdict(facts), "commit": first["commit"]}
    result = Result(run, Status(first["run_status"]), rows, environment=environment)
    return Archived(rule, first["kind"], result)
