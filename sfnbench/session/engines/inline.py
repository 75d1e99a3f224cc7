"""One run after another in this process: for debugging, and where no process may be started.

Knows no timeout.
"""

from __future__ import annotations

import functools
import traceback
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pkgutil import resolve_name
from time import perf_counter

from ...core.out_of_memory import is_out_of_memory
from ...environment import describe
from ...errors import SfnbenchError
from ...members.registry import add_plugins, receive
from ...records import MOST_REASON, Result, Run, Status
from . import Conditions, RunProgress
from ._logs import shortened


def inline(
    runs: Iterable[Run],
    conditions: Conditions,
    on_progress: RunProgress | None = None,
) -> Generator[Result, None, None]:
    """Execute the runs here. Ctrl-C passes; whatever else a run raises becomes its result."""
    for run in runs:
        progress = None
        if on_progress:
            progress = functools.partial(on_progress, run)
        with warnings.catch_warnings(record=True) as caught:
            result = attempt(run, conditions, progress)
        lines = [
            warnings.formatwarning(w.message, w.category, w.filename, w.lineno)
            for w in caught
        ]
        # The log's last line says what happened.
        yield replace(result, log=shortened("".join(lines)) + result.log)


def attempt(
    run: Run, conditions: Conditions, progress: Callable[[float], None] | None
) -> Result:
    """The run's result; where it raises instead, a result with the reason."""
    began = perf_counter()
    try:
        from ...experiments.checkpoints import checkpoints_in  # it imports torch

        for path in conditions.plugins:
            add_plugins(path)
        receive(conditions.live)
        execute = resolve_name(conditions.task)
        place = conditions.checkpoint(run), conditions.checkpoint_s
        with threads_limited(conditions.threads), checkpoints_in(*place):
            result = execute(run, progress)
        if not isinstance(result, Result):
            raise TypeError(
                f"{conditions.task} gave {type(result).__name__}, not a Result"
            )
        return replace(result, log=shortened(result.log))
    except SfnbenchError as error:  # its message is enough
        status = Status.ERROR
        log = f"{type(error).__name__}: {error}\n"
    except (Exception, SystemExit) as error:
        if is_out_of_memory(error):
            status = Status.OOM
        else:
            status = Status.ERROR
        log = log_of(error)
    return failure(run, status, log, perf_counter() - began)


def log_of(error: BaseException) -> str:
    """The traceback of what was just raised; its last line says what it was."""
    log = traceback.format_exc()
    first, *more = str(error).strip().split("\n")
    if more or len(first) > MOST_REASON:
        reason = f"{type(error).__name__}: {first}"
        log += f"{reason[:MOST_REASON]}\n"
    return log


def failure(run: Run, status: Status, log: str, seconds: float) -> Result:
    """The result of a run that raised."""
    facts = describe(run.device)
    return Result(
        run, status, environment=facts, log=shortened(log), seconds=seconds
    )


@contextmanager
def threads_limited(threads: int) -> Iterator[None]:
    """So many threads for torch and for every BLAS and OpenMP library that is loaded."""
    import torch
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with threadpool_limits(threads):
            yield
    finally:
        torch.set_num_threads(before)
