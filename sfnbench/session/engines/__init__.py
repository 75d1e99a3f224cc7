"""Where runs are executed.

An engine is a generator function: runs in, results out as they are done.
"""

from __future__ import annotations

import pkgutil
import sys
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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
    slurm: Mapping[str, Any] = field(default_factory=dict)  # options of its jobs
    folder: Path | None = None  # of the results
    live: bytes = b""  # members of the caller's script, see `members.live`
    # (Run, progress) -> Result, by name, for another process to find
    task: str = "sfnbench.session.execute:execute"


def names() -> tuple[str, ...]:
    """Every engine: a file of this folder without an underscore, with a function of its name.

    >>> names()
    ('dask', 'inline', 'processes', 'slurm')
    """
    return tuple(
        sorted(
            each.name for each in pkgutil.iter_modules(__path__) if each.name[0] != "_"
        )
    )


def find(name: str) -> Engine:
    """The engine of that name, imported; SfnbenchError with the nearest name for an unknown one."""
    if name not in names():
        raise SfnbenchError(f"unknown engine {name!r}{did_you_mean(name, names())}")
    engine: Engine = pkgutil.resolve_name(f"{__name__}.{name}:{name}")
    return engine


def execute_all(
    runs: Iterable[Run],
    *,
    engine: str = "processes",
    jobs: int | None = None,
    threads: int | None = None,
    scheduler: str | None = None,
    slurm: Mapping[str, Any] | None = None,
    folder: Path | None = None,
    plugins: Iterable[Path] = (),
    live: bytes = b"",
    on_progress: RunProgress | None = None,
    task: str = Conditions.task,
) -> Generator[Result, None, None]:
    """A Result for every run, in the order in which they are done, whatever the run does.

    Raise, crash or never end.

    `jobs` runs at a time with `threads` threads each (1), by default as many as the cores allow;
    with a `scheduler` (the engine dask's) as many as its workers take, and all with the engine
    slurm. `slurm` gives options of Slurm's jobs by the names that sbatch has for them, `time` in
    minutes; `folder`, that of the results, holds what these jobs give back.
    Closing the iterator, or Ctrl-C, ends what is being executed; results that were already handed
    out stay with the caller.
    """
    start = find(engine)
    threads = 1 if threads is None else threads
    if scheduler is not None and engine != "dask":
        raise SfnbenchError(f"a scheduler is for the engine 'dask', not {engine!r}")
    if slurm and engine != "slurm":
        raise SfnbenchError(
            f"options of Slurm are for the engine 'slurm', not {engine!r}"
        )
    if jobs is None and (scheduler is not None or engine == "slurm"):
        jobs = sys.maxsize
    elif jobs is None:
        jobs = max(1, usable_cores() // max(1, threads))
    if jobs < 1 or threads < 1:
        raise SfnbenchError(
            f"jobs and threads have to be at least 1, not {jobs} and {threads}"
        )
    conditions = Conditions(
        jobs, threads, tuple(plugins), scheduler, slurm or {}, folder, live, task
    )
    return start(runs, conditions, on_progress)
