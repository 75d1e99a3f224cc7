"""Runs as job arrays of Slurm, submitted by submitit.

A job gives its run a process of its own, as `processes` does, in this process's environment and
working directory, which the nodes have to share. Jobs outlive this process: who starts the session
again is handed what ran meanwhile. Ctrl-C cancels them; what has ended by then is handed out first.
"""

from __future__ import annotations

import itertools
import math
import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Container, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from types import FrameType
from typing import Any, NoReturn

from ...environment import install_hint
from ...errors import SfnbenchError
from ...records import Result, Run, Status
from ...words import first_line
from . import Conditions, RunProgress, refuse_options
from ._server import ctrl_c_deferred
from .processes import processes, unfinished

POLL_S = 1.0
# Slurm is asked so often for jobs that may have ended without a result
SACCT_S = 30.0
CANCEL_S = 15.0  # Slurm gives a job time to end by itself
ARRAY_LENGTH = 1000  # Slurm's own limit, where its administrator has set no other
ATTEMPTS = 3  # of a run whose node was lost
SPARE_MINUTES = 5  # beyond the runs' own timeouts, in which a job starts and ends
# submitit's name of a file with what a job is given ends so
SUBMITTED = "_submitted.pkl"
LOST = ("NODE_FAIL", "PREEMPTED", "BOOT_FAIL")
OUT_OF_MEMORY = re.compile(r"exceeded memory limit|oom.kill", re.IGNORECASE)
STATUSES = {"TIMEOUT": Status.TIMEOUT, "OUT_OF_MEMORY": Status.OOM}


def slurm(
    runs: Iterable[Run],
    conditions: Conditions,
    on_progress: RunProgress | None = None,
) -> Generator[Result, None, None]:
    """Execute the runs as jobs; SfnbenchError without submitit, Slurm or with a wrong option."""
    try:
        import submitit  # noqa: F401
    except ImportError:
        raise SfnbenchError(
            f"engine 'slurm' needs the package submitit: {install_hint('slurm')}"
        ) from None
    return _executed(tuple(runs), conditions)


def work_for_slurm(run: Run, conditions: Conditions) -> Result:
    """Execute the run in a process of its own, inside of a job."""
    from submitit.core.utils import UncompletedJobError

    # scancel ends all of the job's processes. submitit's handler would let this one live on, which
    # then takes the end of its workers for a crash and executes the run once more.
    signal.signal(signal.SIGTERM, _end_job)
    try:
        (result,) = processes([run], replace(conditions, jobs=1))
    except UncompletedJobError as error:
        # submitit raises this at the signal before the job's end
        return unfinished(
            run, Status.TIMEOUT, f"Slurm ends the job: {error}\n", 0.0
        )
    return result


# -- inside ----------------------------------------------------------------------------------------


def _end_job(number: int, _: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


def _executed(
    runs: tuple[Run, ...], conditions: Conditions
) -> Generator[Result, None, None]:
    if not runs:
        return
    with _job_folder(conditions.folder) as folder:
        jobs = _Jobs(_executor(folder, runs, conditions), conditions)
        try:
            jobs.submit(jobs.adopt(runs))
            while jobs.running:
                ended = jobs.ended()
                if not ended:
                    time.sleep(POLL_S)
                yield from _handed_out(jobs, ended)
        except KeyboardInterrupt:
            yield from _handed_out(jobs, jobs.with_result())
            raise
        finally:
            jobs.cancel()


def _handed_out(jobs: _Jobs, ended: Iterable[Run]) -> Iterator[Result]:
    """The results of jobs that have ended, each kept here until the caller has stored it."""
    for run in ended:
        result = jobs.result(run)
        if result is not None:
            yield result
            jobs.forget(run)


@contextmanager
def _job_folder(results: Path | None) -> Iterator[Path]:
    """Where jobs keep what they are given and give back: a folder that the nodes share."""
    if results is None:
        with tempfile.TemporaryDirectory(prefix="slurm-", dir=Path.cwd()) as own:
            yield Path(own)
        return
    folder = results.resolve() / "slurm"
    folder.mkdir(parents=True, exist_ok=True)
    yield folder
    with suppress(OSError):  # files of jobs that are still wanted keep it
        folder.rmdir()


def _executor(folder: Path, runs: tuple[Run, ...], conditions: Conditions) -> Any:
    """submitit's, with the caller's options; SfnbenchError for one that sbatch does not have."""
    from submitit.slurm.slurm import SlurmExecutor

    try:
        executor = SlurmExecutor(folder, max_num_timeout=0)
    except RuntimeError as error:
        raise SfnbenchError(
            "engine 'slurm' finds no Slurm here: there is no srun on the PATH"
        ) from error
    given = conditions.options
    refuse_options("slurm", given, sorted(executor._valid_parameters()))
    try:
        executor.update_parameters(**{**_defaults(runs, conditions), **given})
    except (TypeError, ValueError) as error:
        raise SfnbenchError(f"options of Slurm: {first_line(error)}") from error
    return executor


def _defaults(runs: tuple[Run, ...], conditions: Conditions) -> Mapping[str, Any]:
    """The options of a job where the caller gives none, by sbatch's names."""
    longest = max(run.timeout_s for run in runs)
    options: dict[str, Any] = {
        "job_name": f"sfnbench-{runs[0].suite}",
        "time": math.ceil(longest / 60) + SPARE_MINUTES,
        "cpus_per_task": conditions.threads,
        "array_parallelism": min(conditions.jobs, ARRAY_LENGTH),
        "stderr_to_stdout": True,
    }
    if any(run.device == "cuda" for run in runs):
        options["gpus_per_node"] = 1
    return options


class _Jobs:
    """The jobs that Slurm has of this session, each with its run.

    ``RUN.job`` in the folder holds a job's id from its submission until its result is stored.
    """

    def __init__(self, executor: Any, conditions: Conditions) -> None:
        self.executor = executor
        self.conditions = conditions
        self._folder = Path(executor.folder)
        self.running: dict[str, tuple[Run, Any]] = {}
        self._attempts: dict[str, int] = {}
        self._began = perf_counter()
        self._asked = perf_counter()

    def adopt(self, runs: Iterable[Run]) -> list[Run]:
        """Take over the jobs of an earlier session; the runs that have none."""
        self._note_jobs()
        queued = _queued()
        missing = []
        for run in runs:
            job = self._earlier_job(run, queued)
            if job is None:
                missing.append(run)
            else:
                self.running[run.id] = run, job
        return missing

    def submit(self, runs: Iterable[Run]) -> None:
        """Submit an array of jobs; SfnbenchError where Slurm refuses it."""
        waiting = iter(runs)
        while chosen := list(itertools.islice(waiting, ARRAY_LENGTH)):
            with ctrl_c_deferred():  # none is submitted that cannot be cancelled
                for run, job in zip(chosen, self._submitted(chosen), strict=True):
                    self.running[run.id] = run, job
                    self._record(run).write_text(job.job_id)
            # sbatch has read these scripts
            for script in self._folder.glob("*submission*.sh"):
                script.unlink()

    def ended(self) -> list[Run]:
        """The runs whose jobs have ended since this was last asked."""
        ask = perf_counter() - self._asked > SACCT_S
        if ask:
            self._asked = perf_counter()
        files = {entry.name for entry in os.scandir(self._folder)}
        return [
            run
            for run, job in self.running.values()
            if job.paths.result_pickle.name in files
            or (ask and job.watcher.is_done(job.job_id))
        ]

    def with_result(self) -> list[Run]:
        """The runs whose jobs have left a result, which is not stored yet."""
        return [
            run
            for run, job in self.running.values()
            if job.paths.result_pickle.exists()
        ]

    def result(self, run: Run) -> Result | None:
        """What the run's job gave; None where its node was lost and it is submitted again."""
        _, job = self.running[run.id]
        if job.paths.result_pickle.exists():
            outcome, given = job._get_outcome_and_result()
            if outcome == "success":
                found: Result = given
                return found
            log = f"{given}\n"
        else:
            log = _printed(job)
        state = job.watcher.get_state(job.job_id, mode="force").split()[0]
        attempts = self._attempts[run.id] = self._attempts.get(run.id, 1) + 1
        if state in LOST and attempts <= ATTEMPTS:
            self.forget(run)
            self.submit([run])
            return None
        if OUT_OF_MEMORY.search(log):  # the step's state; its job's is FAILED
            state = "OUT_OF_MEMORY"
        log += f"Slurm ended the job {job.job_id}: {state}\n"
        seconds = perf_counter() - self._began
        return unfinished(run, STATUSES.get(state, Status.ERROR), log, seconds)

    def forget(self, run: Run) -> None:
        """Remove the files of a run whose result the caller has, or that is given up."""
        self.running.pop(run.id, None)
        paths = self._job_of(run).paths
        for file in (paths.submitted_pickle, paths.result_pickle, paths.stdout):
            file.unlink(missing_ok=True)
        self._record(run).unlink(missing_ok=True)

    def cancel(self) -> None:
        """Tell Slurm that no more results are wanted, and wait until it has heard.

        Results that are there already stay, with their files, for the next session.
        """
        ended = {run.id for run in self.with_result()}
        open_jobs = [
            each for each in self.running.values() if each[0].id not in ended
        ]
        arrays = {_array_of(job.job_id) for _, job in open_jobs}
        if not arrays:
            return
        with suppress(OSError):  # a Slurm that is gone has nothing to cancel
            subprocess.run(("scancel", *arrays), capture_output=True)
            end = perf_counter() + CANCEL_S
            while arrays & set(map(_array_of, _queued())) and perf_counter() < end:
                time.sleep(POLL_S)
        for run, _ in open_jobs:
            self.forget(run)

    def _submitted(self, runs: list[Run]) -> list[Any]:
        """An array of jobs that sbatch has taken."""
        conditions = [self._shipped()] * len(runs)
        try:
            jobs: list[Any] = self.executor.map_array(
                work_for_slurm, runs, conditions
            )
        except Exception as error:  # what sbatch says has no class of its own
            raise SfnbenchError(
                f"Slurm refuses the runs: {first_line(error)}"
            ) from error
        return jobs

    def _shipped(self) -> Conditions:
        """The conditions that a job needs."""
        plugins = tuple(folder.resolve() for folder in self.conditions.plugins)
        return replace(self.conditions, plugins=plugins, options={}, folder=None)

    def _record(self, run: Run) -> Path:
        return self._folder / f"{run.id}.job"

    def _job_of(self, run: Run) -> Any:
        """The job that was submitted for the run."""
        from submitit.slurm.slurm import SlurmJob

        return SlurmJob(self._folder, self._record(run).read_text())

    def _note_jobs(self) -> None:
        """Write the records that a session did not come to, after it had submitted the jobs."""
        from submitit.core.utils import DelayedSubmission

        known = {file.read_text() for file in self._folder.glob("*.job")}
        for file in self._folder.glob(f"*{SUBMITTED}"):
            job_id = file.name.removesuffix(SUBMITTED)
            if job_id not in known:
                run: Run = DelayedSubmission.load(file).args[0]
                self._record(run).write_text(job_id)

    def _earlier_job(self, run: Run, queued: Container[str]) -> Any:
        """The job of an earlier session that made the run, or makes it; None without one."""
        if not self._record(run).exists():
            return None
        job = self._job_of(run)
        if job.job_id in queued or job.paths.result_pickle.exists():
            return job
        self.forget(run)
        return None


def _queued() -> set[str]:
    """The ids of all jobs that wait, run or are about to end; sacct does not know the last."""
    command = ("squeue", "--noheader", "--array", "--format=%i")
    return set(
        subprocess.run(command, capture_output=True, text=True).stdout.split()
    )


def _array_of(job_id: str) -> str:
    return job_id.partition("_")[0]


def _printed(job: Any) -> str:
    """What the job printed, as far as there is a file of it."""
    try:
        return str(job.paths.stdout.read_text(errors="replace"))
    except OSError:
        return ""
