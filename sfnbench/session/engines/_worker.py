"""What happens in a worker process around the runs that it executes, one after another."""

from __future__ import annotations

import faulthandler
import gc
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
from time import perf_counter, process_time
from typing import TYPE_CHECKING, Any, TextIO

from ... import environment
from ...records import Result, Run, Status
from . import Conditions
from .inline import attempt, failure, log_of

if TYPE_CHECKING:
    from ._surroundings import Surroundings

BEGUN = "begun"  # what a worker says before it executes a run
REPORT_S = 0.1  # progress is reported so often
# the number of a task, and the share of its run that is done
REPORT = struct.Struct("<Qd")


@dataclass(frozen=True)
class WorkerTask:
    """What a worker process needs besides its runs."""

    conditions: Conditions
    channel: connection.Connection  # runs come in, results go out
    reports: connection.Connection
    # the caller's, for the server's environment variables are older
    variables: dict[str, str]
    machine: dict[str, Any]


@dataclass(frozen=True)
class Order:
    """A run to execute."""

    run: Run
    number: int
    output: Path  # takes all that the process prints meanwhile


@dataclass(frozen=True)
class Answer:
    """A run's result, and what the run changed of its process that cannot be undone."""

    result: Result
    changes: tuple[str, ...] = ()
    processor_s: float = 0.0  # that the run took of the processor


def serve(task: WorkerTask) -> None:
    """Execute one run after another, in a process prepared for them, until there are no more."""
    from ._surroundings import Surroundings  # it imports torch

    _prepare(task)
    surroundings = Surroundings()
    while True:
        try:
            order: Order = task.channel.recv()
        except EOFError:
            return
        _redirect_output(order.output)
        task.channel.send(BEGUN)
        began, computed = perf_counter(), process_time()
        result = _answer_to(order, task)
        seconds = perf_counter() - began
        computed = process_time() - computed
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError, AttributeError):  # it may be closed
                stream.flush()
        answer = Answer(result, _restored(surroundings), computed)
        _send(task.channel, answer, seconds)


def _prepare(task: WorkerTask) -> None:
    os.setpgid(0, 0)  # what a run starts ends with it: see `end_group`
    # a handler in Python waits for LAPACK to return
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _end_with_parent()
    _share_cores()
    os.environ.clear()
    os.environ.update(task.variables, OMP_NUM_THREADS=str(task.conditions.threads))
    environment.assume(task.machine)
    sys.stdout = _line_by_line(1)
    sys.stderr = _line_by_line(2)
    faulthandler.enable(2)
    gc.freeze()  # what the server has loaded is no garbage: no time is spent on looking


def _share_cores() -> None:
    """Ask Linux for its policy for batches: each of many runs computes for longer at a time."""
    if hasattr(os, "SCHED_BATCH"):
        with suppress(OSError):  # it may refuse
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def _answer_to(order: Order, task: WorkerTask) -> Result:
    began = perf_counter()
    try:
        return attempt(order.run, task.conditions, _Reporter(task, order.number))
    except BaseException as error:
        # KeyboardInterrupt too: the terminal's Ctrl-C does not reach this process
        seconds = perf_counter() - began
        return failure(order.run, Status.ERROR, log_of(error), seconds)


def _restored(surroundings: Surroundings) -> tuple[str, ...]:
    """What a run changed and cannot be undone; its result stands, however the process is left."""
    try:
        return surroundings.restore()
    except Exception as error:  # no more files, no folder
        return (f"what cannot be looked at: {error!r}",)


def _send(channel: connection.Connection, answer: Answer, seconds: float) -> None:
    try:
        channel.send(answer)
    except OSError:  # the parent is gone
        os._exit(1)
    except Exception:  # it cannot be pickled, and nothing was sent
        run = answer.result.run
        log = traceback.format_exc()
        failed = failure(run, Status.ERROR, log, seconds)
        channel.send(Answer(failed, answer.changes))


def end_group(leader: int | None) -> None:
    """End all processes that a worker has left behind, in the parent process."""
    if leader is not None:
        with suppress(OSError):
            os.killpg(leader, signal.SIGKILL)


class _Reporter:
    """Reports to the parent process how far the run is, at most every `REPORT_S` seconds."""

    def __init__(self, task: WorkerTask, number: int) -> None:
        self.task = task
        self.number = number
        self.last_report = 0.0

    def __call__(self, share: float) -> None:
        now = perf_counter()
        if now - self.last_report < REPORT_S:
            return
        self.last_report = now
        # The pipe may be full, or its reader gone. A report is shorter than PIPE_BUF: all or none.
        with suppress(OSError):
            self.task.reports.send_bytes(REPORT.pack(self.number, share))


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
            sentinel,
            fcntl.F_SETFL,
            fcntl.fcntl(sentinel, fcntl.F_GETFL) | os.O_ASYNC,
        )


def _redirect_output(output: Path) -> None:
    """Send to a file all that this process, its C libraries and a crash's traceback print."""
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(file)


def _line_by_line(descriptor: int) -> TextIO:
    """A text stream over a descriptor that stays open for as long as the process lives."""
    return os.fdopen(descriptor, "w", 1, "utf-8", "backslashreplace", closefd=False)
