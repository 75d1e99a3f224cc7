"""The process that worker processes are forked from, with torch loaded already."""

from __future__ import annotations

import os
import signal
import sys
import threading
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import context, forkserver
from multiprocessing.popen_forkserver import Popen
from types import FrameType
from typing import Any

from ... import experiments

# Every run imports pydantic and threadpoolctl.
# torch imports torch._dynamo, for some 2 s, when a process first takes a gradient in a transform.
PRELOADED = [
    "torch",
    "torch._dynamo",
    "scipy.linalg",
    "scipy.optimize",
    "pydantic",
    "threadpoolctl",
    "sfnbench.session.engines._surroundings",
    "sfnbench.session.engines._worker",
    "sfnbench.session.execute",
    *(f"sfnbench.experiments.{name}.execute" for name in experiments.names()),
]

# Threads of one process, a dask worker's, may start runs side by side.
_one_at_a_time = threading.Lock()

Handler = Callable[[int, FrameType | None], Any] | signal.Handlers


def start_server() -> None:
    """Start the process that all workers are forked from, once."""
    forkserver.set_forkserver_preload(PRELOADED)
    # one thread: no others may be running where a fork happens
    with _one_at_a_time, _variable("OMP_NUM_THREADS", "1"), ctrl_c_ignored():
        forkserver.ensure_running()


@contextmanager
def _variable(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


@contextmanager
def ctrl_c_ignored() -> Iterator[None]:
    """A process started here inherits that Ctrl-C, which a terminal sends to all, is not for it."""
    with _ctrl_c_handled_by(signal.SIG_IGN):
        yield


@contextmanager
def ctrl_c_deferred() -> Iterator[None]:
    """Ctrl-C takes effect after this block.

    A worker that was half started would not be ended with the others.
    """
    pressed: list[tuple[int, FrameType | None]] = []
    with _ctrl_c_handled_by(
        lambda number, frame: pressed.append((number, frame))
    ) as before:
        yield
    if pressed and callable(before):
        before(*pressed[0])


@contextmanager
def ctrl_c_remembered() -> Iterator[Callable[[], None]]:
    """In this block no Ctrl-C is lost: what it yields raises one that was.

    Python drops what is raised while it destroys an object.
    """
    pressed: list[tuple[int, FrameType | None]] = []
    before = signal.getsignal(signal.SIGINT)

    def act() -> None:
        if pressed and callable(before):
            before(*pressed.pop())

    def remember(number: int, frame: FrameType | None) -> None:
        pressed[:] = [(number, frame)]
        if callable(before):
            before(number, frame)

    with _ctrl_c_handled_by(remember):
        yield act


@contextmanager
def _ctrl_c_handled_by(handler: Handler) -> Iterator[Handler | None]:
    # Python sets and calls handlers in the main thread alone
    if threading.current_thread() is not threading.main_thread():
        yield None
        return
    before = signal.signal(signal.SIGINT, handler)
    try:
        yield before  # type: ignore[misc]
    finally:
        signal.signal(signal.SIGINT, before or signal.SIG_DFL)


@contextmanager
def main_hidden() -> Iterator[None]:
    """A process that is started here does not run the caller's script again."""
    with _one_at_a_time:
        main = sys.modules["__main__"]
        sys.modules["__main__"] = types.ModuleType("__main__")
        try:
            yield
        finally:
            sys.modules["__main__"] = main


class _Popen(Popen):
    """Starts a worker that does not run the caller's script again, as multiprocessing would.

    It needs nothing from it.
    """

    def _launch(self, process: Any) -> None:
        with main_hidden():
            super()._launch(process)  # type: ignore[misc]  # typeshed does not know it


class _Process(context.ForkServerProcess):
    @staticmethod
    def _Popen(process: Any) -> _Popen:  # noqa: N802 (multiprocessing's name)
        return _Popen(process)


class ForkServer(context.ForkServerContext):
    """A context whose processes start as `_Popen` does."""

    Process = _Process
