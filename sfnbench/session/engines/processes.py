"""A fresh process for every run, on this machine.

A crash costs its own run only, and a timeout is hard.

The processes are forked from a server that has torch loaded (0.06 s each, rather than 2 s), and
share nothing: each hands its result back through a pipe of its own. They end with this process,
however that ends.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import queue
import signal
import tempfile
import traceback
from collections.abc import Generator, Iterable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter

from pebble import ProcessExpired, concurrent

from ... import environment
from ...errors import SfnbenchError
from ...records import Result, Run, Status
from . import Conditions, Progress
from .server import ForkServer, ctrl_c_deferred, start_server
from .worker import POLL_S, REPORT, Errand, work

LOG_BYTES = 20_000  # of a worker's output that its result keeps, counted from the end

_numbers = itertools.count()


def processes(
    runs: Iterable[Run], conditions: Conditions, on_progress: Progress | None = None
) -> Generator[Result, None, None]:
    """Execute the runs, each in a process of its own."""
    waiting = iter(runs)
    with (
        tempfile.TemporaryDirectory(prefix="sfnbench-") as folder,
        _Crew(conditions, Path(folder)) as crew,
    ):
        crew.start(itertools.islice(waiting, conditions.jobs))
        while crew.at_work:
            result = crew.finished()
            crew.report(on_progress)
            if result is not None:
                crew.start(
                    itertools.islice(waiting, 1)
                )  # before the caller takes its time over the result
                yield result


@dataclass(frozen=True)
class _Task:
    run: Run
    output: Path
    began: float
    future: Future[Result]


class _Crew:
    """The worker processes at work, one for each run."""

    def __init__(self, conditions: Conditions, folder: Path) -> None:
        self.conditions, self.folder = conditions, folder
        self.at_work: dict[int, _Task] = {}
        self.name = f"sfnbench-{next(_numbers)}"
        self._done: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._reports, self._reporting = multiprocessing.Pipe(duplex=False)
        os.set_blocking(
            self._reporting.fileno(), False
        )  # nobody waits for a reader: reports are dropped instead

    def __enter__(self) -> _Crew:
        start_server()
        return self

    def __exit__(self, *_: object) -> None:
        for process in multiprocessing.active_children():
            if process.name == self.name:
                process.kill()
                process.join()
        self._reports.close()
        self._reporting.close()

    def start(self, runs: Iterable[Run]) -> None:
        for run in runs:
            number = next(_numbers)
            output = self.folder / str(number)
            errand = Errand(
                number,
                self.conditions,
                output,
                self._reporting,
                dict(os.environ),
                environment.machine(),
            )
            # pebble's types call `context` mp_context, which it ignores.
            process = concurrent.process(
                name=self.name, timeout=run.timeout_s, context=ForkServer()
            )  # type: ignore
            try:
                with ctrl_c_deferred():
                    future = process(work)(run, errand)
            except (OSError, EOFError) as error:
                message = f"no worker process could be started ({error!r}); the engine 'inline' needs none"
                raise SfnbenchError(message) from error
            self.at_work[number] = _Task(run, output, perf_counter(), future)
            future.add_done_callback(lambda _, number=number: self._done.put(number))

    def finished(self) -> Result | None:
        """The next result; None when there is none for a while."""
        try:
            task = self.at_work.pop(self._done.get(timeout=POLL_S))
        except queue.Empty:
            return None
        result = _outcome(task)
        return replace(
            result, log=_tail(task.output) + result.log
        )  # the last line says what happened

    def report(self, on_progress: Progress | None) -> None:
        """Pass on the latest that each worker told of its progress."""
        latest = {}
        for _ in range(1000):  # a worker that reports faster than this reads must not keep it here
            if not self._reports.poll():
                break
            number, share = REPORT.unpack(self._reports.recv_bytes())
            latest[number] = share
        for number, share in latest.items():
            if on_progress and number in self.at_work:
                on_progress(self.at_work[number].run, share)


def _outcome(task: _Task) -> Result:
    """What the worker gave; where it gave nothing, a result that says why."""
    try:
        return task.future.result()
    except TimeoutError as error:
        status, log = Status.TIMEOUT, f"stopped after {error.args[-1]:g} s\n"
    except ProcessExpired as error:
        status, log = Status.ERROR, f"{_last_words(error.exitcode)}\n"
    except Exception as error:
        status, log = Status.ERROR, "".join(traceback.format_exception(error))
    facts = {**environment.machine(), "device": task.run.device, "threads": None}
    return Result(task.run, status, environment=facts, log=log, seconds=perf_counter() - task.began)


def _last_words(exitcode: int) -> str:
    if exitcode >= 0:
        return f"the worker process ended without a result, with exit code {exitcode}"
    hint = "; the system does that when memory runs out" if exitcode == -signal.SIGKILL else ""
    name = {number.value: number.name for number in signal.Signals}.get(
        -exitcode, f"signal {-exitcode}"
    )
    return f"the worker process was killed by {name}{hint}"


def _tail(output: Path) -> str:
    with suppress(OSError), output.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - LOG_BYTES))
        text = file.read().decode("utf-8", "replace")
        output.unlink()
        return text
    return ""
