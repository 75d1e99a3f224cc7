"""Results on disk: one SQLite file a folder, a row a run, series as compressed arrays; no pickle.

Which result is current is kept apart from the results: `places` says which run each slot of a suite
shows. So a suite that changed overwrites nothing, and going back to an earlier setting finds its
numbers again.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DamagedError, StoreError
from ..records import Facts, Result, Run, Status
from .encoding import UNREADABLE, pack, to_json, unpack
from .file import FILE as FILE
from .file import explained, open_to_read, open_to_write, take_lock
from .staleness import why_stale
from .validation import check_series, check_text, read_environment, read_rows, read_run

Damaged = Callable[
    [DamagedError], None
]  # takes what cannot be read, so that the rest is
MOST_WHY = 120  # characters of a reason
_PUT = f"INSERT OR REPLACE INTO runs VALUES ({', '.join('?' * 21)})"
_PLACE = """INSERT INTO places VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (suite, experiment, problem, optimizer) DO UPDATE SET id = excluded.id"""
# What joined later stands with its problem, not at the end.
_SHOWN = """SELECT places.* FROM places JOIN runs USING (id)
    ORDER BY
        min(places.rowid) OVER (PARTITION BY places.suite, places.experiment, places.problem),
        places.rowid"""
_ALL = "SELECT suite, experiment, problem_label, label, id FROM runs ORDER BY created, rowid"
_CLEAR = (
    "DELETE FROM places WHERE (suite, experiment, problem, optimizer) = (?, ?, ?, ?)"
)


class Store(AbstractContextManager["Store"]):
    """The results in a folder.

    ``create=True`` opens it for writing and makes what is missing. One process at a time may write;
    the lock is the operating system's and goes with the process however that ends. Any number may
    read meanwhile, from a read-only folder too. Writing a run of 1,000 points takes about 1 ms;
    every write is whole or not there. What goes wrong is a StoreError of one line, and costs no
    earlier result.
    """

    def __init__(self, folder: Path | str, *, create: bool = False) -> None:
        self.folder = Path(folder)
        self.file = self.folder / FILE
        self._lock = take_lock(self.folder) if create else None
        try:
            if create:
                self._db = open_to_write(self.folder)
            else:
                self._db = open_to_read(self.folder)
        except BaseException:
            self.close()
            raise
        self._inode = os.stat(self.file).st_ino

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of file and lock; safe to call twice."""
        if hasattr(self, "_db"):
            self._db.close()
        if self._lock is not None:
            self._lock.release()

    # -- writing -----------------------------------------------------------------------------------

    def put(self, result: Result) -> None:
        """Keep this result, in place of an earlier one of the same run, and show it in its slot."""
        run_id, row, npz = result.run.id, _row(result), pack(result.series)
        with self._writing() as db:
            db.execute(_PUT, row)
            db.execute("INSERT OR REPLACE INTO series VALUES (?, ?)", (run_id, npz))
            db.execute(_PLACE, (*_place(result.run), run_id))

    def adopt(self, runs: Iterable[Run]) -> tuple[str, ...]:
        """Let the slots of these runs show them and nothing else.

        Says for each stored result that gives way why.

        Slots that no run claims stay as they are, except those that hold one of these runs under an
        earlier label.
        """
        planned = {_place(run): run for run in runs}
        ids = {(run.suite, run.id) for run in planned.values()}
        reasons = []
        with self._writing() as db:
            held = {
                tuple(row[:4]): row[4] for row in db.execute("SELECT * FROM places")
            }
            for place, run in planned.items():
                before = held.get(place, run.id)
                if before != run.id and self.finished(before):
                    reasons.append(self._why_stale(before, run))
                db.execute(_PLACE, (*place, run.id))
            for place, run_id in held.items():
                if place not in planned and (place[0], run_id) in ids:
                    db.execute(_CLEAR, place)
        return tuple(reasons)

    def _why_stale(self, stored: str, planned: Run) -> str:
        try:
            return why_stale(self._load(stored, series=False).run, planned)
        except DamagedError:
            return f"{planned.title}: the stored result is damaged"

    def discard(self, ids: Iterable[str]) -> None:
        """Forget the results of these runs."""
        with self._writing() as db:
            db.executemany(
                "DELETE FROM runs WHERE id = ?", [(run_id,) for run_id in ids]
            )

    # -- reading -----------------------------------------------------------------------------------

    def ids(self) -> frozenset[str]:
        """The ids of all runs that have a result, superseded ones included."""
        return frozenset(run_id for (run_id,) in self._select("SELECT id FROM runs"))

    def current(self) -> dict[tuple[str, str, str, str], str]:
        """The slots (suite, experiment, problem, method) in their order, each with its run's id."""
        return {tuple(slot): run_id for *slot, run_id in self._select(_SHOWN)}

    def finished(self, run_id: str) -> bool:
        """Whether there is a result; one that diverged or failed is a result too."""
        return bool(self._select("SELECT 1 FROM runs WHERE id = ?", run_id))

    def pending(self, runs: Iterable[Run]) -> tuple[Run, ...]:
        """Those to execute, each id once: without a result."""
        done = self.ids()
        return tuple(run for run_id, run in _by_id(runs).items() if run_id not in done)

    def broken(self, runs: Iterable[Run]) -> tuple[Run, ...]:
        """Those to re-run, each id once: their last result broke, under whatever id."""
        status = dict(self._select("SELECT id, status FROM runs"))
        shown = {slot: status[run_id] for slot, run_id in self.current().items()}
        found = []
        for run in _by_id(runs).values():
            last = status.get(run.id, shown.get(_place(run)))
            if last is not None and _has_failed(last):
                found.append(run)
        return tuple(found)

    def get(self, run_id: str) -> Result:
        """One result by its run's id."""
        return self._load(run_id, series=True)

    def results(
        self,
        current: bool = True,
        damaged: Damaged | None = None,
        is_partial: bool = False,
    ) -> Iterator[Result]:
        """Every result, one at a time.

        With `current` those that the slots show, under the slots' present labels.

        One that cannot be read ends it with its DamagedError, unless `damaged` takes that and the
        rest follows; with `is_partial` its rows, too, where its series alone are damaged.
        """
        return self._each(current, True, damaged, is_partial)

    def summaries(
        self, current: bool = True, damaged: Damaged | None = None
    ) -> Iterator[Result]:
        """As `results`, without the series, and several times faster."""
        return self._each(current, False, damaged)

    def _each(
        self,
        current: bool,
        series: bool,
        damaged: Damaged | None,
        is_partial: bool = False,
    ) -> Iterator[Result]:
        for *slot, run_id in self._select(_SHOWN if current else _ALL):
            try:
                result = self._of_slot(slot, run_id, current, series)
            except StoreError as error:
                damage = self._damage(slot[2], slot[3], error.__cause__ or error)
                if damaged is None:
                    raise damage from error
                damaged(damage)
                if not is_partial:
                    continue
                with suppress(StoreError):
                    yield self._of_slot(slot, run_id, current, series=False)
                continue
            yield result

    def _of_slot(
        self, slot: list[Any], run_id: str, current: bool, series: bool
    ) -> Result:
        """The result that a slot shows, under the slot's labels where it is current."""
        try:
            suite, _, problem, method = (check_text(each, "label") for each in slot)
        except ValueError as error:
            raise self._damage(slot[2], slot[3], error) from error
        result = self._load(run_id, series)
        if not current:
            return result
        return replace(result, run=_relabelled(result.run, suite, problem, method))

    def _load(self, run_id: str, series: bool) -> Result:
        columns = "problem_label, label, run, status, rows, environment, log, seconds"
        found = self._select(f"SELECT {columns} FROM runs WHERE id = ?", run_id)
        if not found:
            raise StoreError(f"{self.folder}: no result of run {run_id}")
        problem, optimizer, *stored = found[0]
        try:
            arrays = self._series(run_id) if series else {}
            result = _to_result(stored, arrays)
            if series:
                check_series(result)
        except UNREADABLE as error:
            raise self._damage(problem, optimizer, error) from error
        return result

    def _series(self, run_id: str) -> dict[str, np.ndarray]:
        packed = self._select("SELECT npz FROM series WHERE id = ?", run_id)
        if not packed:
            raise ValueError("its series are missing")
        return unpack(packed[0][0])

    def _damage(
        self, problem: object, optimizer: object, error: BaseException
    ) -> DamagedError:
        title = f"{optimizer} on {problem}" if optimizer else f"{problem}"
        return DamagedError(
            self.file, _printable(title), _printable(str(error))[:MOST_WHY]
        )

    # -- the file ----------------------------------------------------------------------------------

    def _select(self, query: str, *values: object) -> list[Any]:
        with explained(self.file):
            return self._db.execute(query, values).fetchall()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        if self._lock is None:
            raise StoreError(
                f"{self.folder} was opened to be read; Store(folder, create=True) writes"
            )
        if not self._is_in_place():
            raise StoreError(
                f"{self.file} was deleted or replaced while it was in use; run the suite again"
            )
        with explained(self.file), self._db:
            self._db.execute("BEGIN IMMEDIATE")
            yield self._db

    def _is_in_place(self) -> bool:
        """Whether the file of that name is still the one that was opened."""
        try:
            return os.stat(self.file).st_ino == self._inode
        except OSError:
            return False

    def copy_from(self, source: Store) -> None:
        """Every result of another store that this one lacks, and the slots that show them."""
        with self._writing() as db:
            mine = {row[0] for row in db.execute("SELECT id FROM runs")}
            waiting = {
                tuple(row[:4])
                for row in db.execute("SELECT * FROM places")
                if row[4] not in mine
            }
            for table, n_columns in (("runs", 21), ("series", 2), ("places", 5)):
                rows = source._db.execute(
                    f"SELECT * FROM {table} WHERE id IN (SELECT id FROM runs) ORDER BY rowid"
                )
                db.executemany(
                    f"INSERT OR IGNORE INTO {table} VALUES ({', '.join('?' * n_columns)})",
                    rows,
                )
            # A slot of ours that still waits for its result shows theirs.
            for row in source._db.execute(_SHOWN):
                if row[:4] in waiting:
                    db.execute(_PLACE, row)


def _row(result: Result) -> tuple[Any, ...]:
    run, method = result.run, result.run.method
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
        to_json(asdict(run)),
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


def _by_id(runs: Iterable[Run]) -> dict[str, Run]:
    wanted: dict[str, Run] = {}
    for run in runs:
        wanted.setdefault(run.id, run)
    return wanted


def _place(run: Run) -> tuple[str, str, str, str]:
    return run.suite, *run.slot


def _to_result(stored: Sequence[Any], series: dict[str, np.ndarray]) -> Result:
    """From the columns run, status, rows, environment, log and seconds.

    ValueError and others of `UNREADABLE` for damage.
    """
    run_text, status, rows_text, environment_text, log, seconds = stored
    run, environment = read_run(run_text), read_environment(environment_text)
    facts = Facts.of(environment.get("problem") or {})
    rows = read_rows(rows_text, run, facts)
    log = check_text(log, "log")
    return Result(run, Status(status), rows, series, environment, log, float(seconds))


def _has_failed(status: object) -> bool:
    """Whether a stored status is that of a failed run; one that is damaged is worth another try."""
    return status not in set(Status) or Status(str(status)).failed


def _printable(text: str) -> str:
    """One line without control characters or halves of surrogate pairs."""
    return "".join(
        each if each.isprintable() else "?" for each in " ".join(text.split())
    )


def _relabelled(run: Run, suite: str, problem: str, optimizer: str) -> Run:
    return replace(
        run,
        suite=suite,
        problem=replace(run.problem, label=problem),
        method=replace(run.method, label=optimizer),
    )
