"""What dask adds to equal runs: 400 of them on 8 workers, against the least that they can take.

python benchmarks/dask_workers.py [--runs 400] [--workers 8] [--steps 1500]. Each run is a race of
one seed with other damping. The least is what they take one after another in bare processes, one
a core, all at work at once, before and after dask. As many bare processes as workers say what it
costs to share the cores. Seconds count from the first run that is handed out, with all workers
warm, to the last result; seconds of the processor are those of all workers meanwhile, and tell what
a busy machine does to the first figure.
"""

from __future__ import annotations

import argparse
import multiprocessing
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from time import perf_counter

import numpy as np
import psutil

from sfnbench.environment import usable_cores
from sfnbench.members.identity import identify
from sfnbench.records import Run, Spec
from sfnbench.session.engines import execute_all
from sfnbench.session.engines.dask import QUIET
from sfnbench.session.execute import execute

N_BARE = 20  # runs of each bare process


def equal_runs(n: int, steps: int) -> list[Run]:
    """So many races that take the same time."""
    problem = Spec("quadratic_saddle", "saddle", {"eigenvalues": [10.0, -2.0]}, "")
    budget = {"steps": steps, "seconds": None, "cost": None, "epochs": None}
    settings = {"budget": budget, "metrics": [["loss", {"steps": steps}]]}
    method = Spec("sfn", "sfn", {"lr": 0.05}, "")
    first = identify(
        Run("equal", "race", problem, method, (0,), settings), "optimizer"
    )
    runs = []
    for i in range(n):
        params = {"lr": 0.05, "damping": 1e-3 * (i + 1)}
        own = replace(first.method, label=f"sfn {i}", params=params)
        runs.append(replace(first, method=own))
    return runs


@contextmanager
def cluster(n_workers: int) -> Iterator[str]:
    """The address of a scheduler with workers of one thread, each a process."""
    from dask import config
    from distributed import LocalCluster

    with config.set(QUIET), warnings.catch_warnings():
        # dask's own, of sockets that it closes late
        warnings.simplefilter("ignore")
        with LocalCluster(
            n_workers=n_workers,
            threads_per_worker=1,
            memory_limit=0,
            dashboard_address="127.0.0.1:0",
        ) as made:
            yield made.scheduler_address


def computed() -> float:
    """Seconds of the processor that this process and all below it have taken."""
    total = 0.0
    me = psutil.Process()
    for process in (me, *me.children(recursive=True)):
        times = process.cpu_times()
        # its own, and those of its children that have ended
        total += sum(times[:4])
    return total


def bare(runs: list[Run], n_processes: int) -> tuple[float, float]:
    """Seconds a run takes in so many bare processes, and those of the processor."""
    spawned = multiprocessing.get_context("spawn")
    with spawned.Pool(n_processes) as pool:
        # the first runs of a process are slower
        pool.map(execute, runs[: 4 * n_processes], chunksize=1)
        began, before = perf_counter(), computed()
        pool.map(execute, runs, chunksize=1)
        n = len(runs)
        return (perf_counter() - began) / n, (computed() - before) / n


def main() -> None:
    """Measure and print."""
    words = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    words.add_argument("--runs", type=int, default=400)
    words.add_argument("--workers", type=int, default=8)
    words.add_argument("--steps", type=int, default=1500)
    asked = words.parse_args()
    cores = usable_cores()
    n_warming = max(asked.workers, 2 * cores)
    runs = equal_runs(asked.runs + n_warming, asked.steps)
    some = runs[: N_BARE * cores]
    before_dask = bare(some, cores)
    shared, _ = bare(some, asked.workers)
    with cluster(asked.workers) as address:
        options = {"scheduler": address}
        list(execute_all(runs[:n_warming], engine="dask", options=options))
        began, before = perf_counter(), computed()
        results = list(
            execute_all(runs[-asked.runs :], engine="dask", options=options)
        )
        seconds, processor = perf_counter() - began, computed() - before
    after_dask = bare(some, cores)
    one, computed_one = np.mean([before_dask, after_dask], axis=0).tolist()
    assert all(result.status == "ok" for result in results), "a run failed"
    print(
        f"{asked.runs} runs of {computed_one:.2f} s on {asked.workers} workers, "
        f"{cores} cores"
    )
    print(f"{asked.workers} bare processes: {shared / one:.2f} times the least")
    times = seconds / (asked.runs * one)
    print(f"seconds: {seconds:.1f}, {times:.2f} times the least")
    times = processor / (asked.runs * computed_one)
    print(f"of the processor: {processor:.1f}, {times:.2f} times the least")


if __name__ == "__main__":
    main()
