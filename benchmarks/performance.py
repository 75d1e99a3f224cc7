"""Timings beside peers and limits, as docs/performance.md: python benchmarks/performance.py.

Each work is done in all ways in turn, in one process with one thread; medians of processor time.
A limit is a part that no way can do without. JAX joins where it is installed.
"""

import argparse
import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from statistics import median
from time import process_time

import scipy.linalg
import torch
from operations import operations
from tabulate import tabulate
from threadpoolctl import threadpool_limits

from sfnbench import environment
from sfnbench.core.oracle import Oracle
from sfnbench.core.problem import Problem
from sfnbench.linalg.absolute import directions, newton_directions
from sfnbench.members.contract.shared import Waves
from sfnbench.optimizers.sfn import SaddleFreeNewton
from sfnbench.problems.autoencoder import Autoencoder
from sfnbench.problems.mlp import MultilayerPerceptron
from sfnbench.trajectories.vmapped import Vmapped

try:
    import peers_in_jax as in_jax
except ImportError:
    in_jax = None

ROOT = Path(__file__).resolve().parents[1]
OURS = "sfnbench"
N_SEEDS = 64
TYPER_ALONE = """\
import typer
from typing import Annotated, Literal

app = typer.Typer(rich_markup_mode=None)


@app.command()
def one(style: Annotated[Literal["a", "b"], typer.Option()] = "a"): ...


@app.command()
def two(): ...


app(["one"])
"""
LEAD = """\
# Speed

Made by `make bench` (`python benchmarks/performance.py --page docs/performance.md`). Processor
time, one thread, all ways of a work in turn in one process, medians. A ratio above 1 says that
sfnbench takes less. The limit is a part that no way can do without, timed in the same process.
Where others use the machine, ratios hold better than seconds."""


WANTED = """\
## What is not reached, and what limits it

The table is of an Intel Xeon that nothing else used. Other ratios were measured on 2026-11-27 on an
AMD EPYC whose 2 cores others kept busy: they hold better than seconds.

- `list`: wanted 1.2 times an interpreter with typer and pydantic. 1.54 times a command of typer
  with one option, on the EPYC 1.86. That command takes twice an interpreter by itself, as it reads
  options by pydantic. What members' files say is kept beside the bytecode, and nothing is parsed.
  The rest is tabulate with wcwidth, PyYAML for titles, and typer's commands.
- A race of momentum SGD over a loop by hand: wanted 1.05 from 0.5 ms a step on. 1.20 to 1.27 at
  760 parameters and 0.6 ms a step, 1.08 to 1.14 at 7,510 and 2.1 ms. It is 60 microseconds of
  Python a step, a loss at the end of each block of steps, and the points, which are kept.
- Measuring in a quick Krylov run, metrics and certificate: wanted below 20 %. Of `autoencoder` 26
  and 33 % of the processor's time, of `rnn` 25 and 32 % (`python benchmarks/measuring.py
  autoencoder`). The metrics are four Lanczos runs of 10 to 50 products beside steps of 20; to start
  them from the last Ritz vector would let a value depend on the points before it. The certificate
  tries 50 to 100 products in double precision for Newton's step, and gives up.
- Momentum SGD there: wanted 10 % for metrics. They take 21 and 30 %, certificates 30 and 22 %; of
  `autoencoder` it was 33 % for metrics before they counted denormal numbers as zero. The suites ask
  for a full loss, a third of a gradient, every two gradients: coarser curves would change the best
  loss, by which rates are tuned.
- The Hessian of a step of dense SFN and of the metric at that point are taken twice, 6 of 47 on
  `digits`, 4 % of its time. A step that took over the metric's would be too short on the clock, and
  a metric that took over the step's would trust an optimizer not to have written into it.
- `make run`: wanted 2 times faster. Beside 38a095b, three seeds of `sfn` take 0.86 of the
  processor's time, of `damped_newton` 0.68, of `msgd` 1.04, two rounds in turn; all together 0.8.
  By Python's profiler a step of sfn takes 83 ms: the Hessian 30, LAPACK's sytrd 25 and stevd 15,
  for which we know no shorter way to |H|^-1 g. With a Hessian at the limit of its operations all
  together would take some 0.6.
- The dense Hessian by layers: wanted 1.8 times its operations, 1.8 to 2.0 in runs on one day (3.24
  before). Its matrix products are at 0.85 of the rate of a large one; to write the Hessian itself,
  62 MB in new memory, is 15 %, products of inputs are 13 %.
- A product of the autoencoder: wanted 1.6 gradients, 1.53 by its operations. It takes 1.66, on the
  EPYC 1.79 to 1.89, and 1.13 to 1.22 times its operations at the rate of a matrix product: the
  gradient runs as near to that rate. JAX takes 1.5 to 1.8 times as long.
"""


@dataclass(frozen=True)
class Work:
    """One thing to do, in several ways."""

    name: str
    ways: dict[str, Callable[[], object]]  # OURS first
    limit: str  # the way that is the limit, with its words
    dominates: str
    rounds: int = 7
    scale: dict[str, float] = field(default_factory=dict)  # of a way's seconds


class Waves10(Waves):
    """Ten parameters, with the Hessian that an author of a problem gets without writing one."""

    dim = 10


def seeds_of_sfn() -> Work:
    """A step of 64 seeds of dense saddle-free Newton."""
    problem: Problem = Waves10()
    optimizer = SaddleFreeNewton(damping=0.1)
    rngs = (torch.Generator().manual_seed(seed) for seed in range(N_SEEDS))
    starts = torch.stack([problem.start(rng) for rng in rngs])
    trajectories = Vmapped(problem, optimizer, starts)
    batches = [(None,)] * N_SEEDS
    for _ in range(12):  # until the tape is trusted
        trajectories.step(batches, None)
    H = torch.func.vmap(lambda theta: problem.hessian(theta, None))(starts)
    ways = {
        OURS: lambda: trajectories.step(batches, None),
        "eigh of the Hessians": lambda: torch.linalg.eigh(H),
    }
    if in_jax:
        ways["JAX, jit of vmap"] = in_jax.step_of_waves(starts.numpy())
    name = (
        f"a step of {N_SEEDS} seeds of dense SFN, d = 10, the Hessian by products"
    )
    return Work(
        name, ways, "eigh of the Hessians", "eigh; some 100 small kernels", 60
    )


def product_of_the_autoencoder() -> Work:
    """A Hessian-vector product of the paper's autoencoder, in float32."""
    params = {"dataset": "mnist", "size": None, "n_examples": 500}
    problem = Autoencoder(
        **params, hidden=(1000, 500, 250, 30), initialisation="glorot"
    )
    theta = problem.start(torch.Generator().manual_seed(0)).float()
    v = torch.randn(theta.shape, generator=torch.Generator().manual_seed(1))
    linear = Oracle(problem, eager=True).curvature(theta)
    n = 1000
    A = torch.randn(n, n)
    flops = "its operations at the rate of a matrix product"
    ways = {
        OURS: lambda: linear.hvp(v),
        "a gradient": lambda: Oracle(problem, eager=True).grad(theta),
        flops: lambda: A @ A,
    }
    if in_jax:
        arrays = theta.numpy(), problem.images(theta).numpy(), v.numpy()
        ways["JAX, linearize"] = in_jax.product(problem.shapes, *arrays)
    scale = {flops: operations(lambda: linear.hvp(v)) / (2 * n**3)}
    name = "a product with the Hessian of 2,837,314 parameters, 500 images, float32"
    dominates = "matrix products; elementwise passes of their own through memory"
    return Work(name, ways, flops, dominates, 9, scale)


def dense_hessian() -> Work:
    """The dense Hessian of a small network on 2,000 images of MNIST."""
    problem = MultilayerPerceptron(
        dataset="mnist", size=10, n_examples=2000, hidden=(25,)
    )
    theta = problem.start(torch.Generator().manual_seed(0))
    square = torch.randn(1024, 1024, dtype=torch.float64)
    own = [2000 * r * (r + 1) // 2 * k * (k + 1) for r, k in problem.shapes]
    (r, k), (s, m) = problem.shapes
    flops = sum(own) + 2 * 2000 * r * k * s * m
    limit = "its operations at the rate of a matrix product"
    ways = {
        OURS: lambda: problem.hessian(theta, None),
        limit: lambda: square @ square,
        "sfnbench, any problem": lambda: Problem.hessian(problem, theta, None),
    }
    if in_jax:
        x, y = problem.examples(theta)
        arrays = theta.numpy(), x.numpy(), y.numpy()
        ways["JAX, 32 columns at a time"] = in_jax.dense_hessian(
            problem.shapes, *arrays
        )
    name = "the dense Hessian of 100-25-10, 2,000 images"
    dominates = "sums of second and mixed moments, through memory"
    return Work(name, ways, limit, dominates, 2, {limit: flops / (2 * 1024**3)})


def dense_inverse() -> Work:
    """|H|^-1 g of a symmetric matrix of 1,500."""
    H, g = _symmetric(1500)
    sytrd = scipy.linalg.lapack.dsytrd
    ways = {
        OURS: lambda: directions(g, H, torch.abs)(0.1),
        "LAPACK's sytrd": lambda: sytrd(H.numpy(), lower=1, lwork=1500 * 64),
        "scipy's evd": lambda: scipy.linalg.eigh(H.numpy(), driver="evd"),
        "torch's eigh": lambda: torch.linalg.eigh(H),
    }
    return Work("abs(H)^-1 g, n = 1,500", ways, "LAPACK's sytrd", "sytrd", 3)


def newton() -> Work:
    """A direction of damped Newton at one damping."""
    H, g = _symmetric(1500)
    damped = (H + 0.1 * torch.eye(1500, dtype=H.dtype)).numpy()
    ways = {
        OURS: lambda: newton_directions(g, H, (0.1,)),
        "LAPACK's sysv": lambda: scipy.linalg.solve(
            damped, g.numpy(), assume_a="sym"
        ),
        "by an eigenbasis": lambda: directions(g, H, torch.clone)(0.1),
    }
    name = "damped Newton's direction, one damping, n = 1,500"
    return Work(name, ways, "LAPACK's sysv", "sytrf", 3)


WORKS = (
    seeds_of_sfn,
    product_of_the_autoencoder,
    dense_hessian,
    dense_inverse,
    newton,
)


def _symmetric(n: int) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(0)
    A = torch.randn(n, n, generator=rng, dtype=torch.float64)
    return A + A.mT, torch.randn(n, generator=rng, dtype=torch.float64)


def timed(work: Work) -> dict[str, float]:
    """The median processor seconds of each way, a call a round, after a warm-up."""
    spent: dict[str, list[float]] = {name: [] for name in work.ways}
    for turn in range(work.rounds + 1):
        for name, way in work.ways.items():
            began = process_time()
            way()
            if turn:
                spent[name].append(process_time() - began)
    return {
        name: median(each) * work.scale.get(name, 1.0)
        for name, each in spent.items()
    }


def commands() -> Iterator[dict[str, object]]:
    """What a command of sfnbench takes beside one of typer alone, with one option."""
    floor = _command("-c", TYPER_ALONE)
    for words in (("--help",), ("list",), ("list", "optimizers")):
        took = _command("-m", "sfnbench", *words)
        yield {
            "work": f"`sfnbench {' '.join(words)}`",
            OURS: _told(took),
            "limit": f"a command of typer with one option {_told(floor)}",
            "over the limit": f"{took / floor:.2f}",
            "what dominates": "imports; typer takes half of it to read options by pydantic",
        }


def _command(*words: str) -> float:
    """The median processor seconds of a call of Python."""
    times = []
    for _ in range(5):
        before = getrusage(RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *words], check=True, capture_output=True)
        after = getrusage(RUSAGE_CHILDREN)
        spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        times.append(spent)
    return median(times)


def _told(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 0.1 else f"{seconds * 1e3:.2f} ms"


def line(work: Work, took: dict[str, float]) -> dict[str, object]:
    """A line of the table."""
    ours, limit = took[OURS], took[work.limit]
    others = [
        f"{name} {_told(s)} ({s / ours:.2f})"
        for name, s in took.items()
        if name not in (OURS, work.limit)
    ]
    return {
        "work": work.name,
        OURS: _told(ours),
        "others (over sfnbench)": "; ".join(others),
        "limit": f"{work.limit} {_told(limit)}",
        "over the limit": f"{ours / limit:.2f}",
        "what dominates": work.dominates,
    }


def main() -> None:
    """Time all works, print each line as it is there, and write the page."""
    words = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    words.add_argument("--page", type=Path, help="such as docs/performance.md")
    asked = words.parse_args()
    torch.set_num_threads(1)
    rows: list[dict[str, object]] = []
    with threadpool_limits(1):
        for make in WORKS:
            work = make()
            with redirect_stdout(io.StringIO()):
                took = timed(work)
            rows.append(line(work, took))
            print(rows[-1], flush=True)
    rows += commands()
    facts = environment.machine()
    names = ("cpu", "python", "torch", "numpy", "scipy", "commit")
    told = ", ".join(f"{name} {facts[name]}" for name in names)
    jax = f", jax {in_jax.VERSION}" if in_jax else ""
    table = tabulate(rows, "keys", "github", disable_numparse=True)
    load = f"load {os.getloadavg()[1]:.1f} on {os.cpu_count()} cores"
    made = f"{datetime.now(UTC):%Y-%m-%d}, {told}{jax}, {load}."
    page = f"{LEAD}\n\n{made}\n\n{table}\n\n{WANTED}"
    print(page)
    if asked.page:
        asked.page.write_text(page)


if __name__ == "__main__":
    main()
