"""Where runs are executed.

An engine is a generator function: runs in, results out as they are done.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from pathlib import Path
from pkgutil import resolve_name

from ...environment import usable_cores
from ...errors import SfnbenchError
from ...records import Result, Run
from ...words import did_you_mean

Progress = Callable[[Run, float], None]  # a run and the share of it that is done
Engine = Callable[[Iterable[Run], "Conditions", Progress | None], Generator[Result, None, None]]

ENGINES = {  # imported when asked for
    "inline": "sfnbench.session.engines.inline:inline",
    "processes": "sfnbench.session.engines.processes:processes",
}


@dataclass(frozen=True)
class Conditions:
    """How runs are executed, which decides none of their numbers."""

    jobs: int  # runs at a time
    threads: int  # of each run
    plugins: tuple[Path, ...] = ()  # searched for members by whichever process executes
    # (Run, progress) -> Result, by name, for another process to find
    task: str = "sfnbench.session.execute:execute"


def execute_all(
    runs: Iterable[Run],
    *,
    engine: str = "processes",
    jobs: int | None = None,
    threads: int | None = None,
    plugins: Iterable[Path] = (),
    on_progress: Progress | None = None,
    task: str = Conditions.task,
) -> Generator[Result, None, None]:
    """A Result for every run, in the order in which they are done, whatever the run does.

    Raise, crash or never end.

    `jobs` runs at a time with `threads` threads each (1), by default as many as the cores allow.
    Closing the iterator, or Ctrl-C, ends what is being executed; results that were already handed
    out stay with the caller.
    """
    if engine not in ENGINES:
        raise SfnbenchError(f"unknown engine {engine!r}{did_you_mean(engine, ENGINES)}")
    threads = 1 if threads is None else threads
    jobs = max(1, usable_cores() // max(1, threads)) if jobs is None else jobs
    if jobs < 1 or threads < 1:
        raise SfnbenchError(f"jobs and threads have to be at least 1, not {jobs} and {threads}")
    start: Engine = resolve_name(ENGINES[engine])
    return start(runs, Conditions(jobs, threads, tuple(plugins), task), on_progress)
