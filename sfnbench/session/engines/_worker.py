"""What happens in the process of one run, around the run itself."""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import signal
import struct
import sys
import threading
import traceback
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import connection
from pathlib import Path
from time import perf_counter
from typing import Any, TextIO

from ... import environment
from ...records import Result, Run, Status
from . import Conditions
from .inline import attempt, failure

POLL_S = 0.1  # progress is reported so often
REPORT = struct.Struct(
    "<Qd"
)  # the number of a task, and the share of its run that is done


@dataclass(frozen=True)
class WorkerTask:
    """What a worker process needs besides the run."""

    number: int
    conditions: Conditions
    output: Path  # takes all that the process prints
    reports: connection.Connection
    variables: dict[
        str, str
    ]  # the server's environment variables are older than the caller's
    machine: dict[str, Any]

    @property
    def group(self) -> Path:
        """The file that holds the number of the worker's process group."""
        return self.output.with_suffix(".group")


def work(run: Run, task: WorkerTask) -> Result:
    """Execute the run, with this process prepared for it."""
    os.setpgid(0, 0)  # what the run starts ends with it: see `end_group`
    task.group.write_text(str(os.getpid()))
    signal.signal(
        signal.SIGTERM, signal.SIG_DFL
    )  # a handler in Python waits for LAPACK to return
    _end_with_parent()
    _redirect_output(task.output)
    os.environ.clear()
    os.environ.update(task.variables, OMP_NUM_THREADS=str(task.conditions.threads))
    environment.assume(task.machine)
    began = perf_counter()
    try:
        return attempt(run, task.conditions, _Reporter(task))
    except (
        BaseException
    ):  # KeyboardInterrupt too: the terminal's Ctrl-C does not reach this process
        return failure(
            run, Status.ERROR, traceback.format_exc(), perf_counter() - began
        )
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


def end_group(task: WorkerTask) -> None:
    """End all processes that a worker has left behind, in the parent process."""
    with suppress(OSError, ValueError):
        os.killpg(int(task.group.read_text()), signal.SIGKILL)
    task.group.unlink(missing_ok=True)


class _Reporter:
    """Reports to the parent process how far the run is, at most every `POLL_S` seconds."""

    def __init__(self, task: WorkerTask) -> None:
        self.task, self.last_report = task, 0.0

    def __call__(self, share: float) -> None:
        now = perf_counter()
        if now - self.last_report < POLL_S:
            return
        self.last_report = now
        # The pipe may be full, or its reader gone. A report is shorter than PIPE_BUF: all or none.
        with suppress(OSError):
            self.task.reports.send_bytes(REPORT.pack(self.task.number, share))


def _end_with_parent() -> None:
    """End this process and its children when the parent ends, however that ends."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    sentinel = int(parent.sentinel)  # a pipe that closes with the parent

    def watch() -> None:
        connection.wait([sentinel])
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()
    if hasattr(os, "O_ASYNC"):
        import fcntl

        # The thread cannot run while a LAPACK routine holds the interpreter for seconds; the
        # kernel's SIGIO, sent to the whole process group, can.
        signal.signal(signal.SIGIO, signal.SIG_DFL)
        fcntl.fcntl(sentinel, fcntl.F_SETOWN, -os.getpgid(0))
        fcntl.fcntl(
            sentinel, fcntl.F_SETFL, fcntl.fcntl(sentinel, fcntl.F_GETFL) | os.O_ASYNC
        )


def _redirect_output(output: Path) -> None:
    """Send to a file all that this process, its C libraries and a crash's traceback print."""
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(file)
    sys.stdout, sys.stderr = _line_by_line(1), _line_by_line(2)
    faulthandler.enable(2)


def _line_by_line(descriptor: int) -> TextIO:
    """A text stream over a descriptor that stays open for as long as the process lives."""
    return os.fdopen(descriptor, "w", 1, "utf-8", "backslashreplace", closefd=False)
