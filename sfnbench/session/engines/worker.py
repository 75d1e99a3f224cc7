"""What happens in the process of one run, around the run itself."""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import signal
import struct
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import connection
from pathlib import Path
from time import perf_counter
from typing import Any, TextIO

from ... import environment
from ...records import Result, Run
from . import Conditions
from .inline import attempt

POLL_S = 0.1  # progress is told so often
REPORT = struct.Struct("<Qd")  # which run, and the share of it that is done


@dataclass(frozen=True)
class Errand:
    """What a worker process is told, besides the run."""

    number: int
    conditions: Conditions
    output: Path  # takes all that it prints
    reports: connection.Connection
    variables: dict[
        str, str
    ]  # the server's environment variables are those of the time when it was started
    machine: dict[str, Any]


def work(run: Run, errand: Errand) -> Result:
    """Execute the run, with this process prepared for it."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a handler in Python waits for LAPACK to return
    _end_with_parent()
    _redirect_output(errand.output)
    os.environ.clear()
    os.environ.update(errand.variables, OMP_NUM_THREADS=str(errand.conditions.threads))
    environment.assume(errand.machine)
    try:
        return attempt(run, errand.conditions, _Reporter(errand))
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


class _Reporter:
    """Tells the parent process how far the run is, at most every `POLL_S` seconds."""

    def __init__(self, errand: Errand) -> None:
        self.errand, self.told = errand, 0.0

    def __call__(self, share: float) -> None:
        now = perf_counter()
        if now - self.told >= POLL_S:
            self.told = now
            with suppress(
                OSError
            ):  # the pipe is full, or its reader gone; shorter than PIPE_BUF: all or nothing
                self.errand.reports.send_bytes(REPORT.pack(self.errand.number, share))


def _end_with_parent() -> None:
    """End this process when the parent does, without asking whether the parent could say so."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    sentinel = int(parent.sentinel)  # a pipe that closes with the parent

    def watch() -> None:
        connection.wait([sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    if hasattr(os, "O_ASYNC"):
        import fcntl

        # The thread cannot run while a LAPACK routine holds the interpreter for seconds; the
        # kernel's SIGIO can.
        signal.signal(signal.SIGIO, signal.SIG_DFL)
        fcntl.fcntl(sentinel, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(sentinel, fcntl.F_SETFL, fcntl.fcntl(sentinel, fcntl.F_GETFL) | os.O_ASYNC)


def _redirect_output(output: Path) -> None:
    """Send all that this process prints, its C libraries and a crash's traceback included, to a file."""
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(file)
    sys.stdout, sys.stderr = _line_by_line(1), _line_by_line(2)
    faulthandler.enable(2)


def _line_by_line(descriptor: int) -> TextIO:
    """A text stream over a descriptor that stays open for as long as the process lives."""
    return os.fdopen(descriptor, "w", 1, "utf-8", "backslashreplace", closefd=False)
