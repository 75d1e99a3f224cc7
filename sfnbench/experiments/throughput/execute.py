"""Throughput: how fast an optimizer's steps are on one problem and device, with nothing else there.

One seed, unbatched. Each number is a median over blocks of some tenths of a second, with its
quartiles. Each block starts again from the same point, so that all time the same steps. Draws of
minibatches and noise are made before the clock starts. The warm-up, first calls of kernels, is
timed apart.

Blocks of steps, of gradients, of Hessian-vector products and of a large matrix product take turns.
A machine shared with others drifts by a third within seconds, and rates drift with it. The cost of
a step in gradients does not: it is the quotient of two blocks side by side, and its median is the
same in two runs whose rates differ.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from ...core.oracle import Oracle
from ...records import Result, Run, Status, TimingRow
from ...trajectories.trajectories import Trajectories
from ..draws import Draws
from ..ends import is_far_above
from ..progress import Progress
from ..setup import Setup
from .machine import OtherProcesses, PeakMemory
from .timer import Timer, Work, repeating

# The square matrices whose product shows what the device can do.
PRODUCT_SIZE = {"cpu": 1024, "cuda": 4096}
# A method is judged by as many steps on any machine: whether its numbers stay finite, and its loss
# does not end far above the start.
N_JUDGED = 20
# Between the quartiles of any rate, as a share of its median, before rates are marked as drifting.
MOST_DRIFT = 0.1


def execute(run: Run, progress: Progress) -> Result:
    """A row for each dtype, and the seconds of a step in each block."""
    rows: list[dict[str, Any]] = []
    series: list[np.ndarray] = []
    dtypes = run.settings["dtypes"]
    for i, dtype in enumerate(dtypes):
        setup = Setup(replace(run, dtype=dtype))
        row, steps = _measure(setup, run.seeds[0], run.settings)
        rows.append({"seed": run.seeds[0], "dtype": dtype, **row})
        series.append(steps)
        progress((i + 1) / len(dtypes))
    status = Status.gravest(row["status"] for row in rows)
    arrays = {"seconds_per_step": np.stack(series)}
    timings = cast("list[TimingRow]", rows)
    return Result(run, status, tuple(timings), arrays, {"problem": setup.facts})


class _Replay:
    """Steps of an optimizer as work, always from the same start and with the same draws."""

    def __init__(self, setup: Setup, seed: int) -> None:
        self._setup = setup
        self._seeds = (seed,)
        self._start = setup.starts((seed,))
        self._trajectories: Trajectories | None = None  # those of the last block

    def prepare(self, n: int) -> Work:
        """So many steps, with their draws made."""
        draws = Draws(self._setup, self._seeds)
        drawn = [draws.next() for _ in range(n)]
        self.close()
        trajectories = self._trajectories = self._setup.trajectories(
            self._start, self._seeds
        )
        return partial(_step_through, trajectories, drawn)

    def status(self) -> Status:
        """How so many steps end, whatever the machine's speed: `N_JUDGED`."""
        self.prepare(N_JUDGED)()
        assert self._trajectories is not None
        problem = self._setup.problem
        points = torch.cat([self._start, self._trajectories.theta])
        start, final = (float(problem.loss(point, None)) for point in points)
        if not (torch.isfinite(points).all() and math.isfinite(final)):
            return Status.DIVERGED
        is_worse = is_far_above(problem, start, final)
        return Status.WORSE if is_worse else Status.OK

    def close(self) -> None:
        """Release the last trajectories."""
        if self._trajectories is not None:
            self._trajectories.close()


def _measure(
    setup: Setup, seed: int, settings: dict[str, Any]
) -> tuple[dict[str, Any], np.ndarray]:
    """The row of one dtype, and the seconds of a step in each block.

    Steps, examples, gradients and Hessian-vector products a second; the cost of a step and of a
    product in gradients, all three on the optimizer's own batches; FLOP/s; peak memory; what else
    the machine did.
    """
    timer = Timer(setup.device, settings["blocks"], settings["block_seconds"])
    memory = PeakMemory(setup.device)
    others = OtherProcesses()
    steps = _Replay(setup, seed)
    warmup_s, _ = timer.time(steps.prepare(1))
    with FlopCounterMode(display=False) as counter:
        steps.prepare(1)()
    flops = counter.get_total_flops()
    blocks = {"steps": timer.block_of(steps.prepare)}
    peak = memory.in_bytes()
    for name, ask in _questions(setup, seed).items():
        blocks[name] = timer.block_of(repeating(ask))
    if flops:
        blocks["product"] = timer.block_of(repeating(_product(setup)))
    seconds = timer.in_turn(blocks)
    row: dict[str, Any] = {"status": str(steps.status()), "warmup_s": warmup_s}
    steps.close()
    row.update(_rate_columns(setup, seconds))
    if flops:
        possible = 2 * PRODUCT_SIZE[setup.device.type] ** 3 / seconds["product"]
        row.update(_flops(flops / seconds["steps"], possible))
    row["drift"] = _drift(row)
    row["drifting"] = row["drift"] > MOST_DRIFT
    row["peak_memory_bytes"] = peak
    row.update(others.columns())
    return row, seconds["steps"]


def _step_through(trajectories: Trajectories, drawn: list[Any]) -> int:
    for n, (batches, noise) in enumerate(drawn):
        trajectories.step(batches, noise)
        if trajectories.ended:  # by itself, and not by this step
            return n
    return len(drawn)


def _questions(setup: Setup, seed: int) -> dict[str, Callable[[], Tensor]]:
    """A gradient, and a Hessian-vector product of one linearisation, on the optimizer's batches."""
    theta = setup.starts((seed,))[0]
    (batches,), _ = Draws(setup, (seed,)).next()
    oracle = Oracle(setup.problem, batches, eager=True)
    hvp = oracle.curvature(theta).hvp
    return {
        "grad": partial(oracle.grad, theta),
        "hvp": partial(hvp, torch.ones_like(theta)),
    }


def _product(setup: Setup) -> Callable[[], Tensor]:
    """The product of two large matrices."""
    n = PRODUCT_SIZE[setup.device.type]
    A = torch.ones(n, n, dtype=setup.dtype, device=setup.device)
    return partial(torch.mm, A, A)


def _rate_columns(setup: Setup, seconds: dict[str, np.ndarray]) -> dict[str, float]:
    """Steps, examples and questions a second, and the cost of a step and a product in gradients."""
    rates = _spread("steps_per_s", 1 / seconds["steps"])
    n_examples = setup.batch_sizes[0] or setup.problem.population
    if n_examples:
        rates.update(_spread("samples_per_s", n_examples / seconds["steps"]))
    rates.update(_spread("grads_per_s", 1 / seconds["grad"]))
    rates.update(_spread("hvp_per_s", 1 / seconds["hvp"]))
    rates.update(_spread("step_in_grads", seconds["steps"] / seconds["grad"]))
    # with two batch sizes the two see different numbers of examples
    if len(set(setup.batch_sizes)) == 1:
        rates.update(_spread("hvp_in_grads", seconds["hvp"] / seconds["grad"]))
    return rates


def _flops(reached: np.ndarray, possible: np.ndarray) -> dict[str, float]:
    """FLOP/s of a step's matrix products, and their share of those of one large product.

    Work that is done element by element, or by LAPACK, counts as nothing.
    """
    most = float(np.median(possible))
    return {
        **_spread("flops_per_s", reached),
        "matmul_flops_per_s": most,
        "flops_share": float(np.median(reached)) / most,
    }


def _drift(row: dict[str, Any]) -> float:
    """The widest distance between a rate's quartiles, as a share of its median."""
    rates = ("steps_per_s", "grads_per_s", "hvp_per_s")
    return float(
        max((row[f"{rate}_q3"] - row[f"{rate}_q1"]) / row[rate] for rate in rates)
    )


def _spread(name: str, values: np.ndarray) -> dict[str, float]:
    """Median and quartiles over blocks."""
    low, middle, high = np.percentile(values, (25, 50, 75))
    return {
        name: float(middle),
        f"{name}_q1": float(low),
        f"{name}_q3": float(high),
    }
