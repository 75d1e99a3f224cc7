"""A suite from plan to store: what ``sfnbench run`` does, for Python too."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path

from . import registry
from .engines import execute_all
from .errors import DeviceError, StoreError
from .planning import Run, plan
from .store import FILE, Result, Store
from .suite.schema import Suite, load_suite

RUNS = Path("runs")  # where results go unless told otherwise
DEVICES = ("auto", "cpu", "cuda")


class Watcher:
    """Is told what a session does; this one looks away."""

    def begin(self, todo: Sequence[Run], n_stored: int, stale: Sequence[str]) -> None:
        """Before the first run: what is to be executed, how much is there, and why what was there gives way."""

    def progress(self, run: Run, fraction: float) -> None:
        """Now and then, while a run is executed."""

    def finished(self, result: Result) -> None:
        """After each run, when its result is in the store."""

    def end(self) -> None:
        """After the last run, or when the session is broken off."""


def run_suite(
    suite: Suite | str | Path,
    *,
    profile: str | None = None,
    optimizers: Iterable[str] | None = None,
    problems: Iterable[str] | None = None,
    seeds: int | Sequence[int] | None = None,
    device: str = "auto",
    engine: str = "processes",
    jobs: int | None = None,
    out: str | Path | None = None,
    fresh: bool = False,
    only_failed: bool = False,
    watcher: Watcher | None = None,
) -> Path:
    """Execute what a suite lacks of its results and keep them; the folder they are in, ``runs/SUITE`` by default.

    `optimizers` and `problems` pick members by name, the registry's own included; `seeds` and `profile` change the suite.
    `fresh` executes everything again, `only_failed` only what broke. Each result is kept as soon as it is there.
    """
    suite = suite if isinstance(suite, Suite) else load_suite(suite, profile)
    runs = plan(suite, optimizers=optimizers, problems=problems, seeds=seeds, device=device_kind(device))
    folder = Path(out) if out is not None else results_folder(suite)
    watcher = watcher or Watcher()
    if jobs is None and any(run.device == "cuda" for run in runs):
        jobs = 1  # runs would share the one GPU, and spoil each other's seconds
    with Store(folder, create=True) as store:
        stale = store.adopt(runs)
        if fresh:
            todo = tuple({run.id: run for run in runs}.values())
        else:
            todo = broken(store, runs) if only_failed else store.pending(runs)
        results = execute_all(todo, engine=engine, jobs=jobs, plugins=registry.plugin_paths(), on_progress=watcher.progress)
        watcher.begin(todo, len({run.id for run in runs}) - len(todo), stale)
        try:
            with closing(results):  # a result that cannot be kept ends the workers too
                for result in results:
                    store.put(result)
                    watcher.finished(result)
        finally:
            watcher.end()
    return folder


def broken(store: Store, runs: Iterable[Run]) -> tuple[Run, ...]:
    """The runs that have a result, but one that broke."""
    runs = tuple(runs)
    missing = {run.id for run in store.pending(runs)}
    return tuple(run for run in store.pending(runs, failed=True) if run.id not in missing)


def results_folder(suite: Suite) -> Path:
    """Where a suite's results go unless told otherwise."""
    return RUNS / suite.name


def latest() -> Path:
    """The folder in ``runs`` that was written to last; StoreError where there is none."""
    files = sorted(RUNS.glob(f"*/{FILE}"), key=lambda file: file.stat().st_mtime)
    if not files:
        raise StoreError(f"no results in {RUNS}; `sfnbench run SUITE` makes them")
    return files[-1].parent


def device_kind(device: str) -> str:
    """The device, cpu or cuda, as `device` says or as the machine allows; DeviceError where it does not."""
    if device not in DEVICES:
        raise DeviceError(f"unknown device {device!r} (known: {', '.join(DEVICES)})")
    if device == "cpu":
        return device
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if device == "cuda":
        raise DeviceError("device cuda was asked for, but torch sees no GPU here")
    return "cpu"
