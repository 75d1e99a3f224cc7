"""What dask adds to equal runs: 400 of them on 8 workers, against the least that they can take.

python benchmarks/dask_workers.py [--runs 400] [--workers 8] [--steps 1500]. Each run is a race of
one seed with other damping. The least is what they compute one after another in one process, spread
over all cores. Seconds count from the first run that is handed out, with all workers warm, to the
last result; seconds of the processor are those of all workers meanwhile, and tell what a
busy machine does to the first figure.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from statistics import median
from time import perf_counter, process_time

import psutil

from sfnbench.environment import usable_cores
from sfnbench.members.identity import identify
from sfnbench.records import Run, Spec
from sfnbench.session.engines import execute_all
from sfnbench.session.execute import execute

N_ALONE = 9  # runs in this process; the first only warms it up


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
    from distributed import LocalCluster

    with warnings.catch_warnings():
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


def main() -> None:
    """Measure and print."""
    words = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    words.add_argument("--runs", type=int, default=400)
    words.add_argument("--workers", type=int, default=8)
    words.add_argument("--steps", type=int, default=1500)
    asked = words.parse_args()
    runs = equal_runs(asked.runs + asked.workers + N_ALONE, asked.steps)
    alone = []
    for run in runs[:N_ALONE]:
        began = process_time()
        execute(run)
        alone.append(process_time() - began)
    one = median(alone[1:])
    cores = usable_cores()
    with cluster(asked.workers) as address:
        options = {"scheduler": address}
        warming = runs[N_ALONE : N_ALONE + asked.workers]
        list(execute_all(warming, engine="dask", options=options))
        began, before = perf_counter(), computed()
        results = list(
            execute_all(runs[-asked.runs :], engine="dask", options=options)
        )
        seconds, processor = perf_counter() - began, computed() - before
    assert all(result.status == "ok" for result in results), "a run failed"
    least = asked.runs * one
    print(
        f"{asked.runs} runs of {one:.2f} s on {asked.workers} workers, {cores} cores"
    )
    print(f"seconds: {seconds:.1f}, {seconds * cores / least:.2f} times the least")
    print(
        f"of the processor: {processor:.1f}, {processor / least:.2f} times the least"
    )


if __name__ == "__main__":
    main()
