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
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter

from pebble import ProcessExpired, concurrent

from ... import environment
from ...errors import SfnbenchError
from ...records import Result, Run, Status
from . import Conditions, RunProgress, _logs
from ._server import ForkServer, ctrl_c_deferred, start_server
from ._worker import POLL_S, REPORT, WorkerTask, end_group, work

_run_numbers = itertools.count()


def processes(
    runs: Iterable[Run], conditions: Conditions, on_progress: RunProgress | None = None
) -> Generator[Result, None, None]:
    """Execute the runs, each in a process of its own."""
    waiting = iter(runs)
    first = list(itertools.islice(waiting, conditions.jobs))
    if not first:  # nothing to start a server for
        return
    with (
        tempfile.TemporaryDirectory(prefix="sfnbench-") as folder,
        Workers(conditions, Path(folder)) as workers,
    ):
        workers.start(first)
        while workers.running:
            result = workers.finished()
            workers.report(on_progress)
            if result is not None:
                # Before the caller takes its time over the result.
                workers.start(itertools.islice(waiting, 1))
                yield result


@dataclass(frozen=True)
class _Running:
    """A run, the process that executes it, and when that began."""

    run: Run
    task: WorkerTask
    began: float
    future: Future[Result]


class Workers:
    """The worker processes that are running, one for each run."""

    def __init__(self, conditions: Conditions, folder: Path) -> None:
        self.conditions, self.folder = conditions, folder
        self.running: dict[int, _Running] = {}
        self.name = f"sfnbench-{next(_run_numbers)}"
        self._done: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._reports, self._reporting = multiprocessing.Pipe(duplex=False)
        # No worker waits for its reports to be read: they are dropped instead.
        os.set_blocking(self._reporting.fileno(), False)

    def __enter__(self) -> Workers:
        start_server()
        return self

    def __exit__(self, *_: object) -> None:
        for process in multiprocessing.active_children():
            if process.name == self.name:
                process.kill()
                process.join()
        for each in self.running.values():
            end_group(each.task)
        self._reports.close()
        self._reporting.close()

    def start(self, runs: Iterable[Run]) -> None:
        """Start a process for each run; SfnbenchError where the system gives none."""
        for run in runs:
            number = next(_run_numbers)
            task = WorkerTask(
                number,
                self.conditions,
                self.folder / str(number),
                self._reporting,
                dict(os.environ),
                environment.machine(),
            )
            # pebble's types call `context` mp_context, which it ignores.
            process = concurrent.process(
                name=self.name,
                timeout=run.timeout_s,
                context=ForkServer(),  # type: ignore
            )
            try:
                with ctrl_c_deferred():
                    future = process(work)(run, task)
            except (OSError, EOFError) as error:
                raise SfnbenchError(
                    f"no worker process could be started ({error!r});"
                    " the engine 'inline' needs none"
                ) from error
            self.running[number] = _Running(run, task, perf_counter(), future)
            future.add_done_callback(lambda _, number=number: self._done.put(number))

    def finished(self) -> Result | None:
        """The next result; None when there is none for a while."""
        try:
            ended = self.running.pop(self._done.get(timeout=POLL_S))
        except queue.Empty:
            return None
        end_group(ended.task)
        result = _outcome(ended)
        printed = _logs.read_log(ended.task.output)
        ended.task.output.unlink(missing_ok=True)
        # The log's last line says what happened.
        return replace(result, log=printed + result.log)

    def report(self, on_progress: RunProgress | None) -> None:
        """Pass on the latest report of each worker."""
        latest = {}
        for _ in range(
            1000
        ):  # a worker that reports faster than this reads must not keep it here
            if not self._reports.poll():
                break
            number, share = REPORT.unpack(self._reports.recv_bytes())
            latest[number] = share
        for number, share in latest.items():
            if on_progress and number in self.running:
                on_progress(self.running[number].run, share)


def _outcome(ended: _Running) -> Result:
    """The worker's result; where it gave none, a result that says why."""
    try:
        return ended.future.result()
    except TimeoutError as error:
        status, log = Status.TIMEOUT, f"stopped after {error.args[-1]:g} s\n"
    except ProcessExpired as error:
        status, log = Status.ERROR, f"{_last_words(error.exitcode)}\n"
    except Exception as error:
        status, log = Status.ERROR, "".join(traceback.format_exception(error))
    return unfinished(ended.run, status, log, perf_counter() - ended.began)


def unfinished(run: Run, status: Status, log: str, seconds: float) -> Result:
    """The result of a run whose process gave none."""
    facts = {**environment.machine(), "device": run.device, "threads": None}
    return Result(run, status, environment=facts, log=log, seconds=seconds)


def _last_words(exitcode: int) -> str:
    if exitcode >= 0:
        return f"the worker process ended without a result, with exit code {exitcode}"
    if exitcode == -signal.SIGKILL:
        hint = "; the system does that when memory runs out"
    else:
        hint = ""
    name = {number.value: number.name for number in signal.Signals}.get(
        -exitcode, f"signal {-exitcode}"
    )
    return f"the worker process was killed by {name}{hint}"
