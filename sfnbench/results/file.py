"""The SQLite file under a store: tables, lock, opening, and its errors in one line each."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from operator import methodcaller
from pathlib import Path

import filelock

from ..errors import NoResultsError, StoreError
from ..records import FORMAT
from .checksums import STATEMENTS as CHECKSUMS
from .checksums import have_checksums

FILE = "results.sqlite"
APPLICATION = 0x53464E42  # "SFNB": marks a file as one of ours

TABLES = (
    """CREATE TABLE runs (
        id TEXT PRIMARY KEY, suite TEXT, experiment TEXT,
        problem TEXT, problem_label TEXT, problem_params TEXT,
        optimizer TEXT, label TEXT, optimizer_params TEXT,
        seeds TEXT, settings TEXT, dtype TEXT, device TEXT, run TEXT NOT NULL,
        status TEXT NOT NULL, seconds REAL NOT NULL, created TEXT NOT NULL, commit_id TEXT,
        environment TEXT NOT NULL, rows TEXT NOT NULL, log TEXT NOT NULL)""",
    # Apart, so that listing the runs does not read past the arrays.
    """CREATE TABLE series (
        id TEXT PRIMARY KEY REFERENCES runs ON DELETE CASCADE, npz BLOB NOT NULL)""",
    """CREATE TABLE places (
        suite TEXT, experiment TEXT, problem TEXT, optimizer TEXT, id TEXT NOT NULL,
        UNIQUE (suite, experiment, problem, optimizer))""",
    f"PRAGMA application_id = {APPLICATION}",
    f"PRAGMA user_version = {FORMAT}",
)

_AGAIN = "if it is a copy, copy it again, else move it away and run again"
_MEANINGS = {
    "SQLITE_FULL": "no space left on the disk; what was stored before is kept",
    "SQLITE_NOTADB": f"damaged, or not a results file; {_AGAIN}",
    "SQLITE_CORRUPT": f"damaged, or copied in part; {_AGAIN}",
    "SQLITE_READONLY": "cannot be written to",
    "SQLITE_CANTOPEN": "cannot be opened",
    "SQLITE_PERM": "cannot be opened",
    "SQLITE_BUSY": "locked by another program",
}


@contextmanager
def explained(file: Path) -> Iterator[None]:
    """Turn what SQLite raises in this block into a StoreError of one line."""
    try:
        yield
    # UnicodeError: a name in a damaged schema, or an id, is no UTF-8
    except (sqlite3.Error, UnicodeError) as error:
        name = getattr(error, "sqlite_errorname", "")
        meaning = next(
            (text for start, text in _MEANINGS.items() if name.startswith(start)),
            None,
        )
        raise StoreError(
            f"{file}: {meaning} ({error})" if meaning else f"{file}: {error}"
        ) from error


def take_lock(folder: Path) -> filelock.BaseFileLock:
    """The right to write in this folder, made if missing.

    The operating system takes it back when the process ends.
    """
    lock = filelock.FileLock(folder / "results.lock")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise StoreError(
            f"{folder}: another run is writing there; wait for it, or choose another --out"
        ) from None
    except OSError as error:
        raise StoreError(
            f"{folder}: cannot be written to ({error.strerror or error})"
        ) from error
    return lock


def open_to_write(folder: Path) -> sqlite3.Connection:
    """The folder's results, made if missing."""
    file = folder / FILE
    with explained(file):
        db = _connect(file, "rwc")
        try:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = NORMAL")
            db.execute("PRAGMA foreign_keys = ON")
            if _is_blank(db):
                with db:
                    db.execute("BEGIN IMMEDIATE")
                    for statement in TABLES:
                        db.execute(statement)
            _check_kind(db, file)
            if not have_checksums(db):
                with db:
                    for statement in CHECKSUMS:
                        db.execute(statement)
            # the check takes 0.3 s for 10,000 runs of 1,000 points
            (found,) = db.execute("PRAGMA quick_check(1)").fetchone()
            if found != "ok":
                raise StoreError(
                    f"{file}: {_MEANINGS['SQLITE_CORRUPT']} ({' '.join(found.split())})"
                )
        except BaseException:
            db.close()
            raise
    return db


def open_to_read(folder: Path) -> sqlite3.Connection:
    """The folder's results, also while a run writes them and where nothing may be written.

    There has to be one.
    """
    file = folder / FILE
    with explained(file):
        db = _connect_to_read(file) if file.is_file() else None
        try:
            if db is None or _is_blank(db):
                raise NoResultsError(
                    f"no results in {folder}; `sfnbench run SUITE` makes them"
                )
            _check_kind(db, file)
            if not db.execute("SELECT 1 FROM runs LIMIT 1").fetchone():
                raise NoResultsError(
                    f"no results in {folder} yet; `sfnbench run SUITE` makes them"
                )
        except BaseException:
            if db is not None:
                db.close()
            raise
    return db


def _connect(file: Path, mode: str) -> sqlite3.Connection:
    db = sqlite3.connect(
        f"{file.absolute().as_uri()}?mode={mode}", uri=True, timeout=30
    )
    # Text that is no UTF-8 is one result's damage; validation finds it.
    db.text_factory = methodcaller("decode", "utf-8", "surrogateescape")
    try:
        _is_blank(db)  # connecting looks at nothing yet
    except BaseException:
        db.close()
        raise
    return db


def _connect_to_read(file: Path) -> sqlite3.Connection:
    try:
        # a reader too may have to mend what a killed writer left
        return _connect(file, "rw")
    except sqlite3.OperationalError:
        wal = file.with_name(f"{file.name}-wal")
        unfinished = wal.exists() and wal.stat().st_size > 0
        # Where nothing may be written: the file is all there is, unless something unfinished lies
        # beside it.
        return _connect(file, "ro" if unfinished else "ro&immutable=1")


def _is_blank(db: sqlite3.Connection) -> bool:
    return db.execute("SELECT 1 FROM sqlite_master").fetchone() is None


def _check_kind(db: sqlite3.Connection, file: Path) -> None:
    ((application,),), ((version,),) = (
        db.execute(f"PRAGMA {name}") for name in ("application_id", "user_version")
    )
    if application != APPLICATION:
        raise StoreError(
            f"{file}: a database, but not one of sfnbench's; choose another --out"
        )
    if version != FORMAT:
        if version > FORMAT:
            advice = "update sfnbench"
        else:
            advice = "choose another --out for new results"
        raise StoreError(
            f"{file}: has format {version}, this sfnbench reads and writes {FORMAT}; {advice}"
        )
