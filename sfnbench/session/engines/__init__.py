"""Where runs are executed.

An engine is a generator function: runs in, results out as they are done.
"""

from __future__ import annotations

import pkgutil
import sys
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...environment import usable_cores
from ...errors import SfnbenchError
from ...records import Result, Run
from ...words import did_you_mean

CHECKPOINTS = "checkpoints"  # a folder beside the results
CHECKPOINT_S = 300.0  # a killed run loses at most so many seconds
RunProgress = Callable[[Run, float], None]  # a run and the share of it that is done
Engine = Callable[
    [Iterable[Run], "Conditions", RunProgress | None], Generator[Result, None, None]
]


# The options of engines; slurm's are sbatch's, which it looks up itself.
OPTIONS = {"inline": (), "processes": (), "ranks": (), "dask": ("scheduler",)}


@dataclass(frozen=True)
class Conditions:
    """How runs are executed, which decides none of their numbers."""

    jobs: int  # runs at a time
    threads: int  # of each run
    # searched for members by whichever process executes
    plugins: tuple[Path, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)  # the engine's own
    folder: Path | None = None  # of the results
    live: bytes = b""  # members of the caller's script, see `members.live`
    # (Run, progress) -> Result, by name, for another process to find
    task: str = "sfnbench.session.execute:execute"
    checkpoint_s: float = CHECKPOINT_S  # a long run's state is kept so often

    def checkpoint(self, run: Run) -> Path | None:
        """The file of a long run's state."""
        return self.folder and self.folder / CHECKPOINTS / f"{run.id}.pt"


def names() -> tuple[str, ...]:
    """Every engine: a file of this folder without an underscore, with a function of its name.

    >>> names()
    ('dask', 'inline', 'processes', 'ranks', 'slurm')
    """
    return tuple(
        sorted(
            each.name
            for each in pkgutil.iter_modules(__path__)
            if each.name[0] != "_"
        )
    )


def refuse_options(engine: str, given: Iterable[str], known: Sequence[str]) -> None:
    """SfnbenchError, with the nearest name, for an option that the engine does not have."""
    for name in given:
        if name not in known:
            raise SfnbenchError(
                f"engine {engine!r} has no option {name!r}{did_you_mean(name, known)}"
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
    options: Mapping[str, Any] | None = None,
) -> None:
    """SfnbenchError for an engine that is not known, and for what no engine can do."""
    if engine not in names():
        raise SfnbenchError(
            f"unknown engine {engine!r}{did_you_mean(engine, names())}"
        )
    if engine in OPTIONS:
        refuse_options(engine, options or {}, OPTIONS[engine])
    for what, number in (("jobs", jobs), ("threads", threads)):
        if number is not None and number < 1:
            raise SfnbenchError(f"{what} have to be at least 1, not {number}")


def is_elsewhere(engine: str, options: Mapping[str, Any] | None) -> bool:
    """Whether runs are executed by machines that this process knows nothing of."""
    return engine == "slurm" or bool(options and options.get("scheduler"))


def execute_all(
    runs: Iterable[Run],
    *,
    engine: str = "processes",
    jobs: int | None = None,
    threads: int | None = None,
    options: Mapping[str, Any] | None = None,
    folder: Path | None = None,
    plugins: Iterable[Path] = (),
    live: bytes = b"",
    on_progress: RunProgress | None = None,
    task: str = Conditions.task,
    checkpoint_s: float = CHECKPOINT_S,
) -> Generator[Result, None, None]:
    """A Result for every run as it is done, also where a run raises, crashes or never ends.

    `jobs` runs at a time with `threads` threads each (1), by default as many as the cores allow;
    elsewhere all of them. `options` are the engine's own: dask's `scheduler` is an address, slurm's
    have the names that sbatch gives them. slurm keeps what its jobs give back in `folder`,
    where all keep the states of long runs.
    Closing the iterator, or Ctrl-C, ends what is being executed.
    """
    threads = 1 if threads is None else threads
    check_choices(engine, jobs, threads, options)
    start = find(engine)
    if jobs is None and is_elsewhere(engine, options):
        jobs = sys.maxsize
    elif jobs is None:
        jobs = max(1, usable_cores() // max(1, threads))
    conditions = Conditions(
        jobs,
        threads,
        tuple(plugins),
        options or {},
        folder and folder.resolve(),
        live,
        task,
        checkpoint_s,
    )
    return start(runs, conditions, on_progress)
