"""The log of a run, printed and raised, kept short: the head and the tail."""

from __future__ import annotations

import ctypes
from contextlib import suppress
from pathlib import Path

# of what a run printed, and as much again of what it raised
MOST_LOG_BYTES = 32 * 1024
HEAD = MOST_LOG_BYTES // 4
MOST_ON_DISK = 2**24  # bytes that a file of output takes for long
_PUNCH_HOLE = 0x1 | 0x2  # the size of the file stays, see fallocate(2)


def shortened(text: str) -> str:
    """The text; of one longer than `MOST` characters its head and its tail.

    >>> len(shortened("x" * 10**7)) < MOST_LOG_BYTES + 100
    True
    """
    if len(text) <= MOST_LOG_BYTES:
        return text
    tail = MOST_LOG_BYTES - HEAD
    n_out = len(text) - MOST_LOG_BYTES
    return f"{text[:HEAD]}\n... {n_out:,} characters left out ...\n{text[-tail:]}"


def read_log(output: Path) -> str:
    """The text of a file, shortened without reading its middle; empty where there is no file."""
    try:
        size = output.stat().st_size
        with output.open("rb") as file:
            if size <= MOST_LOG_BYTES:
                return file.read().decode("utf-8", "replace")
            head = file.read(HEAD).decode("utf-8", "replace")
            file.seek(size - (MOST_LOG_BYTES - HEAD))
            tail = file.read(MOST_LOG_BYTES - HEAD).decode("utf-8", "replace")
    except OSError:
        return ""
    return f"{head}\n... {size - MOST_LOG_BYTES:,} bytes left out ...\n{tail}"


def free_middle(output: Path) -> None:
    """Give back the disk under the middle of a file that a run goes on writing to, if it is long.

    The file keeps its size, and reads as zeros there. Nothing happens where there is no file, or
    where the system cannot.
    """
    with suppress(OSError, AttributeError):
        found = output.stat()
        if 512 * found.st_blocks > MOST_ON_DISK:
            fallocate = ctypes.CDLL(None).fallocate
            length = ctypes.c_int64(found.st_size - 2 * MOST_LOG_BYTES)
            with output.open("r+b") as file:
                start = ctypes.c_int64(MOST_LOG_BYTES)
                fallocate(file.fileno(), _PUNCH_HOLE, start, length)
