"""A checksum of each stored row, so that a bit that flips on a disk is said and not shown.

They lie in tables of their own: a file without them is read as before, and an earlier version of
sfnbench may go on writing it. What changes a row by any other way drops its checksum.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterable
from typing import Any

WRONG = "its checksum is another: something changed on the disk"
GONE = "its row is no longer there"
STATEMENTS = (
    """CREATE TABLE IF NOT EXISTS checksums (
        id TEXT PRIMARY KEY REFERENCES runs ON DELETE CASCADE,
        run INTEGER NOT NULL, series INTEGER NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS place_checksums (
        place INTEGER PRIMARY KEY, sum INTEGER NOT NULL)""",
    """CREATE TRIGGER IF NOT EXISTS changed_run AFTER UPDATE ON runs BEGIN
        DELETE FROM checksums WHERE id = old.id; END""",
    """CREATE TRIGGER IF NOT EXISTS deleted_run AFTER DELETE ON runs BEGIN
        DELETE FROM checksums WHERE id = old.id; END""",
    """CREATE TRIGGER IF NOT EXISTS changed_series AFTER UPDATE ON series BEGIN
        DELETE FROM checksums WHERE id = old.id; END""",
    """CREATE TRIGGER IF NOT EXISTS changed_place AFTER UPDATE ON places BEGIN
        DELETE FROM place_checksums WHERE place = old.rowid; END""",
    """CREATE TRIGGER IF NOT EXISTS deleted_place AFTER DELETE ON places BEGIN
        DELETE FROM place_checksums WHERE place = old.rowid; END""",
)
# The row as it was written, and as it is now. Read from the tables: an index may be damaged, too.
LOST_ROWS = {
    "run": (
        "SELECT id FROM checksums NOT INDEXED",
        "SELECT id FROM runs NOT INDEXED",
    ),
    "place": (
        "SELECT place FROM place_checksums",
        "SELECT rowid FROM places NOT INDEXED",
    ),
}
_OF_RUN = "INSERT OR REPLACE INTO checksums VALUES (?, ?, ?)"
_OF_PLACE = """INSERT OR REPLACE INTO place_checksums SELECT rowid, ? FROM places
    WHERE (suite, experiment, problem, optimizer) = (?, ?, ?, ?)"""


def checksum(values: Iterable[Any]) -> int:
    """CRC-32 of the values of a row: it notices every burst of up to 32 bits."""
    text = "\0".join([*map(str, values), ""])
    return zlib.crc32(text.encode("utf-8", "surrogateescape"))


def checksum_of(npz: bytes) -> int:
    """CRC-32 of packed series."""
    return zlib.crc32(b"\0", zlib.crc32(npz))


def have_checksums(db: sqlite3.Connection) -> bool:
    """Whether the file has the tables; one of an earlier version has not."""
    query = "SELECT 1 FROM sqlite_master WHERE name = 'place_checksums'"
    return db.execute(query).fetchone() is not None


def keep(db: sqlite3.Connection, run: tuple[Any, ...], npz: bytes) -> None:
    """Note the checksums of a run and its series, which were written a moment ago."""
    db.execute(_OF_RUN, (run[0], checksum(run), checksum_of(npz)))


def keep_place(db: sqlite3.Connection, place: tuple[Any, ...]) -> None:
    """Note the checksum of a place: a slot, and the id of the run that it shows."""
    db.execute(_OF_PLACE, (checksum(place), *place[:4]))
