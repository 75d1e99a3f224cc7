"""The log of a run, printed and raised, kept short: the head and the tail."""

from __future__ import annotations

from pathlib import Path

MOST_LOG_BYTES = 32 * 1024  # of what a run printed, and as much again of what it raised
HEAD = MOST_LOG_BYTES // 4


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
