"""Throughput.

How fast the steps of one optimizer on one problem are on one device, with nothing else running.

One seed, unbatched. Every figure is a median over blocks of some tenths of a second, with its
quartiles; each block starts afresh from the same point, so that all time the same steps. Draws of
minibatches and noise are made before the clock starts; the warm-up, first calls of kernels, is told
apart.

Blocks of steps, of gradients, of Hessian-vector products and of the matrix product that they are
held against take turns. A machine shared with others drifts by a third within seconds, and rates
with it. What a step takes in gradients does not: that is the quotient of two blocks side by side,
whose median two runs agree in where their rates do not.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import psutil
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from ...core.oracle import Oracle
from ...records import Result, Run, Status
from ...trajectories.trajectories import Trajectories
from ..race.execute import Draws, Entrant, Progress

Work = Callable[[], int]  # does something, and says how many units of it
Prepare = Callable[[int], Work]  # gets so many units of work ready

PRODUCT_SIZE = {
    "cpu": 1024,
    "cuda": 4096,
}  # of the square matrices whose product says what the device can do
MOST_UNITS = 10_000  # of a block, whose draws are made beforehand
QUIET = 0.25  # cores that others may keep busy before figures are marked as disturbed
STEADY = (
    0.1  # of its median, between the quartiles of any rate, before rates are marked as drifting
)


def execute(run: Run, progress: Progress) -> Result:
    """A row for each dtype, as `_measure` has it."""
    rows: list[dict[str, Any]] = []
    series: list[np.ndarray] = []
    dtypes = run.settings["dtypes"]
    for i, dtype in enumerate(dtypes):
        entrant = Entrant(replace(run, dtype=dtype))
        row, steps = _measure(entrant, run.seeds[0], run.settings)
        rows.append({"seed": run.seeds[0], "dtype": dtype, **row})
        series.append(steps)
        progress((i + 1) / len(dtypes))
    status = Status.gravest(row["status"] for row in rows)
    return Result(
        run, status, tuple(rows), {"seconds_per_step": np.stack(series)}, {"problem": entrant.facts}
    )


@dataclass(frozen=True)
class Timer:
    """Times work on a device in blocks.

    Its own clock on a GPU, by events, so that nothing is timed but the work.
    """

    device: torch.device
    n_blocks: int
    block_s: float

    def time(self, work: Work) -> tuple[float, int]:
        """Seconds that the work took, once, and how many units of it were done."""
        if self.device.type != "cuda":
            began = perf_counter()
            n = work()
            return perf_counter() - began, n
        began_at, ended_at = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        began_at.record()
        n = work()
        ended_at.record()
        torch.cuda.synchronize(self.device)
        return float(began_at.elapsed_time(ended_at)) / 1e3, n

    def block_of(self, prepare: Prepare) -> Callable[[], tuple[float, int]]:
        """What times a block: as many units as fill it.

        `prepare(n)` gets ready, untimed, and gives what does n units.
        """
        n = 1
        while True:
            took, done = self.time(prepare(n))
            if took >= self.block_s / 2 or done < n or n == MOST_UNITS:
                return lambda: self.time(prepare(n))
            n = min(MOST_UNITS, max(2 * n, int(n * self.block_s / max(took, 1e-9))))

    def in_turn(
        self, blocks: Mapping[str, Callable[[], tuple[float, int]]]
    ) -> dict[str, np.ndarray]:
        """Seconds of each unit of work, (n_blocks,), of several works whose blocks take turns.

        A third more comes first, untimed: the first second of a process is slower by some per cent.
        """
        seconds: dict[str, list[float]] = {name: [] for name in blocks}
        for _ in range(self.n_blocks + self.n_blocks // 3):
            for name, block in blocks.items():
                took, done = block()
                seconds[name].append(took / max(1, done))
        return {name: np.array(each[-self.n_blocks :]) for name, each in seconds.items()}


def _measure(
    entrant: Entrant, seed: int, settings: dict[str, Any]
) -> tuple[dict[str, Any], np.ndarray]:
    """The row of one dtype, and the seconds of a step in each block.

    Steps, examples, gradients and Hessian-vector products a second; what a step and a product take
    in gradients, all three on the optimizer's own kind of batch; FLOP/s reached; peak memory; what
    else the machine did.
    """
    timer = Timer(entrant.device, settings["blocks"], settings["block_seconds"])
    memory, others = _Memory(entrant.device), _Others()
    start = entrant.starts((seed,))
    last: list[Trajectories] = []

    def steps(n: int) -> Work:
        draws = Draws(entrant, (seed,))
        drawn = [draws.next() for _ in range(n)]
        for each in last:
            each.close()
        last[:] = [entrant.lift(start)]
        return partial(_steps, last[0], drawn)

    warmup_s, _ = timer.time(steps(1))
    with FlopCounterMode(display=False) as counter:
        steps(1)()
    blocks, flops = {"steps": timer.block_of(steps)}, counter.get_total_flops()
    peak = memory.peak()
    blocks |= {
        name: timer.block_of(_repeated(ask))
        for name, ask in _questions(entrant, start[0], seed).items()
    }
    if flops:
        blocks["product"] = timer.block_of(_repeated(_product(entrant)))
    seconds = timer.in_turn(blocks)
    status = "ok" if bool(torch.isfinite(last[0].theta).all()) else "diverged"
    last[0].close()
    row: dict[str, Any] = {
        "status": status,
        "warmup_s": warmup_s,
        **_spread("steps_per_s", 1 / seconds["steps"]),
    }
    n_examples = entrant.batch_sizes[0] or entrant.problem.population
    row |= _spread("samples_per_s", n_examples / seconds["steps"]) if n_examples else {}
    row |= _spread("grads_per_s", 1 / seconds["grad"]) | _spread("hvp_per_s", 1 / seconds["hvp"])
    row |= _spread("step_in_grads", seconds["steps"] / seconds["grad"])
    if len(set(entrant.batch_sizes)) == 1:  # else of another number of examples
        row |= _spread("hvp_in_grads", seconds["hvp"] / seconds["grad"])
    if flops:
        row |= _flops(
            flops / seconds["steps"],
            2 * PRODUCT_SIZE[entrant.device.type] ** 3 / seconds["product"],
        )
    rates = ("steps_per_s", "grads_per_s", "hvp_per_s")
    row["drift"] = max((row[f"{rate}_q3"] - row[f"{rate}_q1"]) / row[rate] for rate in rates)
    row |= {"drifting": row["drift"] > STEADY, "peak_memory_bytes": peak}
    return row | others.seen(), seconds["steps"]


def _steps(trajectories: Trajectories, drawn: list[Any]) -> int:
    for n, (batches, noise) in enumerate(drawn):
        trajectories.step(batches, noise)
        if trajectories.ended:  # by itself, and not by this step
            return n
    return len(drawn)


def _questions(entrant: Entrant, theta: Tensor, seed: int) -> dict[str, Callable[[], Tensor]]:
    """Gradient and Hessian-vector product on the optimizer's own kind of batch, the latter from one linearisation."""
    (batches,), _ = Draws(entrant, (seed,)).next()
    oracle = Oracle(entrant.problem, batches, eager=True)
    hvp = oracle.curvature(theta).hvp
    return {"grad": partial(oracle.grad, theta), "hvp": partial(hvp, torch.ones_like(theta))}


def _repeated(act: Callable[[], Any]) -> Prepare:
    """The same act so many times."""

    def work(n: int) -> int:
        for _ in range(n):
            act()
        return n

    return lambda n: partial(work, n)


def _product(entrant: Entrant) -> Callable[[], Tensor]:
    """The product of two large matrices."""
    n = PRODUCT_SIZE[entrant.device.type]
    A = torch.ones(n, n, dtype=entrant.dtype, device=entrant.device)
    return partial(torch.mm, A, A)


def _flops(reached: np.ndarray, possible: np.ndarray) -> dict[str, Any]:
    """FLOP/s of a step's matrix products, and their share of what one large product reaches in the same dtype.

    Of matrix products alone: what is done element by element, or by LAPACK, counts as nothing.
    """
    most = float(np.median(possible))
    return {
        **_spread("flops_per_s", reached),
        "matmul_flops_per_s": most,
        "flops_share": float(np.median(reached)) / most,
    }


def _spread(name: str, values: np.ndarray) -> dict[str, float]:
    """Median and quartiles over blocks."""
    low, middle, high = np.percentile(values, (25, 50, 75))
    return {name: float(middle), f"{name}_q1": float(low), f"{name}_q3": float(high)}


class _Memory:
    """The most memory in use since it was made: a GPU's tensors, or what the process grew by."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.before = device, psutil.Process().memory_info().rss
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        with suppress(OSError):  # Linux forgets its own high-water mark when asked to
            Path("/proc/self/clear_refs").write_text("5")

    def peak(self) -> int:
        """In bytes."""
        if self.device.type == "cuda":
            return int(torch.cuda.max_memory_allocated(self.device))
        with suppress(OSError):
            for line in Path("/proc/self/status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    return max(0, int(line.split()[1]) * 1024 - self.before)
        unit = 1 if sys.platform == "darwin" else 1024
        return max(0, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit - self.before)


class _Others:
    """What else the machine does meanwhile."""

    def __init__(self) -> None:
        self.load = psutil.getloadavg()[0]
        self.began, self.busy = perf_counter(), self._busy()

    def seen(self) -> dict[str, Any]:
        """The load average of the minute before, cores that others kept busy since, and whether that disturbs."""
        cores = max(0.0, (self._busy() - self.busy) / (perf_counter() - self.began))
        return {"load": self.load, "busy_cores_of_others": cores, "disturbed": cores > QUIET}

    @staticmethod
    def _busy() -> float:
        """Processor seconds of all but this process."""
        every, own = psutil.cpu_times(), psutil.Process().cpu_times()
        return float(
            every.user + every.system + getattr(every, "nice", 0.0) - own.user - own.system
        )
