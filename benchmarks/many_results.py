"""Thousands of results and runs: seconds, memory and bytes, each measured in a process of its own.

python benchmarks/many_results.py [N] makes N results (5,000) of five seeds, each a copy of one real
race under labels of its own, and a suite of 2 N runs, 10,000 at most.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from time import perf_counter, process_time
from typing import TYPE_CHECKING, Any

from tabulate import tabulate

if TYPE_CHECKING:
    from sfnbench.records import Result

N_OPTIMIZERS = 20


def real_race() -> Result:
    """One race of five seeds, with all columns, series and circumstances."""
    from sfnbench.members.identity import identify
    from sfnbench.records import Run, Spec
    from sfnbench.session.execute import execute

    problem = Spec("quadratic_saddle", "saddle", {"eigenvalues": [10.0, -2.0]}, "")
    method = Spec("sfn", "sfn", {"lr": 0.05}, "")
    budget = {"steps": 200, "seconds": None, "cost": None, "epochs": None}
    settings = {"budget": budget, "metrics": [["loss", {"steps": 1}]]}
    seeds = tuple(range(5))
    run = Run("many", "race", problem, method, seeds, settings)
    return execute(identify(run, "optimizer"))


def copies(result: Result, n: int) -> Iterator[Result]:
    """The same numbers under so many different labels and parameters."""
    run = result.run
    for i in range(n):
        params = {**run.method.params, "damping": 1e-3 * (i + 1)}
        method = replace(run.method, label=f"sfn {i % N_OPTIMIZERS}", params=params)
        problem = replace(run.problem, label=f"saddle {i // N_OPTIMIZERS}")
        yield replace(result, run=replace(run, problem=problem, method=method))


def fill(folder: Path, n: int) -> float:
    """Milliseconds that storing one result takes, by the processor's clock."""
    from sfnbench import Store

    made = list(copies(real_race(), n))
    with Store(folder, create=True) as store:
        began = process_time()
        for each in made:
            store.put(each)
        return (process_time() - began) / n * 1000


def write_suite(file: Path, n_problems: int) -> None:
    """A suite of so many distinct problems with four optimizers each."""
    entries = []
    for first in range(0, n_problems, 500):  # a grid has at most 1,000 combinations
        numbers = range(first, min(first + 500, n_problems))
        grid = ", ".join(f"[10, -{0.001 * (i + 1):.3f}]" for i in numbers)
        entry = f"use: quadratic_saddle, label: from {first}"
        entries.append(f"  - {{{entry}, eigenvalues: {{grid: [{grid}]}}}}\n")
    file.write_text(f"""title: Many runs
seeds: 1
budget: {{steps: 1}}
problems:
{"".join(entries)}optimizers:
  - {{use: gradient_descent, lr: {{grid: [0.01, 0.02]}}}}
  - {{use: sfn, lr: {{grid: [0.1, 0.2]}}}}
""")


def measured(what: str, command: list[str], cwd: Path) -> dict[str, Any]:
    """Seconds of a command, those that it computed, and the MB of memory that it took at most."""
    root = Path(__file__).resolve().parents[1]
    environ = {**os.environ, "PYTHONPATH": str(root)}
    began = perf_counter()
    with (cwd / "out").open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, *command], cwd=cwd, stdout=out, env=environ
        )
        _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} failed")
    row = {
        "what": what,
        "seconds": perf_counter() - began,
        "computing": usage.ru_utime + usage.ru_stime,
        "memory MB": usage.ru_maxrss / 1024,
    }
    print(row, file=sys.stderr)
    return row


MOST_RESULTS = 5000  # beyond, the suite has no more runs: its file has a limit


def main(n: int = 5000) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        n_problems = min(n, MOST_RESULTS) // 2
        n_runs = 4 * n_problems
        write_suite(folder / "many_runs.yaml", n_problems)
        commands = {
            f"filling with {n}": [__file__, str(n), "runs/many"],
            f"show {n}": ["-m", "sfnbench", "show", "runs/many"],
            f"report {n}": ["-m", "sfnbench", "report", "runs/many"],
            f"validate {n_runs} runs": [
                "-m",
                "sfnbench",
                "validate",
                "many_runs.yaml",
            ],
            f"again {n_runs}": ["-m", "sfnbench", "validate", "many_runs.yaml"],
            f"dry run of {n_runs}": [
                "-m",
                "sfnbench",
                "run",
                "many_runs.yaml",
                "--dry-run",
            ],
        }
        table = [measured(what, words, folder) for what, words in commands.items()]
        size = (folder / "report.html").stat().st_size / 1e6
        print(tabulate(table, headers="keys", floatfmt=".4g"))
        print(f"the report has {size:.1f} MB")


if __name__ == "__main__":
    if len(sys.argv) == 3:
        print(
            f"{fill(Path(sys.argv[2]), int(sys.argv[1])):.2f} ms each",
            file=sys.stderr,
        )
    else:
        main(*map(int, sys.argv[1:]))
