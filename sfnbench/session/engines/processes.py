"""Runs in worker processes on this machine, several short ones in one worker.

A crash costs its own run only, and a timeout is hard. A worker takes another run where the last one
was short, went well and left the process as it was; a run that breaks in a used worker is executed
again in a fresh one, so that no run suffers from another.

Workers are forked from a server that has torch loaded (0.06 s each, rather than 2 s), and share
nothing: each hands its results back through a pipe of its own. They end with this process, however
that ends.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import queue
import signal
import tempfile
import threading
import traceback
from collections.abc import Generator, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from time import perf_counter, sleep

from ... import environment
from ...errors import SfnbenchError
from ...records import Result, Run, Status
from . import Conditions, RunProgress, _logs
from ._server import ForkServer, ctrl_c_deferred, ctrl_c_remembered, start_server
from ._worker import (
    BEGUN,
    REPORT,
    REPORT_S,
    Answer,
    Order,
    WorkerTask,
    end_group,
    serve,
)

# of the processor: after a longer run, what a fresh process costs does not matter
SHORT_S = 2.0
# multiprocessing's exit code of a process whose fork server was killed
SERVER_LOST = 255
SERVER_PAUSES = (0.1, 0.5, 2.0)  # seconds, until another one is started
_run_numbers = itertools.count()


def processes(
    runs: Iterable[Run],
    conditions: Conditions,
    on_progress: RunProgress | None = None,
) -> Generator[Result, None, None]:
    """Execute the runs in worker processes."""
    waiting = iter(runs)
    first = list(itertools.islice(waiting, conditions.jobs))
    if not first:  # nothing to start a server for
        return
    with (
        tempfile.TemporaryDirectory(prefix="sfnbench-") as folder,
        Workers(conditions, Path(folder)) as workers,
        ctrl_c_remembered() as heed_ctrl_c,
    ):
        workers.start(first)
        while workers.running:
            heed_ctrl_c()
            result = workers.finished()
            workers.report(on_progress)
            if result is not None:
                # Before the caller takes its time over the result.
                workers.start(itertools.islice(waiting, 1))
                yield result


@dataclass(eq=False)
class _Worker:
    """A worker process."""

    process: BaseProcess
    channel: connection.Connection  # runs go out, results come in
    n_done: int = 0  # runs that it has executed
    began: float = 0.0  # its present run

    def listen(self, answers: _Answers) -> None:
        """Hand on what the process sends, until it ends."""
        answer: Answer | Exception | None = None
        while True:
            try:
                connection.wait([self.channel, self.process.sentinel])
                if not self.channel.poll():  # it ended; what it started may live on
                    raise EOFError
                answer = self.channel.recv()
                if answer == BEGUN:  # no run pays for the start of its process
                    self.began = perf_counter()
                    continue
            except (EOFError, OSError):
                answer = None
            except Exception as error:
                answer = error
            answers.put((self, answer))
            if not isinstance(answer, Answer):
                return

    def end(self) -> None:
        """End the process and all that its runs have started."""
        self.process.kill()
        self.process.join()
        end_group(self.process.pid)


@dataclass(frozen=True)
class _Running:
    """A run, and the worker that executes it."""

    order: Order
    worker: _Worker
    is_again: bool

    @property
    def run(self) -> Run:
        return self.order.run

    @property
    def seconds(self) -> float:
        """For how long it has been executed."""
        return perf_counter() - self.worker.began


_Answers = queue.SimpleQueue[tuple[_Worker, Answer | Exception | None]]


class Workers:
    """The worker processes, each with one run at a time."""

    def __init__(self, conditions: Conditions, folder: Path) -> None:
        self.conditions = conditions
        self.folder = folder
        self.running: dict[int, _Running] = {}
        self.name = f"sfnbench-{next(_run_numbers)}"
        self._idle: list[_Worker] = []
        self._is_sharing = not conditions.live  # until a run suffers from another
        self._answers: _Answers = queue.SimpleQueue()
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
                end_group(process.pid)
        self._reports.close()
        self._reporting.close()

    def start(self, runs: Iterable[Run]) -> None:
        """Let a worker execute each run; SfnbenchError where the system gives no process."""
        for run in runs:
            self._start(run)

    def finished(self) -> Result | None:
        """The next result; None when there is none for a while."""
        for each in self.running.values():
            _logs.free_middle(each.order.output)
            if each.seconds > each.run.timeout_s:
                log = f"stopped after {each.run.timeout_s:g} s\n"
                late = unfinished(each.run, Status.TIMEOUT, log, each.seconds)
                return self._taken(each, late)
        try:
            worker, answer = self._answers.get(timeout=REPORT_S)
        except queue.Empty:
            return None
        for each in self.running.values():
            if each.worker is worker:
                return self._received(each, answer)
        self._dismiss(worker)  # it ended while it had nothing to do
        return None

    def report(self, on_progress: RunProgress | None) -> None:
        """Pass on the latest report of each worker."""
        latest = {}
        # a worker that reports faster than this reads must not keep it here
        for _ in range(1000):
            if not self._reports.poll():
                break
            number, share = REPORT.unpack(self._reports.recv_bytes())
            latest[number] = share
        for number, share in latest.items():
            if on_progress and number in self.running:
                on_progress(self.running[number].run, share)

    def _start(self, run: Run, is_again: bool = False) -> None:
        number = next(_run_numbers)
        order = Order(run, number, self.folder / str(number))
        worker = None
        if not is_again and _may_share(run):
            worker = self._used_worker(order)
        if worker is None:
            worker = self._new_worker(order)
        worker.began = perf_counter()
        self.running[number] = _Running(order, worker, is_again)

    def _used_worker(self, order: Order) -> _Worker | None:
        """A worker that has executed other runs, if there is one, with this run to execute."""
        while self._idle:
            worker = self._idle.pop()
            try:
                worker.channel.send(order)
            except OSError:  # it was killed meanwhile
                self._dismiss(worker)
            else:
                return worker
        return None

    def _new_worker(self, order: Order) -> _Worker:
        context = ForkServer()
        ours, theirs = context.Pipe()
        variables = dict(os.environ)
        machine = environment.machine()
        task = WorkerTask(
            self.conditions, theirs, self._reporting, variables, machine
        )
        process = context.Process(
            target=serve, args=(task,), name=self.name, daemon=True
        )
        try:
            with ctrl_c_deferred(), theirs:
                _launch(process)
        except (OSError, EOFError) as error:
            raise SfnbenchError(
                f"no worker process could be started ({error!r});"
                " the engine 'inline' needs none"
            ) from error
        worker = _Worker(process, ours)
        with suppress(OSError):  # killed already: its listener says so
            ours.send(order)
        listening = threading.Thread(
            target=worker.listen, args=(self._answers,), daemon=True
        )
        listening.start()
        return worker

    def _received(
        self, ended: _Running, answer: Answer | Exception | None
    ) -> Result | None:
        """The result that a worker sent; None where the run is executed again instead."""
        worker = ended.worker
        result = _outcome(ended, answer)
        # An earlier run may be the reason, or the end of what this process was forked from
        is_suspect = worker.n_done or (answer is None and _has_lost_server(worker))
        if result.status.failed and is_suspect and not ended.is_again:
            self._taken(ended, result)
            if left := self.conditions.checkpoint(ended.run):
                left.unlink(missing_ok=True)
            self._start(ended.run, is_again=True)
            return None
        if ended.is_again and not result.status.failed:
            self._is_sharing = False
        worker.n_done += 1
        is_kept = (
            isinstance(answer, Answer)
            and not answer.changes
            and answer.processor_s < SHORT_S
            and not result.status.failed
            and self._is_sharing
            and _may_share(ended.run)
        )
        return self._taken(ended, result, is_kept)

    def _taken(
        self, ended: _Running, result: Result, is_kept: bool = False
    ) -> Result:
        """The result with what its run printed; its worker waits for another run, or ends."""
        del self.running[ended.order.number]
        if is_kept:
            self._idle.append(ended.worker)
        else:
            self._dismiss(ended.worker)
        printed = _logs.read_log(ended.order.output)
        ended.order.output.unlink(missing_ok=True)
        # The log's last line says what happened.
        return replace(result, log=printed + result.log)

    def _dismiss(self, worker: _Worker) -> None:
        worker.end()
        if worker in self._idle:
            self._idle.remove(worker)


def _launch(process: BaseProcess) -> None:
    """Start a worker; again where the fork server was killed, and the system still clears up."""
    for pause in SERVER_PAUSES:
        try:
            process.start()
            return
        except ConnectionRefusedError:
            sleep(pause)
            start_server()
    process.start()


def _may_share(run: Run) -> bool:
    """Whether it can do with a process that has executed others.

    A timing measures the process too, and a GPU's free memory says how many seeds go at once.
    """
    return run.experiment != "throughput" and run.device == "cpu"


def _has_lost_server(worker: _Worker) -> bool:
    """Whether the end of a worker is not known: the fork server, which would say it, is gone."""
    return worker.process.exitcode == SERVER_LOST


def _outcome(ended: _Running, answer: Answer | Exception | None) -> Result:
    """The worker's result; where it gave none, a result that says why."""
    if isinstance(answer, Answer):
        return answer.result
    if answer is None:
        ended.worker.process.join()
        log = f"{_last_words(ended.worker.process.exitcode or 0)}\n"
    else:
        log = "".join(traceback.format_exception(answer))
    return unfinished(ended.run, Status.ERROR, log, ended.seconds)


def unfinished(run: Run, status: Status, log: str, seconds: float) -> Result:
    """The result of a run whose process gave none."""
    facts = {**environment.machine(), "device": run.device, "threads": None}
    return Result(run, status, environment=facts, log=log, seconds=seconds)


def _last_words(exitcode: int) -> str:
    if exitcode >= 0:
        return (
            f"the worker process ended without a result, with exit code {exitcode}"
        )
    if exitcode == -signal.SIGKILL:
        hint = "; the system does that when memory runs out"
    else:
        hint = ""
    name = {number.value: number.name for number in signal.Signals}.get(
        -exitcode, f"signal {-exitcode}"
    )
    return f"the worker process was killed by {name}{hint}"
