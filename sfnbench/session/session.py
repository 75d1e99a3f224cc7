"""A suite from plan to store: what ``sfnbench run`` does, for Python too."""

from __future__ import annotations

from collections.abc import (
    Callable,
    Generator,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from .. import environment
from ..errors import DataError, NoResultsError, SuiteError
from ..members import live, registry
from ..records import Result, Run, Status
from ..results.store import Store, has_failed
from ..suite.plan import missing_data, plan, to_download
from ..suite.reading import Suite
from .device import check_device
from .engines import CHECKPOINT_S, CHECKPOINTS, execute_all, is_elsewhere
from .folders import TUNING, results_folder
from .observer import Observer
from .plans import Planned
from .tuning import Tuned, trials, winners, write_report

Execute = Callable[[Iterable[Run]], Generator[Result, None, None]]


def run_session(
    planned: Planned,
    *,
    engine: str = "processes",
    engine_options: Mapping[str, Any] | None = None,
    jobs: int | None = None,
    out: str | Path | None = None,
    fresh: bool = False,
    only_failed: bool = False,
    checkpoint_s: float = CHECKPOINT_S,
    observer: Observer | None = None,
) -> Path:
    """Execute the runs of a plan that have no result yet; gives the folder of all results.

    Arguments as of `run_suite`. Trials are in ``tuning`` within, winners in ``tuned.yaml``.
    SuiteError where a range cannot be tuned.
    """
    suite, runs = planned.suite, planned.runs
    tuning_runs(suite, runs)
    folder = results_folder(suite, out)
    elsewhere = is_elsewhere(engine, engine_options)
    _check(planned, folder, elsewhere, fresh, only_failed)
    observer = observer or Observer()
    own = registry.live_members(runs)
    execute = partial(
        execute_all,
        engine=engine,
        options=engine_options,
        folder=folder,
        jobs=_jobs(suite, runs, jobs, elsewhere),
        plugins=registry.plugin_paths(),
        live=live.shipped_live({} if engine == "inline" else own),
        on_progress=observer.progress,
        checkpoint_s=checkpoint_s,
    )
    sources = _own_sources(own)
    session = _Session(execute, observer, fresh, only_failed, folder, sources)
    with Store(folder, create=True) as store:  # tuning would be in vain without
        session.execute_stage(store, session.stage(suite, runs, folder))
    return folder


def preview(
    planned: Planned,
    *,
    out: str | Path | None = None,
    fresh: bool = False,
    only_failed: bool = False,
) -> list[dict[str, Any]]:
    """What `run_session` would do, as a table.

    A row for the tuning of each open run, then a row for each run.
    """
    suite, runs = planned.suite, planned.runs
    folder = results_folder(suite, out)
    tried, stored = _stored(folder / TUNING), _statuses(folder)
    settled = _settled(suite, runs, folder)
    if not planned.has_data:
        _check_data(runs if fresh else _without_result(settled, stored))
    again, missing_state = frozenset(stored if fresh else ()), "to do"
    if only_failed and not fresh:
        missing_state = "left out"
        with Store(folder) as store:
            again = frozenset(run.id for run in store.broken(runs))
    states = {**dict.fromkeys(stored, "there"), **dict.fromkeys(again, "to do")}
    rows = []
    for run, known in zip(runs, settled, strict=True):
        state = states.get(known.id, missing_state)
        run_id = "after tuning" if known.is_open else known.id
        rows.append(
            {"run": run_id, **_names(run), "seeds": len(run.seeds), "state": state}
        )
    return [*_tuning_rows(suite, runs, tried), *rows]


def tuning_runs(suite: Suite, runs: Iterable[Run]) -> tuple[Run, ...]:
    """All trials of the open ones among these runs; SuiteError where they cannot be tuned."""
    if suite.tune is None:
        return ()
    return tuple(
        trial for run in runs if run.is_open for trial in trials(run, suite.tune)
    )


# -- inside ----------------------------------------------------------------------------------------


def _check(
    planned: Planned, folder: Path, elsewhere: bool, fresh: bool, only_failed: bool
) -> None:
    """DeviceError without the device, DataError without data.

    NoResultsError where there is nothing to re-run.
    """
    suite, runs = planned.suite, planned.runs
    _check_devices(() if elsewhere else runs)
    if not planned.has_data:
        lacking = list(runs)
        if not fresh:
            lacking = _without_result(
                _settled(suite, runs, folder), _statuses(folder)
            )
        _check_data(lacking)
        _fetch_data(lacking)
    if only_failed:
        Store(folder).close()  # raises without results, and leaves no empty folder


def _check_devices(runs: Iterable[Run]) -> None:
    """DeviceError where this machine lacks a device of these runs."""
    for kind in {run.device for run in runs}:
        check_device(kind)


def _own_sources(own: Mapping[tuple[str, str], type]) -> dict[str, str]:
    """The source of each member that a script or a notebook defines."""
    return {
        name: live.written_out(name, cls).read_text()
        for (_, name), cls in own.items()
    }


@dataclass(frozen=True)
class _Stage:
    """The runs of a stage, and what tuning found out about them."""

    runs: Sequence[Run]
    # by the id of a run: its result, where none of its trials worked
    failures: Mapping[str, Result] = field(default_factory=dict)
    # ids of runs whose trials have just been executed
    retuned: frozenset[str] = frozenset()

    def todo(self, store: Store, fresh: bool, only_failed: bool) -> tuple[Run, ...]:
        """The runs to execute, each once."""
        if fresh:
            chosen: Iterable[Run] = self.runs
        elif only_failed:
            retuned = store.pending(
                run for run in self.runs if run.id in self.retuned
            )
            chosen = (*store.broken(self.runs), *retuned)
        else:
            chosen = store.pending(self.runs)
        return tuple({run.id: run for run in chosen}.values())


@dataclass(frozen=True)
class _Session:
    """How the stages of a session are executed."""

    execute: Execute
    observer: Observer
    fresh: bool
    only_failed: bool
    folder: Path
    sources: Mapping[str, str]  # of live members by name

    def execute_stage(self, store: Store, stage: _Stage) -> frozenset[str]:
        """Execute the runs that the store lacks, and store them; their ids."""
        todo = stage.todo(store, self.fresh, self.only_failed)
        failures = [
            stage.failures[run.id] for run in todo if run.id in stage.failures
        ]
        if self.fresh:
            self._drop_checkpoints(todo)
        sound = [run for run in todo if run.id not in stage.failures]
        results = self.execute(sound)
        ids = {run.id for run in todo} | store.ids()
        # With --only failed, stored results that are stale stay in the table.
        shown = [run for run in stage.runs if run.id in ids]
        # Not before the engine has accepted the runs: a refusal changes nothing.
        stale = store.adopt(shown)
        n_stored = len({run.id for run in shown}) - len(todo)
        self.observer.begin(todo, n_stored, stale)
        try:
            # A result that cannot be stored ends the workers too.
            with closing(results):
                try:
                    self._keep(store, chain(failures, results))
                except KeyboardInterrupt as pressed:
                    self._keep(store, _ended_already(results, pressed))
                    raise
        finally:
            self.observer.end()
        return frozenset(run.id for run in todo)

    def _keep(self, store: Store, results: Iterable[Result]) -> None:
        for result in results:
            store.put(self._with_sources(result))
            self._drop_checkpoints([result.run])
            self.observer.finished(result)

    def _drop_checkpoints(self, runs: Iterable[Run]) -> None:
        # there may be none, and the folder may hold those of others
        folder = self.folder / CHECKPOINTS
        for run in runs:
            with suppress(OSError):
                (folder / f"{run.id}.pt").unlink()
        with suppress(OSError):
            folder.rmdir()

    def _with_sources(self, result: Result) -> Result:
        """The result with the source of the live members that made it."""
        if not self.sources:
            return result
        kept = {"source": dict(self.sources)}
        return replace(result, environment={**result.environment, **kept})

    def stage(self, suite: Suite, runs: Sequence[Run], folder: Path) -> _Stage:
        """All runs, the open ones tuned first."""
        if any(run.is_open for run in runs):
            return self.tune(suite, runs, folder)
        return _Stage(runs)

    def tune(self, suite: Suite, runs: Sequence[Run], folder: Path) -> _Stage:
        """Tune the open runs; the stage of all runs with their best values.

        Runs whose trials are not all there are left out. ``tuned.yaml`` covers the whole suite, as
        far as it is tuned, whichever runs were picked this time.
        """
        assert suite.tune is not None
        here = replace(suite, absent=())
        every = (*plan(here, device=runs[0].device), *runs)
        open_runs = {run.slot: run for run in every if run.is_open}
        self.observer.stage("tuning")
        with Store(folder / TUNING, create=True) as store:
            readable = _stored(folder / TUNING)
            planned = {trial.id for trial in tuning_runs(suite, runs)}
            store.discard((store.ids() & planned) - readable.keys())
            executed = self.execute_stage(store, _Stage(tuning_runs(suite, runs)))
        found = winners(open_runs.values(), suite.tune, _stored(folder / TUNING))
        write_report(suite, found, folder)
        slots = {run.slot for run in runs}
        picked = {each.run.slot: each for each in found if each.run.slot in slots}
        retuned = set()
        for each in picked.values():
            self.observer.tuned(each)
            if executed & {trial.id for trial in trials(each.run, suite.tune)}:
                retuned.add(each.settled.id)
        self.observer.stage("results")
        ready = []
        for run in runs:
            if not run.is_open:
                ready.append(run)
            elif run.slot in picked:
                ready.append(picked[run.slot].settled)
        failures = {
            each.settled.id: _failure(each)
            for each in picked.values()
            if each.broken
        }
        return _Stage(ready, failures, frozenset(retuned))


def _ended_already(
    results: Generator[Result, None, None], pressed: KeyboardInterrupt
) -> Iterator[Result]:
    """The results that an engine still has when Ctrl-C comes."""
    # the engine raises it again after the last result
    with suppress(KeyboardInterrupt):
        yield results.throw(pressed)
        yield from results


def _names(run: Run) -> dict[str, str]:
    return {"problem": run.problem.label, "optimizer": run.method.label}


def _tuning_rows(
    suite: Suite, runs: Iterable[Run], tried: Mapping[str, Result]
) -> Iterator[dict[str, Any]]:
    """A row for the tuning of each open run."""
    for run in runs:
        if run.is_open and suite.tune:
            n_missing = sum(
                trial.id not in tried for trial in trials(run, suite.tune)
            )
            if n_missing:
                state = f"{n_missing} of {suite.tune.trials} trials to do"
            else:
                state = "there"
            yield {
                "run": "tuning",
                **_names(run),
                "seeds": suite.tune.seeds,
                "state": state,
            }


def _jobs(
    suite: Suite, runs: Sequence[Run], jobs: int | None, elsewhere: bool
) -> int | None:
    """How many runs at a time; SuiteError where the suite cannot have as many."""
    if suite.experiment == "throughput":
        if jobs not in (None, 1):
            raise SuiteError(
                f"{suite.name} measures throughput: its runs go one at a time, not {jobs}"
            )
        return 1  # runs side by side would spoil each other's seconds
    if jobs is None and not elsewhere and any(run.device == "cuda" for run in runs):
        return 1  # there is one GPU
    return jobs


def _settled(suite: Suite, runs: Sequence[Run], folder: Path) -> list[Run]:
    """Each run with the best values for its ranges, where its trials are all there."""
    open_runs = [run for run in runs if run.is_open]
    if suite.tune is None or not open_runs:
        return list(runs)
    tuned = winners(open_runs, suite.tune, _stored(folder / TUNING))
    settled = {each.run.slot: each.settled for each in tuned}
    return [settled.get(run.slot, run) if run.is_open else run for run in runs]


def _without_result(runs: Iterable[Run], stored: Mapping[str, str]) -> list[Run]:
    """The runs without a sound result."""
    return [run for run in runs if has_failed(stored.get(run.id, ""))]


def _check_data(runs: Iterable[Run]) -> None:
    """DataError where runs need data that are not there and may not be fetched."""
    if missing := missing_data(runs):
        raise DataError("\n".join(missing))


def _fetch_data(runs: Iterable[Run]) -> None:
    """Fetch the data of runs, once for all of them; DataError where they cannot be had."""
    reasons: dict[str, str] = {}  # problems share datasets: each reason once
    for label, problem in to_download(runs).items():
        try:
            problem.fetch_data()
        except DataError as error:
            reasons.setdefault(str(error), label)
    if reasons:
        lines = [f"{label}: {reason}" for reason, label in reasons.items()]
        raise DataError("\n".join(lines))


def _failure(tuned: Tuned) -> Result:
    """The result of a run none of whose trials worked."""
    facts = {**environment.machine(), "device": tuned.run.device, "threads": None}
    return Result(
        tuned.settled, Status.ERROR, environment=facts, log=f"{tuned.broken}\n"
    )


def _statuses(folder: Path) -> dict[str, str]:
    """The statuses of the results in a folder by their runs' ids."""
    try:
        with Store(folder) as store:
            return store.statuses()
    except NoResultsError:
        return {}


def _stored(folder: Path) -> dict[str, Result]:
    """Results in a folder by their runs' ids, without series; a damaged one counts as none."""
    try:
        with Store(folder) as store:
            found = store.summaries(current=False, damaged=lambda error: None)
            return {result.run.id: result for result in found}
    except NoResultsError:
        return {}
