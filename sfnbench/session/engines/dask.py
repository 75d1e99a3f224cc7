"""Runs on the workers of a dask scheduler: on other machines, or on a cluster made here for them.

A worker has processes for its runs, as `processes` does, with the worker's environment, data and
working directory. Workers only compute: results come back to this process. A lost
worker's runs are executed again by another (dask does that, up to three times each).
"""

from __future__ import annotations

import itertools
import logging
import multiprocessing
import queue
import tempfile
import threading
import uuid
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from time import perf_counter
from typing import Any

from ...environment import install_hint
from ...errors import SfnbenchError
from ...records import Result, Run, Status
from . import Conditions, RunProgress
from ._server import ctrl_c_ignored, main_hidden
from .processes import Workers, unfinished

CONNECT_S = 10.0
PROGRESS_S = 1.0  # a run's progress travels so often
IDLE_S = 60.0  # for which a process waits for another run
# dask watches itself: a profiler looks at each worker 100 times a second, its event loop ticks 50
# times, and the system is asked twice. A worker here only waits for a run in another process.
QUIET = {
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.tick.limit": "10s",
    "distributed.admin.system-monitor.interval": "10s",
}


def dask(
    runs: Iterable[Run],
    conditions: Conditions,
    on_progress: RunProgress | None = None,
) -> Generator[Result, None, None]:
    """Execute the runs on a scheduler's workers; SfnbenchError where the package is missing."""
    try:
        import distributed  # noqa: F401
    except ImportError:
        raise SfnbenchError(
            f"engine 'dask' needs the package distributed: {install_hint('dask')}"
        ) from None
    return _results_of(runs, conditions, on_progress)


def work_for_scheduler(run: Run, conditions: Conditions, topic: str) -> Result:
    """Execute the run in a process on a worker of dask; ends where it is cancelled."""
    from distributed import get_worker

    worker = get_worker()
    key = worker.get_current_task()
    # dask's workers are daemons, which multiprocessing allows no children; ours end with them
    multiprocessing.current_process()._config["daemon"] = False  # type: ignore[attr-defined]
    last = perf_counter()

    def report(run: Run, share: float) -> None:
        nonlocal last
        if perf_counter() - last > PROGRESS_S:
            last = perf_counter()
            worker.log_event(topic, {"run": run.id, "share": share})

    pool = _pool_of(topic, conditions)
    try:
        pool.workers.start([run])
        while True:
            result = pool.workers.finished()
            if result is not None:
                break
            pool.workers.report(report)
            task = worker.state.tasks.get(key)
            if task is None or task.state == "cancelled":
                raise CancelledError(f"{run.title} was cancelled")
    except BaseException:
        pool.close()
        raise
    pool.wait(topic)
    return result


def end_pools(topic: str) -> None:
    """End the processes that wait for more runs of a session, on a worker of dask."""
    for pool in _waiting.pop(topic, []):
        pool.close()


# -- inside ----------------------------------------------------------------------------------------


class _Pool:
    """The processes of one thread of a dask worker, which go from run to run."""

    def __init__(self, conditions: Conditions) -> None:
        self._resources = ExitStack()
        folder = tempfile.TemporaryDirectory(prefix="sfnbench-")
        path = Path(self._resources.enter_context(folder))
        self.workers = self._resources.enter_context(Workers(conditions, path))

    def wait(self, topic: str) -> None:
        """Wait for the session's next run; not for ever, as a killed session sends none."""
        _waiting.setdefault(topic, []).append(self)
        timer = threading.Timer(IDLE_S, self._give_up, (topic,))
        timer.daemon = True
        timer.start()

    def _give_up(self, topic: str) -> None:
        with suppress(KeyError, ValueError):  # it has a run, or is closed
            _waiting[topic].remove(self)
            self.close()

    def close(self) -> None:
        """End the processes."""
        self._resources.close()


# Pools without a run, by session. A list gives each to one thread alone.
_waiting: dict[str, list[_Pool]] = {}


def _pool_of(topic: str, conditions: Conditions) -> _Pool:
    try:
        return _waiting[topic].pop()
    except (KeyError, IndexError):
        return _Pool(conditions)


def _results_of(
    runs: Iterable[Run], conditions: Conditions, on_progress: RunProgress | None
) -> Generator[Result, None, None]:
    waiting = iter(runs)
    first = list(itertools.islice(waiting, conditions.jobs))
    if not first:  # nothing to connect for
        return
    with _connected(conditions, len(first)) as client:
        tasks = _Tasks(client, conditions)
        try:
            tasks.submit(first)
            while tasks.running:
                result = tasks.next_result(on_progress)
                if result is not None:
                    tasks.submit(itertools.islice(waiting, 1))
                    yield result
                    tasks.forget(result.run)
        except KeyboardInterrupt:
            yield from tasks.ended()
            raise
        finally:
            tasks.cancel()


@contextmanager
def _connected(conditions: Conditions, n_workers: int) -> Iterator[Any]:
    """A client of the caller's scheduler, or of a cluster that lives as long as this block."""
    from dask import config
    from distributed import Client, LocalCluster

    scheduler = conditions.options.get("scheduler")
    if scheduler:
        try:
            client = Client(scheduler, timeout=CONNECT_S, set_as_default=False)
        except (OSError, ValueError) as error:
            raise SfnbenchError(
                f"no dask scheduler answers at {scheduler} within"
                f" {CONNECT_S:g} s; `dask scheduler` prints its address"
            ) from error
        with client:
            yield client
        return
    with tempfile.TemporaryDirectory(prefix="sfnbench-dask-") as folder:
        with main_hidden(), ctrl_c_ignored(), config.set(QUIET):
            cluster = LocalCluster(
                n_workers=min(conditions.jobs, n_workers),
                threads_per_worker=1,
                memory_limit=0,  # what takes memory are the runs, in processes of their own
                dashboard_address="127.0.0.1:0",  # a free port
                silence_logs=logging.CRITICAL,
                local_directory=folder,
            )
        with cluster, Client(cluster, set_as_default=False) as client:
            yield client


class _Tasks:
    """The runs that a scheduler has taken, each with its future."""

    def __init__(self, client: Any, conditions: Conditions) -> None:
        self.client = client
        self.conditions = conditions
        self.running: dict[str, tuple[Run, Any, float]] = {}
        self._topic = f"sfnbench-{uuid.uuid4().hex}"
        # the keys of what is done; progress as pairs. dask's threads put, the caller's gets.
        self._news: queue.SimpleQueue[Any] = queue.SimpleQueue()
        client.subscribe_topic(self._topic, lambda event: self._news.put(event[1]))

    def submit(self, runs: Iterable[Run]) -> None:
        for run in runs:
            key = self._key(run)
            future = self.client.submit(
                work_for_scheduler,
                run,
                self.conditions,
                self._topic,
                key=key,
                pure=False,
            )
            self.running[key] = run, future, perf_counter()
            future.add_done_callback(lambda future: self._news.put(future.key))

    def next_result(self, on_progress: RunProgress | None) -> Result | None:
        """The result of a run that is done; None after a word on another's progress."""
        news = self._news.get()
        if isinstance(news, str):
            if news in self.running:
                return self._outcome(*self.running[news])
            return None
        found = self.running.get(f"{self._topic}-{news['run']}")
        if found and on_progress:
            on_progress(found[0], news["share"])
        return None

    def ended(self) -> Iterator[Result]:
        """The results that are there and that the caller has not stored."""
        for run, future, began in self.running.values():
            if future.status == "finished":
                yield self._outcome(run, future, began)

    def forget(self, run: Run) -> None:
        """Let go of a run whose result the caller has stored."""
        del self.running[self._key(run)]

    def cancel(self) -> None:
        """Tell the scheduler that no result is wanted any more."""
        futures = [future for _, future, _ in self.running.values()]
        with suppress(Exception):  # a scheduler that is gone has nothing to cancel
            self.client.unsubscribe_topic(self._topic)
            if futures:
                self.client.cancel(futures, force=True)
            self.client.run(end_pools, self._topic, on_error="ignore")

    def _key(self, run: Run) -> str:
        return f"{self._topic}-{run.id}"

    def _outcome(self, run: Run, future: Any, began: float) -> Result:
        if future.status == "cancelled":
            raise SfnbenchError(
                "the dask scheduler is gone, or cancelled the runs; `sfnbench run` again goes on"
            )
        try:
            result: Result = future.result()
        except Exception as error:  # the workers were lost, again and again
            log = f"{type(error).__name__}: {error}\n"
            return unfinished(run, Status.ERROR, log, perf_counter() - began)
        return result
