"""Where runs are executed.

An engine is a generator function: runs in, results out as they are done.
"""

from __future__ import annotations

import pkgutil
import sys
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from pathlib import Path

from ...environment import usable_cores
from ...errors import SfnbenchError
from ...records import Result, Run
from ...words import did_you_mean

RunProgress = Callable[[Run, float], None]  # a run and the share of it that is done
Engine = Callable[
    [Iterable[Run], "Conditions", RunProgress | None], Generator[Result, None, None]
]


@dataclass(frozen=True)
class Conditions:
    """How runs are executed, which decides none of their numbers."""

    jobs: int  # runs at a time
    threads: int  # of each run
    plugins: tuple[Path, ...] = ()  # searched for members by whichever process executes
    scheduler: str | None = None  # the address of dask's
    live: bytes = b""  # members of the caller's script, see `members.live`
    # (Run, progress) -> Result, by name, for another process to find
    task: str = "sfnbench.session.execute:execute"


def names() -> tuple[str, ...]:
    """Every engine: a file of this folder without an underscore, with a function of its name.

    >>> names()
    ('dask', 'inline', 'processes')
    """
    return tuple(
        sorted(
            each.name for each in pkgutil.iter_modules(__path__) if each.name[0] != "_"
        )
    )


def find(name: str) -> Engine:
    """The engine of that name, imported; SfnbenchError with the nearest name for an unknown one."""
    check_choices(name)
    engine: Engine = pkgutil.resolve_name(f"{__name__}.{name}:{name}")
    return engine


def check_choices(
    engine: str,
    jobs: int | None = None,
    threads: int = 1,
    scheduler: str | None = None,
) -> None:
    """SfnbenchError for an engine that is not known, and for what no engine can do."""
    if engine not in names():
        raise SfnbenchError(f"unknown engine {engine!r}{did_you_mean(engine, names())}")
    if scheduler is not None and engine != "dask":
        raise SfnbenchError(f"a scheduler is for the engine 'dask', not {engine!r}")
    if (jobs is not None and jobs < 1) or threads < 1:
        raise SfnbenchError(
            f"jobs and threads have to be at least 1, not {jobs} and {threads}"
        )


def execute_all(
    runs: Iterable[Run],
    *,
    engine: str = "processes",
    jobs: int | None = None,
    threads: int | None = None,
    scheduler: str | None = None,
    plugins: Iterable[Path] = (),
    live: bytes = b"",
    on_progress: RunProgress | None = None,
    task: str = Conditions.task,
) -> Generator[Result, None, None]:
    """A Result for every run, in the order in which they are done, whatever the run does.

    Raise, crash or never end.

    `jobs` runs at a time with `threads` threads each (1), by default as many as the cores allow;
    with a `scheduler` (the engine dask's) as many as its workers take.
    Closing the iterator, or Ctrl-C, ends what is being executed; results that were already handed
    out stay with the caller.
    """
    threads = 1 if threads is None else threads
    check_choices(engine, jobs, threads, scheduler)
    start = find(engine)
    if jobs is None and scheduler is not None:
        jobs = sys.maxsize
    elif jobs is None:
        jobs = max(1, usable_cores() // max(1, threads))
    conditions = Conditions(jobs, threads, tuple(plugins), scheduler, live, task)
    return start(runs, conditions, on_progress)
