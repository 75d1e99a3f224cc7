"""How time grows with seeds, dimension, steps, network size and stored runs, beside theory.

python benchmarks/growth.py --page docs/growth.md writes the table, and its figure beside it.
Processor time, one thread, sizes in turn, medians. The exponent is that of the two largest sizes.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import process_time

import torch
from many_results import copies, real_race
from performance import Waves10
from tabulate import tabulate
from threadpoolctl import threadpool_limits

from sfnbench import Store, environment
from sfnbench.core.oracle import Oracle
from sfnbench.optimizers.sfn import SaddleFreeNewton
from sfnbench.problems.autoencoder import Autoencoder
from sfnbench.problems.quadratic_saddle import QuadraticSaddle
from sfnbench.records import Run, Spec
from sfnbench.session.execute import execute
from sfnbench.trajectories.vmapped import Vmapped

ABOUT = """\
# How time grows

Made by `make bench` (`python benchmarks/growth.py --page docs/growth.md`). Processor time, one
thread, sizes in turn, medians. The exponent is that between the two largest sizes.
"""
N_ROUNDS = 5
Work = Callable[[], object]


@dataclass(frozen=True)
class Growth:
    """What grows, and the work at each size."""

    name: str
    size: str
    works: dict[int, Work]
    theory: str  # the exponent at large sizes, and why


def seeds() -> Growth:
    """A step of many seeds in one batch."""
    names = (16, 64, 256, 1024, 4096)
    theory = "1: eigh of each seed"
    return Growth(
        "a step of SFN, d = 10", "seeds", {n: _step(n) for n in names}, theory
    )


def dimension() -> Growth:
    """A step with a dense Hessian."""
    works = {d: _dense_step(d) for d in (64, 128, 256, 512, 1024)}
    return Growth("a step of dense SFN", "parameters", works, "3: eigh")


def steps() -> Growth:
    """A whole run, set-up and end included."""
    works = {n: _run(n) for n in (300, 1000, 3000, 10_000, 30_000)}
    return Growth("a run of gradient descent, 4 seeds", "steps", works, "1")


def network() -> Growth:
    """A product with the Hessian of a deep autoencoder on digits."""
    works: dict[int, Work] = {}
    for width in (30, 100, 300, 1000):
        hidden = (width, width // 2, 10)
        problem = Autoencoder(dataset="digits", n_examples=500, hidden=hidden)
        theta = problem.start(torch.Generator().manual_seed(0)).float()
        product = Oracle(problem, eager=True).curvature(theta).hvp
        works[problem.dim] = _applied(product, torch.ones_like(theta))
    name = "a product with the Hessian of an autoencoder, 500 images"
    return Growth(name, "parameters", works, "1: matrix products")


def stored_runs(folder: Path) -> Growth:
    """Reading all rows back."""
    race = real_race()
    works: dict[int, Work] = {}
    for n in (100, 300, 1000, 3000):
        with Store(folder / str(n), create=True) as store:
            for each in copies(race, n):
                store.put(each)
        works[n] = _reading(folder / str(n))
    return Growth("reading results of five seeds", "results", works, "1")


def _step(n: int) -> Work:
    problem = Waves10()  # its Hessians differ from seed to seed
    rngs = (torch.Generator().manual_seed(seed) for seed in range(n))
    starts = torch.stack([problem.start(rng) for rng in rngs])
    moving = Vmapped(problem, SaddleFreeNewton(damping=0.1), starts)
    batches = [(None,)] * n
    for _ in range(10):  # until the tape is trusted
        moving.step(batches, None)
    return lambda: moving.step(batches, None)


def _dense_step(d: int) -> Work:
    signs = [(-1) ** i * (1 + i / d) for i in range(d)]
    problem = QuadraticSaddle(eigenvalues=tuple(signs))
    theta = problem.start(torch.Generator().manual_seed(0))
    optimizer = SaddleFreeNewton(damping=0.1)
    state = optimizer.init(theta)
    return lambda: optimizer.step(Oracle(problem, eager=True), theta, state)


def _run(n: int) -> Work:
    settings = {
        "budget": {"steps": n, "seconds": None, "cost": None, "epochs": None},
        "metrics": [["loss", {"steps": 1}]],
    }
    problem = Spec("quadratic_saddle", "saddle", {"eigenvalues": [10.0, -2.0]}, "")
    method = Spec("gradient_descent", "slow", {"lr": 1e-6}, "")
    run = Run("growth", "race", problem, method, (0, 1, 2, 3), settings)
    return lambda: execute(run)


def _applied(product: Callable[[torch.Tensor], object], v: torch.Tensor) -> Work:
    return lambda: product(v)


def _reading(folder: Path) -> Work:
    def read() -> None:
        with Store(folder) as store:
            assert all(result.rows for result in store.results())

    return read


def measured(growth: Growth) -> dict[int, float]:
    """The median seconds at each size, sizes in turn."""
    taken: dict[int, list[float]] = {n: [] for n in growth.works}
    for turn in range(N_ROUNDS + 1):
        for n, act in growth.works.items():
            began = process_time()
            act()
            if turn:  # the first one warms up
                taken[n].append(process_time() - began)
    return {n: median(each) for n, each in taken.items()}


def exponent(times: dict[int, float]) -> float:
    """Of time as a power of size, between the two largest sizes."""
    before, last = sorted(times)[-2:]
    return math.log(times[last] / times[before]) / math.log(last / before)


def draw(found: list[tuple[Growth, dict[int, float]]], file: Path) -> None:
    """A panel for each, on logarithmic axes."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "sfnbench"
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(found), figsize=(3 * len(found), 2.8))
    for axis, (growth, times) in zip(axes, found, strict=True):
        axis.loglog(list(times), list(times.values()), "o-")
        axis.set(xlabel=growth.size, title=f"exponent {exponent(times):.2f}")
    axes[0].set_ylabel("seconds of processor time")
    figure.tight_layout()
    figure.savefig(file, metadata={"Date": None})


def main() -> None:
    """Measure, print, and write the page."""
    asked = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    asked.add_argument("--page", type=Path)
    page = asked.parse_args().page
    torch.set_num_threads(1)
    found = []
    with threadpool_limits(1), tempfile.TemporaryDirectory() as folder:
        makers = (
            seeds,
            dimension,
            steps,
            network,
            lambda: stored_runs(Path(folder)),
        )
        for make in makers:
            growth = make()
            found.append((growth, measured(growth)))
    rows = [
        {
            "work": growth.name,
            "size": growth.size,
            "seconds": ", ".join(f"{n:,}: {s:.2g}" for n, s in times.items()),
            "exponent": f"{exponent(times):.2f}",
            "theory": growth.theory,
        }
        for growth, times in found
    ]
    table = tabulate(rows, "keys", "github", disable_numparse=True)
    print(table)
    if page:
        page.write_text(
            f"{ABOUT}\n{_machine()}\n\n{table}\n\n![Growth](growth.svg)\n"
        )
        draw(found, page.with_suffix(".svg"))


def _machine() -> str:
    facts = environment.describe()
    names = ("cpu", "python", "torch", "commit")
    return ", ".join(f"{name} {facts[name]}" for name in names) + "."


if __name__ == "__main__":
    main()
