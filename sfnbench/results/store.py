"""Results on disk: one SQLite file a folder, a row a run, series as compressed arrays; no pickle.

Which result is current is kept apart from the results: `places` says which run each slot of a suite
shows. So a suite that changed overwrites nothing, and going back to an earlier setting finds its
numbers again.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Container, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DamagedError, StoreError
from ..records import Result, Run, Status
from ..words import one_line
from .checksums import (
    GONE,
    LOST_ROWS,
    WRONG,
    checksum,
    checksum_of,
    have_checksums,
    keep,
    keep_place,
)
from .encoding import UNREADABLE
from .file import FILE as FILE
from .file import explained, open_to_read, open_to_write, take_lock
from .json_values import check_text
from .packing import pack, unpack
from .staleness import why_stale
from .stored_row import place_of, relabelled, to_result, to_row
from .validation import check_series

# called with what cannot be read, so that the rest is
Damaged = Callable[[DamagedError], None]
MOST_WHY = 120  # characters of a reason
_PUT = f"INSERT OR REPLACE INTO runs VALUES ({', '.join('?' * 21)})"
_PLACE = """INSERT INTO places VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (suite, experiment, problem, optimizer) DO UPDATE SET id = excluded.id"""
# by the tables themselves, as an index may be damaged
_SHOWN = "SELECT rowid, * FROM places NOT INDEXED ORDER BY rowid"
_ALL = """SELECT suite, experiment, problem_label, label, id, rowid FROM runs NOT INDEXED
    ORDER BY created, rowid"""
# A run with its checksums, null where there are none.
_SUMMED = """SELECT runs.*, checksums.run, checksums.series
    FROM runs LEFT JOIN checksums ON checksums.id = runs.id"""
_UNSUMMED = "SELECT *, NULL, NULL FROM runs"
_COPIED = {"runs": 21, "series": 2, "checksums": 3}  # tables and their columns
_CLEAR = "DELETE FROM places WHERE (suite, experiment, problem, optimizer) = (?, ?, ?, ?)"


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
        with explained(self.file):
            self._is_summed = have_checksums(self._db)

    def __repr__(self) -> str:
        return f"<Store: {self.file}>"

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
        run_id = result.run.id
        row = to_row(result)
        npz = pack(result.series)
        with self._writing() as db:
            db.execute(_PUT, row)
            db.execute("INSERT OR REPLACE INTO series VALUES (?, ?)", (run_id, npz))
            keep(db, row, npz)
            self._show(db, (*place_of(result.run), run_id))

    def adopt(self, runs: Iterable[Run]) -> tuple[str, ...]:
        """Let the slots of these runs show them and nothing else; why stored results give way.

        Slots that no run claims stay as they are, except those that hold one of these runs under an
        earlier label.
        """
        planned = {place_of(run): run for run in runs}
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
                if held.get(place) != run.id:
                    self._show(db, (*place, run.id))
            for place, run_id in held.items():
                if place not in planned and (place[0], run_id) in ids:
                    db.execute(_CLEAR, place)
        return tuple(reasons)

    def _show(self, db: sqlite3.Connection, place: tuple[Any, ...]) -> None:
        db.execute(_PLACE, place)
        keep_place(db, place)

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
        return frozenset(
            run_id for (run_id,) in self._select("SELECT id FROM runs")
        )

    def statuses(self) -> dict[str, str]:
        """The statuses of all results by their runs' ids, superseded ones included."""
        return dict(self._select("SELECT id, status FROM runs"))

    def current(self) -> dict[tuple[str, str, str, str], str]:
        """The slots (suite, experiment, problem, method) in their order, each with its run's id."""
        return {tuple(slot): run_id for *slot, run_id, _ in self._shown()}

    def finished(self, run_id: str) -> bool:
        """Whether there is a result; one that diverged or failed is a result too."""
        return bool(self._select("SELECT 1 FROM runs WHERE id = ?", run_id))

    def pending(self, runs: Iterable[Run]) -> tuple[Run, ...]:
        """The runs to execute, each id once: those without a result."""
        done = self.ids()
        return tuple(
            run for run_id, run in _by_id(runs).items() if run_id not in done
        )

    def broken(self, runs: Iterable[Run]) -> tuple[Run, ...]:
        """The runs to re-run, each id once: their last result broke, under whatever id."""
        status = self.statuses()
        shown = {slot: status[run_id] for slot, run_id in self.current().items()}
        found = []
        for run in _by_id(runs).values():
            last = status.get(run.id, shown.get(place_of(run)))
            if last is not None and has_failed(last):
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

        With `current` those that the slots show, under the slots' present labels. One that cannot
        be read ends it with its DamagedError, unless `damaged` takes that and the rest follows;
        with `is_partial` its rows, too, where its series alone are damaged.
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
        for error in self._lost():
            if damaged is None:
                raise error
            damaged(error)
        wrong = self.wrong_places() if current else frozenset()
        for *slot, run_id, at in (
            self._shown(wrong) if current else self._select(_ALL)
        ):
            try:
                if (*slot, run_id) in wrong:
                    raise StoreError(WRONG)
                result = self._of_slot(slot, run_id, at, current, series)
            except StoreError as error:
                damage = self._damage(slot[2], slot[3], error.__cause__ or error)
                if damaged is None:
                    raise damage from error
                damaged(damage)
                if not is_partial or (*slot, run_id) in wrong:
                    continue
                with suppress(StoreError):
                    yield self._of_slot(slot, run_id, at, current, series=False)
                continue
            yield result

    def _shown(self, wrong: Container[Any] = ()) -> Iterator[tuple[Any, ...]]:
        """The slots that have a result, each with its run's id and row; also `wrong` ones.

        What joined later stands with its problem, not at the end.
        """
        rows = dict(self._select("SELECT id, rowid FROM runs NOT INDEXED"))
        places = [place for _, *place in self._select(_SHOWN)]
        found = [each for each in places if each[4] in rows or tuple(each) in wrong]
        order: dict[tuple[Any, ...], int] = {}
        for each in found:
            order.setdefault(tuple(each[:3]), len(order))
        for each in sorted(found, key=lambda place: order[tuple(place[:3])]):
            yield *each, rows.get(each[4])

    def wrong_places(self) -> frozenset[tuple[Any, ...]]:
        """Places that are not as they were written."""
        if not self._is_summed:
            return frozenset()
        sums = dict(self._select("SELECT place, sum FROM place_checksums"))
        places = [(at, tuple(place)) for at, *place in self._select(_SHOWN)]
        return frozenset(
            place
            for at, place in places
            if sums.get(at) not in (None, checksum(place))
        )

    def _lost(self) -> Iterator[DamagedError]:
        """Results and places that were written and are gone, without having been deleted."""
        if not self._is_summed:
            return
        for what, queries in LOST_ROWS.items():
            written, there = (set(self._select(query)) for query in queries)
            for (key,) in sorted(written - there):
                yield self._damage(f"{what} {key}", "", ValueError(GONE))

    def _of_slot(
        self, slot: list[Any], run_id: str, at: int, current: bool, series: bool
    ) -> Result:
        """The result that a slot shows, under the slot's labels where it is current."""
        try:
            suite, _, problem, method = (check_text(each, "label") for each in slot)
        except ValueError as error:
            raise self._damage(slot[2], slot[3], error) from error
        result = self._load(run_id, series, at)
        if not current:
            return result
        run = relabelled(result.run, suite, problem, method)
        return result if run is result.run else replace(result, run=run)

    def _load(self, run_id: str, series: bool, at: int | None = None) -> Result:
        """A result by its id, or by its row where that is known."""
        query = _SUMMED if self._is_summed else _UNSUMMED
        found = self._select(
            f"{query} WHERE runs.rowid = ? AND runs.id = ?", at, run_id
        )
        if not found:  # it was written again meanwhile
            found = self._select(f"{query} WHERE runs.id = ?", run_id)
        if not found:
            raise StoreError(f"{self.folder}: no result of run {run_id}")
        *row, sum_of_run, sum_of_series = found[0]
        try:
            if sum_of_run not in (None, checksum(row)):
                raise ValueError(WRONG)
            arrays = self._series(run_id, sum_of_series) if series else {}
            result = to_result(row, arrays)
            if series:
                check_series(result)
        except UNREADABLE as error:
            raise self._damage(row[4], row[7], error) from error
        return result

    def _series(self, run_id: str, expected: int | None) -> dict[str, np.ndarray]:
        packed = self._select("SELECT npz FROM series WHERE id = ?", run_id)
        if not packed:
            raise ValueError("its series are missing")
        if expected not in (None, checksum_of(packed[0][0])):
            raise ValueError(WRONG)
        return unpack(packed[0][0])

    def _damage(
        self, problem: object, optimizer: object, error: BaseException
    ) -> DamagedError:
        title = f"{optimizer} on {problem}" if optimizer else f"{problem}"
        return DamagedError(
            self.file, _shortened_text(title), _shortened_text(str(error))
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
            filled = {tuple(row[:4]) for row in db.execute("SELECT * FROM places")}
            for table, n_columns in _COPIED.items():
                if table == "checksums" and not source._is_summed:
                    continue
                rows = source._db.execute(f"SELECT * FROM {table} ORDER BY rowid")
                marks = ", ".join("?" * n_columns)
                new = (row for row in rows if row[0] not in mine)
                db.executemany(
                    f"INSERT OR IGNORE INTO {table} VALUES ({marks})", new
                )
            # A slot of ours that still waits for its result shows theirs.
            for *slot, run_id, _ in source._shown():
                place = (*slot, run_id)
                is_free = place[:4] in waiting or place[:4] not in filled
                if is_free and place not in source.wrong_places():
                    self._show(db, place)


def _by_id(runs: Iterable[Run]) -> dict[str, Run]:
    wanted: dict[str, Run] = {}
    for run in runs:
        wanted.setdefault(run.id, run)
    return wanted


def has_failed(status: object) -> bool:
    """Whether a stored status is that of a failed run; one that is damaged is worth another try."""
    return status not in set(Status) or Status(str(status)).failed


def _shortened_text(text: str) -> str:
    return one_line(" ".join(text.split()))[:MOST_WHY]
