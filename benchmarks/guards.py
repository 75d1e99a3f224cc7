"""Limits on the time and the memory that reading something hostile may take."""

from __future__ import annotations

import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import psutil

SPARE_BYTES = 2**32  # beyond what the process has: more is refused by the system


class GivenUpError(BaseException):
    """Reading takes too long; no `except Exception` keeps it from ending."""


@contextmanager
def given_up_after(seconds: float) -> Iterator[None]:
    """Raise GivenUpError in the block after so many seconds of the processor."""

    def give_up(number: int, frame: FrameType | None) -> None:
        raise GivenUpError

    before = signal.signal(signal.SIGVTALRM, give_up)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds, 1.0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def limit_memory() -> None:
    """Let the system refuse what would take the machine's memory."""
    most = psutil.Process().memory_info().vms + SPARE_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def most_memory() -> int:
    """The most bytes that this process has held so far."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
