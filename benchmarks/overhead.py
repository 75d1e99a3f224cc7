"""What a framework adds to tiny runs: 100 races of gradient descent, each way in turn.

python benchmarks/overhead.py [--runs 100] [--steps 100] [--rounds 3]. The same steps of the same
method on the same saddle by a bare loop of torch, by sfnbench's engines, and by optuna and benchopt
where they are installed (pip install 'sfnbench[peers]'). Each is a command of its own, imports
included, and keeps its results in a file. Medians of seconds and of processor seconds, which
include those of worker processes.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib.util
import os
import resource
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from statistics import median
from time import perf_counter

from tabulate import tabulate

PR_SET_CHILD_SUBREAPER = 36
LOOP = '''
import json
import torch

def race(lr, steps):
    """Gradient descent on 5 x^2 - y^2: its losses."""
    theta = torch.tensor([0.001, 0.001], dtype=torch.float64)
    losses = []
    for _ in range(steps):
        point = theta.requires_grad_()
        loss = 5 * point[0] ** 2 - point[1] ** 2
        (slope,) = torch.autograd.grad(loss, point)
        losses.append(loss.item())
        theta = theta.detach() - lr * slope
    return losses
'''
BARE = (
    LOOP
    + """
rates = {rates}
json.dump([race(lr, {steps}) for lr in rates], open("losses.json", "w"))
"""
)
OPTUNA = (
    LOOP
    + """
import optuna

def objective(trial):
    losses = race(trial.suggest_categorical("lr", {rates}), {steps})
    trial.set_user_attr("losses", losses)
    return losses[-1]

optuna.logging.set_verbosity(optuna.logging.WARNING)
sampler = optuna.samplers.GridSampler({{"lr": {rates}}})
study = optuna.create_study(storage="sqlite:///optuna.db", sampler=sampler)
study.optimize(objective, n_trials={n_runs})
"""
)
SUITE = """title: Tiny runs
seeds: 1
budget: {{steps: {steps}}}
metrics: [loss]
problems: [{{use: quadratic_saddle, eigenvalues: [10, -2], radius: 1e-3}}]
optimizers:
  - {{use: gradient_descent, lr: {{grid: {rates}}}}}
"""
OBJECTIVE = """
from benchopt import BaseObjective

class Objective(BaseObjective):
    name = "loss"
    def set_data(self, scale):
        self.scale = scale
    def evaluate_result(self, losses):
        return losses[-1]
    def get_one_result(self):
        return {{"losses": [0.0]}}
    def get_objective(self):
        return {{"scale": self.scale}}
"""
DATASET = """
from benchopt import BaseDataset

class Dataset(BaseDataset):
    name = "saddle"
    def get_data(self):
        return {{"scale": 1.0}}
"""
SOLVER = (
    LOOP
    + """
from benchopt import BaseSolver

class Solver(BaseSolver):
    name = "descent"
    sampling_strategy = "run_once"
    parameters = {{"lr": {rates}}}
    def set_objective(self, scale):
        pass
    def run(self, _):
        self.losses = race(self.lr, {steps})
    def get_result(self):
        return {{"losses": self.losses}}
"""
)


def write_files(folder: Path, n_runs: int, steps: int) -> None:
    """The scripts, the suite and benchopt's folder."""
    rates = [round(1e-4 * (i + 1), 6) for i in range(n_runs)]
    texts = {
        "bare.py": BARE,
        "with_optuna.py": OPTUNA,
        "tiny.yaml": SUITE,
        "peer/objective.py": OBJECTIVE,
        "peer/datasets/saddle.py": DATASET,
        "peer/solvers/descent.py": SOLVER,
    }
    for name, text in texts.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        values = {"rates": rates, "steps": steps, "n_runs": n_runs}
        if text.startswith(LOOP):  # its braces are Python's
            text = LOOP + text.removeprefix(LOOP).format(**values)
        else:
            text = text.format(**values)
        file.write_text(text)


def ways() -> dict[str, list[str]]:
    """The command of each way; peers where they are installed."""
    run = ["-m", "sfnbench", "run", "tiny.yaml", "--fresh", "--out", "runs"]
    found = {
        "bare loop": ["bare.py"],
        "sfnbench": run,
        "sfnbench, one job": [*run, "--jobs", "1"],
        "sfnbench, inline": [*run, "--engine", "inline"],
    }
    if importlib.util.find_spec("optuna"):
        found["optuna, sqlite"] = ["with_optuna.py"]
    if importlib.util.find_spec("benchopt"):
        words = ["-m", "benchopt", "run", "peer", "--no-cache", "--no-plot"]
        found["benchopt"] = [
            *words,
            "--no-html",
            "--no-display",
            "--timeout",
            "600",
        ]
    return found


def spent(command: list[str], folder: Path) -> tuple[float, float]:
    """Seconds and processor seconds of a command, its children's included."""
    root = Path(__file__).resolve().parents[1]
    paths = os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])
    environ = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    began, before = perf_counter(), processor_seconds()
    with (folder / "out").open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=folder,
            env=environ,
            stdout=out,
            stderr=out,
        )
        status = process.wait()
    seconds = perf_counter() - began
    if status:
        said = (folder / "out").read_text(errors="replace")
        raise SystemExit(f"{' '.join(command)} failed:\n{said[-2000:]}")
    with suppress(ChildProcessError):
        while True:  # servers that end when they notice
            os.wait()
    return seconds, processor_seconds() - before


def processor_seconds() -> float:
    """What all descendants that have ended took."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def adopt_orphans() -> None:
    """Processes whose parents have ended become children of this one (Linux)."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    adopt_orphans()
    times: dict[str, list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory(prefix="sfnbench-overhead-") as name:
        folder = Path(name)
        write_files(folder, given.runs, given.steps)
        for _ in range(given.rounds):
            for way, command in ways().items():
                times.setdefault(way, []).append(spent(command, folder))
                print(
                    way, *(f"{each:.2f} s" for each in times[way][-1]), flush=True
                )
    medians = {
        way: list(map(median, zip(*each, strict=True)))
        for way, each in times.items()
    }
    bare = medians["bare loop"]
    table = [
        [way, *each, each[0] / bare[0], each[1] / bare[1]]
        for way, each in medians.items()
    ]
    heads = ["way", "seconds", "processor s", "of bare", "of bare's processor s"]
    print(f"{given.runs} runs of {given.steps} steps, medians of {given.rounds}")
    print(tabulate(table, heads, floatfmt=".3g"))


if __name__ == "__main__":
    main()
