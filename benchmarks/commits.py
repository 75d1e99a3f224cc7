"""Two commits against each other on this machine: python benchmarks/commits.py BEFORE AFTER.

The suites of benchmarks/tracked run with each commit's sfnbench, in the Python that runs this. The
two take turns, a fresh process a round, so that what else the machine does meets both. Processor
time is what counts, in units of a control: fixed work of numpy in the same process, right before
and after. A busy machine slows the control, too; a slow commit does not.

A commit is slower where the median over rounds of the quotients, after by before, is above FACTOR,
and most rounds agree. Exits with 3 then, or where what a suite is tracked for costs more.

`--times 10` compares so often, and says how many comparisons were clean: of equal commits (HEAD
HEAD) all should be, and of a commit that is slower none.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from time import process_time

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
SUITES = {"escape": "escape_cost", "training": "final_loss"}
N_REPEATS = 2  # of each run in a process
DEARER = 1.05  # a cost that rises by more has become worse

# each round: by run, its units of control and its cost
Rounds = list[dict[str, dict[str, float]]]


def main() -> None:
    """Compare, or measure one round in a process of its own."""
    words = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    words.add_argument("before", nargs="?", default="HEAD~1")
    words.add_argument("after", nargs="?", default="HEAD")
    words.add_argument("--rounds", type=int, default=5)
    words.add_argument("--factor", type=float, default=1.3)
    words.add_argument(
        "--times", type=int, default=1, help="comparisons, one by one"
    )
    words.add_argument("--suite", choices=SUITES, action="append")
    words.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    asked = words.parse_args()
    suites = asked.suite or list(SUITES)
    if asked.measure:
        print(json.dumps(units_and_costs(suites)))
        return
    n_clean = 0
    with checked_out(asked.before) as old, checked_out(asked.after) as new:
        for _ in range(asked.times):
            before, after = both_in_turn(old, new, suites, asked.rounds)
            worse = compared(before, after, asked.factor)
            for line in worse:
                print(line, flush=True)
            n_clean += not worse
    if asked.times > 1:
        print(f"{n_clean} of {asked.times} comparisons were clean")
    if n_clean < asked.times:
        sys.exit(3)
    print(f"{asked.after} is not slower than {asked.before}, nor dearer")


def both_in_turn(
    old: Path, new: Path, suites: list[str], n_rounds: int
) -> tuple[Rounds, Rounds]:
    """So many rounds with the packages in two folders."""
    before: Rounds = []
    after: Rounds = []
    for i in range(n_rounds):
        turns = [(old, before), (new, after)]
        for tree, rounds in turns if i % 2 else reversed(turns):
            rounds.append(a_round(tree, suites))
        print(f"round {i + 1} of {n_rounds}", file=sys.stderr)
    return before, after


@contextmanager
def checked_out(commit: str) -> Iterator[Path]:
    """A folder with the files of a commit."""
    with tempfile.TemporaryDirectory() as folder:
        archive = subprocess.run(
            ["git", "-C", str(ROOT), "archive", commit],
            check=True,
            capture_output=True,
        ).stdout
        subprocess.run(["tar", "-x", "-C", folder], input=archive, check=True)
        yield Path(folder)


def a_round(tree: Path, suites: list[str]) -> dict[str, dict[str, float]]:
    """What one process measures with the package in this folder."""
    environ = {**os.environ, "PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, __file__, "--measure"]
    for suite in suites:
        command += ["--suite", suite]
    done = subprocess.run(
        command,
        cwd=tree,
        env=environ,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return json.loads(done.stdout)


def units_and_costs(suites: list[str]) -> dict[str, dict[str, float]]:
    """Each tracked run's processor time in units of the control, and what it is tracked for."""
    from sfnbench import execute, load_suite, plan

    runs = {
        f"{suite} {run.method.label}": (run, SUITES[suite])
        for suite in suites
        for run in plan(
            load_suite(ROOT / "benchmarks" / "tracked" / f"{suite}.yaml")
        )
    }
    found: dict[str, dict[str, float]] = {}
    units: dict[str, list[float]] = {name: [] for name in runs}
    for repeat in range(N_REPEATS + 1):
        for name, (run, cost) in runs.items():
            before = control()
            began = process_time()
            rows = execute(run).rows
            spent = process_time() - began
            if repeat:  # the first one loads what is loaded once
                units[name].append(spent / median([before, control(), control()]))
            known = [row[cost] for row in rows if row.get(cost) is not None]
            found[name] = {"cost": median(known) if known else float("inf")}
    for name, values in units.items():
        found[name]["units"] = min(values)
    return found


def control() -> float:
    """Processor seconds of fixed work: small eigenproblems, a product, a sort, a loop."""
    rng = np.random.default_rng(0)
    many, large = (
        rng.standard_normal((200, 12, 12)),
        rng.standard_normal((192, 192)),
    )
    began = process_time()
    for _ in range(3):
        np.linalg.eigh(many + many.transpose(0, 2, 1))
        np.sort((large @ large).ravel())
        sum(i * i for i in range(20_000))
    return process_time() - began


def compared(before: Rounds, after: Rounds, factor: float) -> list[str]:
    """A line for each run that has become slower or dearer."""
    lines = []
    for name in sorted(before[0].keys() & after[0].keys()):
        pairs = zip(before, after, strict=True)
        quotients = sorted(b[name]["units"] / a[name]["units"] for a, b in pairs)
        times = median(quotients)
        # three quarters of the rounds are above this
        some = quotients[len(quotients) // 4]
        if times > factor and some > 1 + (factor - 1) / 2:
            lines.append(
                f"{name}: {times:.2f} times slower ({quotients[0]:.2f} to "
                f"{quotients[-1]:.2f} over {len(quotients)} rounds)"
            )
        old, new = before[0][name]["cost"], after[0][name]["cost"]
        if new > DEARER * old:
            lines.append(f"{name}: {new:g} instead of {old:g}")
    return lines


if __name__ == "__main__":
    main()
