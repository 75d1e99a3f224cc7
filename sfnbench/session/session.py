"""A suite from plan to store: what ``sfnbench run`` does, for Python too."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from .. import environment
from ..errors import DataError, DeviceError, NoResultsError, SuiteError
from ..members import registry
from ..records import Result, Run, Status
from ..results.store import FILE, Store
from ..suite.plan import missing_data, plan
from ..suite.reading import Suite, load_suite
from .engines import execute_all
from .tuning import Tuned, trials, winners, write_report

RUNS = Path("runs")  # where results go unless told otherwise
TUNING = "tuning"  # the folder of the trials, in that of the results
DEVICES = ("auto", "cpu", "cuda")


class Watcher:
    """Is told what a session does; this one looks away."""

    def stage(self, name: str) -> None:
        """Before each stage of a session that has several: tuning, then results."""

    def begin(self, todo: Sequence[Run], n_stored: int, stale: Sequence[str]) -> None:
        """Before the first run.

        What is to be executed, how much is there, and why what was there gives way.
        """

    def progress(self, run: Run, fraction: float) -> None:
        """Now and then, while a run is executed."""

    def finished(self, result: Result) -> None:
        """After each run, when its result is in the store."""

    def end(self) -> None:
        """After the last run, or when the session is broken off."""

    def tuned(self, found: Tuned) -> None:
        """After the tuning of all, for each optimizer on each problem."""


@dataclass(frozen=True)
class _Manner:
    """How a session executes what it has to."""

    execute: Callable[[Iterable[Run]], Generator[Result, None, None]]
    watcher: Watcher
    fresh: bool
    only_failed: bool


@dataclass(frozen=True)
class _Agenda:
    """The runs of a stage, and what tuning says of them."""

    runs: Sequence[Run]
    hopeless: Mapping[str, Result] = field(
        default_factory=dict
    )  # by id: known to fail, for no trial did better
    renewed: frozenset[str] = frozenset()  # ids of those that tuning has just worked on

    def todo(self, store: Store, how: _Manner) -> tuple[Run, ...]:
        """What of it to execute, each once."""
        if how.fresh:
            return tuple({run.id: run for run in self.runs}.values())
        if how.only_failed:
            renewed = store.pending(run for run in self.runs if run.id in self.renewed)
            return tuple({run.id: run for run in (*store.broken(self.runs), *renewed)}.values())
        return store.pending(self.runs)


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
    """Execute what a suite lacks of its results and keep them.

    The folder they are in, ``runs/SUITE`` by default.

    `optimizers` and `problems` pick members by name, the registry's own included; `seeds` and
    `profile` change the suite. `fresh` executes everything again, `only_failed` only what broke.
    Each result is kept as soon as it is there.

    Where parameters are ranges, they are tuned first: trials are kept in the folder ``tuning``
    within, what came of them in the file ``tuned.yaml``, and the best settings run afresh with the
    suite's own seeds. See `sfnbench.tuning`.
    """
    suite = suite if isinstance(suite, Suite) else load_suite(suite, profile)
    runs = plan(
        suite, optimizers=optimizers, problems=problems, seeds=seeds, device=device_kind(device)
    )
    tuning_runs(suite, runs)  # raises where that cannot be
    folder = Path(out) if out is not None else results_folder(suite)
    watcher = watcher or Watcher()
    _check_data(runs if fresh else _settled(suite, runs, folder), {} if fresh else _stored(folder))
    if only_failed:
        Store(
            folder
        ).close()  # where there are no results nothing broke, and a folder without any is not to be left behind
    if suite.experiment == "throughput" and jobs not in (None, 1):
        raise SuiteError(
            f"{suite.name} measures throughput: its runs are executed one at a time, not {jobs}"
        )
    if suite.experiment == "throughput" or (
        jobs is None and any(run.device == "cuda" for run in runs)
    ):
        jobs = 1  # runs would share the cores or the one GPU, and spoil each other's seconds

    def execute(todo: Iterable[Run]) -> Generator[Result, None, None]:
        return execute_all(
            todo,
            engine=engine,
            jobs=jobs,
            plugins=registry.plugin_paths(),
            on_progress=watcher.progress,
        )

    how = _Manner(execute, watcher, fresh, only_failed)
    with Store(
        folder, create=True
    ) as store:  # before tuning, which would be in vain where results cannot be kept
        _execute(
            store,
            _tuned(suite, runs, folder, how) if any(run.is_open for run in runs) else _Agenda(runs),
            how,
        )
    return folder


def preview(
    suite: Suite,
    *,
    optimizers: Iterable[str] | None = None,
    problems: Iterable[str] | None = None,
    seeds: int | Sequence[int] | None = None,
    device: str = "auto",
    out: str | Path | None = None,
    fresh: bool = False,
    only_failed: bool = False,
) -> list[dict[str, Any]]:
    """What `run_suite` would do, as a table.

    A row for the tuning of each open run, then a row for each run.
    """
    runs = plan(
        suite, optimizers=optimizers, problems=problems, seeds=seeds, device=device_kind(device)
    )
    tuning_runs(suite, runs)
    folder = Path(out) if out is not None else results_folder(suite)
    tried, there = _stored(folder / TUNING), _stored(folder)
    settled = _settled(suite, runs, folder)
    _check_data(runs if fresh else settled, {} if fresh else there)
    again: frozenset[str] = frozenset(there) if fresh else frozenset()
    if only_failed and not fresh:
        with Store(folder) as store:
            again = frozenset(run.id for run in store.broken(runs))
    without = "left out" if only_failed and not fresh else "to do"
    tuning, running = [], []
    for run, known in zip(runs, settled, strict=True):
        names = {"problem": run.problem.label, "optimizer": run.method.label}
        if run.is_open and suite.tune:
            missing = [trial for trial in trials(run, suite.tune) if trial.id not in tried]
            state = f"{len(missing)} of {suite.tune.trials} trials to do" if missing else "there"
            tuning.append({"run": "tuning", **names, "seeds": suite.tune.seeds, "state": state})
        state = "to do" if known.id in again else "there" if known.id in there else without
        of = "after tuning" if known.is_open else known.id
        running.append({"run": of, **names, "seeds": len(run.seeds), "state": state})
    return tuning + running


def tuning_runs(suite: Suite, runs: Iterable[Run]) -> tuple[Run, ...]:
    """All trials of the open ones among these runs; SuiteError where they cannot be tuned."""
    return tuple(
        trial for run in runs if run.is_open and suite.tune for trial in trials(run, suite.tune)
    )


def results_folder(suite: Suite) -> Path:
    """Where a suite's results go unless told otherwise."""
    return RUNS / suite.name


def latest() -> Path:
    """The folder in ``runs`` with results that was written to last.

    StoreError where there is none.
    """
    for file in sorted(RUNS.glob(f"*/{FILE}"), key=lambda file: file.stat().st_mtime, reverse=True):
        with (
            suppress(NoResultsError),
            Store(file.parent),
        ):  # a run that was stopped early leaves a file without results
            return file.parent
    raise NoResultsError(f"no results in {RUNS}; `sfnbench run SUITE` makes them")


def device_kind(device: str) -> str:
    """The device, cpu or cuda, as `device` says or as the machine allows.

    DeviceError where it does not.
    """
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


# -- inside ----------------------------------------------------------------------------------------


def _settled(suite: Suite, runs: Sequence[Run], folder: Path) -> list[Run]:
    """Each run with the best values for its ranges, where it is tuned in full already."""
    if suite.tune is None or not any(run.is_open for run in runs):
        return list(runs)
    tried = _stored(folder / TUNING)
    found = {
        each.run.slot: each.settled
        for each in winners([run for run in runs if run.is_open], suite.tune, tried)
    }
    return [found.get(run.slot, run) if run.is_open else run for run in runs]


def _check_data(runs: Iterable[Run], stored: Mapping[str, Result]) -> None:
    """DataError where what has no sound result yet needs data that are not there."""
    sound = {run_id for run_id, result in stored.items() if not result.status.failed}
    if wrong := missing_data(run for run in runs if run.id not in sound):
        raise DataError("\n".join(wrong))


def _execute(store: Store, agenda: _Agenda, how: _Manner) -> frozenset[str]:
    """Execute what the store lacks, and keep it; the ids of what was done."""
    todo = agenda.todo(store, how)
    given = [agenda.hopeless[run.id] for run in todo if run.id in agenda.hopeless]
    results = how.execute([run for run in todo if run.id not in agenda.hopeless])
    ids = {run.id for run in todo} | store.ids()
    shown = [
        run for run in agenda.runs if run.id in ids
    ]  # with --only failed what is stale stays shown
    stale = store.adopt(shown)  # not before: what the engine refuses to execute changes nothing
    how.watcher.begin(todo, len({run.id for run in shown}) - len(todo), stale)
    try:
        with closing(results):  # a result that cannot be kept ends the workers too
            for result in chain(given, results):
                store.put(result)
                how.watcher.finished(result)
    finally:
        how.watcher.end()
    return frozenset(run.id for run in todo)


def _tuned(suite: Suite, runs: Sequence[Run], folder: Path, how: _Manner) -> _Agenda:
    """The runs with the best values for their ranges, which are tuned first.

    Without those that are not tuned in full.

    The report is of the whole suite, as far as that is tuned, whichever runs were picked this time.
    """
    assert suite.tune is not None
    whole = {run.slot: run for run in (*plan(suite, device=runs[0].device), *runs) if run.is_open}
    how.watcher.stage("tuning")
    with Store(folder / TUNING, create=True) as store:
        done = _execute(store, _Agenda(tuning_runs(suite, runs)), how)
    found = winners(whole.values(), suite.tune, _stored(folder / TUNING))
    write_report(suite, found, folder)
    slots = {run.slot for run in runs}
    picked = {each.run.slot: each for each in found if each.run.slot in slots}
    for each in picked.values():
        how.watcher.tuned(each)
    how.watcher.stage("results")
    ready = [
        picked[run.slot].settled if run.is_open else run
        for run in runs
        if not run.is_open or run.slot in picked
    ]
    anew = [
        each
        for each in picked.values()
        if done & {trial.id for trial in trials(each.run, suite.tune)}
    ]
    return _Agenda(
        ready,
        hopeless={each.settled.id: _hopeless(each) for each in picked.values() if each.broken},
        renewed=frozenset(each.settled.id for each in anew),
    )


def _hopeless(found: Tuned) -> Result:
    facts = {**environment.machine(), "device": found.run.device, "threads": None}
    return Result(found.settled, Status.ERROR, environment=facts, log=f"{found.broken}\n")


def _stored(folder: Path) -> dict[str, Result]:
    """The results in a folder by their runs' ids, without series."""
    try:
        with Store(folder) as store:
            return {result.run.id: result for result in store.summaries(current=False)}
    except NoResultsError:
        return {}
