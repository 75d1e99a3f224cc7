"""The race.

Optimizers against problems, from stated starts, seed by seed the same draws for everybody.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import traceback
from collections.abc import Callable, Mapping
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from ...core.cost import PRICES
from ...core.optimizer import Optimizer
from ...core.problem import Problem
from ...errors import DeviceError
from ...members import registry
from ...metrics import measuring as metrics
from ...records import Result, Run, Status
from ...trajectories import stock
from ...trajectories.single import Looped
from ...trajectories.trajectories import Batches, Trajectories
from ...trajectories.vmapped import Vmapped
from .landscape import landscape
from .track import ROUNDING, Block, Every, Track

BLOCK_S = 0.2  # the clock is read, the device synchronised and metrics taken about so often
BLOCK_BYTES = 2**25  # ... or when the points of a block would need more than this
BATCH_BYTES = 2**30  # seeds share a batch up to this much memory, a few dense matrices a seed ...
# ... and, on a CPU, up to this many parameters: beyond, batched kernels are no faster than single
# ones
BATCH_DIM = 256
N_PATHS = (
    8  # seeds, the first ones, whose points are kept where there are two parameters: enough to draw
)

Progress = Callable[[float], None]


def generator(seed: int, purpose: str) -> torch.Generator:
    """The seed's own stream of draws.

    The same alone or in a batch, for every optimizer and on every device.
    """
    key = hashlib.blake2b(f"{seed}/{purpose}".encode(), digest_size=4).digest()
    return torch.Generator().manual_seed(int.from_bytes(key))


class Entrant:
    """One problem and one optimizer, built, on their device."""

    def __init__(self, run: Run) -> None:
        self.device, self.dtype = torch.device(run.device), getattr(torch, run.dtype)
        if self.device.type == "cuda" and not torch.cuda.is_available():
            raise DeviceError("device cuda was asked for, but torch sees no GPU here")
        self.problem: Problem = registry.build("problem", run.problem.use, run.problem.params)
        self.use, self.params = run.method.use, run.method.params
        self.optimizer: Optimizer | None = None
        self.batch_sizes: tuple[int | None, ...] = (stock.batch_size(self.params),)
        if not registry.is_stock(self.use):
            self.optimizer = registry.build("optimizer", self.use, self.params)
            self.batch_sizes = self.optimizer.batch_sizes

    @property
    def n_noise(self) -> int:
        """Standard normal vectors wanted in each step."""
        return self.optimizer.n_noise if self.optimizer else 0

    @property
    def width(self) -> int:
        """How many seeds share a batch."""
        alone = not (self.optimizer.vmappable if self.optimizer else stock.shares_batches(self.use))
        matrices = 6 * 8 * self.problem.dim**2  # Hessian, eigenvectors and workspace of one seed
        if alone or (self.device.type == "cpu" and self.problem.dim > BATCH_DIM):
            return 1
        return max(1, BATCH_BYTES // matrices)

    @property
    def is_plane(self) -> bool:
        """Whether there are two parameters, so that trajectories can be drawn."""
        return self.problem.dim == 2

    @property
    def facts(self) -> dict[str, Any]:
        """What a reader of the results has to know of the problem."""
        problem = self.problem
        return {
            "n_parameters": problem.dim,
            "has_saddle": problem.saddle is not None,
            "bounded_below": problem.bounded_below,
            "population": problem.population,
            "measures": list(problem.measures),
        }

    def steps_in(self, epochs: float) -> int:
        """How many steps show each example so many times.

        By the largest of the optimizer's batches where they differ.
        """
        n = self.problem.population
        share = max((size or n) / n for size in self.batch_sizes) if n else 1.0
        return max(1, math.ceil(epochs / share * (1 - ROUNDING)))

    def spacing(self, every: int | Mapping[str, float]) -> Every:
        """How far apart a metric is taken; what is said in epochs, in steps."""
        if isinstance(every, int):
            return every
        return self.steps_in(every["epochs"]) if "epochs" in every else {"cost": every["cost"]}

    def starts(self, seeds: tuple[int, ...]) -> Tensor:
        """The starting points (S, d)."""
        points = [self.problem.start(generator(seed, "start")) for seed in seeds]
        return torch.stack(points).to(self.device, self.dtype)

    def lift(self, starts: Tensor) -> Trajectories:
        """Trajectories from starts (S, d)."""
        if self.optimizer is None:
            return stock.lift_stock(self.problem, self.use, self.params, starts)
        kind = Vmapped if starts.shape[0] > 1 else Looped
        return kind(self.problem, self.optimizer, starts)


class Draws:
    """What chance gives each seed at each step: its minibatches and its noise.

    Each place among an optimizer's batches has a stream of its own, so that all who ask for the
    same size there get the same examples, whatever else they ask for.
    """

    def __init__(self, entrant: Entrant, seeds: tuple[int, ...]) -> None:
        self._entrant = entrant
        places = [f"batch {i}" if i else "batch" for i in range(len(entrant.batch_sizes))]
        drawing = any(size is not None for size in entrant.batch_sizes)
        self._batches = (
            [[generator(seed, place) for place in places] for seed in seeds] if drawing else []
        )
        self._noises = [generator(seed, "noise") for seed in seeds] if entrant.n_noise else []
        self._whole: list[Batches] = [(None,) * len(places)] * len(seeds)

    @property
    def deterministic(self) -> bool:
        """Whether every step sees the same function, and no noise."""
        return all(size is None for size in self._entrant.batch_sizes) and not self._entrant.n_noise

    def next(self) -> tuple[list[Batches], Tensor | None]:
        """Batches, a tuple a seed, and standard normal noise (S, n_noise, d)."""
        e = self._entrant
        batches = [
            tuple(map(self._batch, e.batch_sizes, streams)) for streams in self._batches
        ] or self._whole
        if not e.n_noise:
            return batches, None
        noise = [
            torch.randn(e.n_noise, e.problem.dim, generator=rng, dtype=torch.float64)
            for rng in self._noises
        ]
        return batches, torch.stack(noise).to(e.device, e.dtype)

    def _batch(self, size: int | None, rng: torch.Generator) -> Any:
        return (
            None if size is None else tree_map(self._place, self._entrant.problem.draw(rng, size))
        )

    def _place(self, leaf: Any) -> Any:
        return (
            leaf.to(self._entrant.device, non_blocking=True) if isinstance(leaf, Tensor) else leaf
        )


def execute(run: Run, progress: Progress) -> Result:
    """Every seed of one optimizer on one problem: a row and its series a seed."""
    entrant = Entrant(run)
    width = min(entrant.width, len(run.seeds))
    chunks = [run.seeds[i : i + width] for i in range(0, len(run.seeds), width)]
    rows: list[dict[str, Any]] = []
    parts: list[dict[str, np.ndarray]] = []
    log = []
    warmup_s = _warm_up(entrant, chunks[0][:2])  # lanes, which meet the same kernels as a thousand
    for i, seeds in enumerate(chunks):
        try:
            track = _advance(entrant, seeds, run.settings, partial(_part, progress, i, len(chunks)))
        except Exception as error:  # one seed's failure is its own where seeds run alone
            if width > 1 or isinstance(error, (MemoryError, torch.OutOfMemoryError)):
                raise
            log.append(f"seed {seeds[0]}:\n{traceback.format_exc()}")
            rows.append({"seed": seeds[0], "status": "error"})
            parts.append({})
            continue
        rows += track.rows(seeds)
        parts.append(track.series())
    status = Status.gravest(row["status"] for row in rows)
    series = _join(parts, [len(c) for c in chunks])
    if entrant.is_plane:
        series = _drawable(entrant, run.seeds[:N_PATHS], series)
    environment = {"warmup_s": warmup_s, "problem": entrant.facts}
    environment |= {"prices": _prices(run.settings)} if "prices" in run.settings else {}
    return Result(run, status, tuple(rows), series, environment, "\n".join(log))


def _drawable(
    entrant: Entrant, seeds: tuple[int, ...], series: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """The series with the points of these seeds alone, and the loss around them."""
    kept = {
        name: array[: len(seeds)] if name.startswith("theta.") else array
        for name, array in series.items()
    }
    with contextlib.suppress(
        Exception
    ):  # a loss that breaks far from every trajectory costs no result
        kept |= landscape(entrant.problem, entrant.starts(seeds))
    return kept


def _part(progress: Progress, i: int, n: int, fraction: float) -> None:
    progress((i + fraction) / n)


def _advance(
    entrant: Entrant, seeds: tuple[int, ...], settings: dict[str, Any], progress: Progress
) -> Track:
    """Advance the seeds of one batch until each has ended or the budget is used up."""
    budget = settings["budget"]
    n_steps, limit_s = budget["steps"], budget.get("seconds") or np.inf
    if budget.get("epochs"):
        n_steps = min(n_steps, entrant.steps_in(budget["epochs"]))
    starts = entrant.starts(seeds)
    trajectories, draws = entrant.lift(starts), Draws(entrant, seeds)
    every = {"loss": 1, **{name: entrant.spacing(every) for name, every in settings["metrics"]}}
    n_paths = N_PATHS * entrant.is_plane
    track = Track(
        entrant.problem,
        every,
        starts,
        budget.get("cost"),
        draws.deterministic,
        _prices(settings),
        n_paths,
    )
    spent = np.zeros(len(seeds))  # seconds each lane has had
    n = 1
    try:
        while track.going.any() and track.n_steps < n_steps and spent.max() < limit_s:
            before_s = spent.sum()
            block = _block(
                entrant, trajectories, draws, min(n, n_steps - track.n_steps), track, spent
            )
            if block is None:
                break
            track.add(block)
            trajectories.park(~track.going)
            n = _block_size(block, float(spent.sum() - before_s))
            progress(min(1.0, max(track.n_steps / n_steps, float(spent.max()) / limit_s)))
    finally:
        trajectories.close()
    track.finish()
    return track


def _prices(settings: Mapping[str, Any]) -> dict[str, float]:
    return {**PRICES, **settings.get("prices", {})}


def _block(
    entrant: Entrant,
    trajectories: Trajectories,
    draws: Draws,
    n: int,
    track: Track,
    spent: np.ndarray,
) -> Block | None:
    """At most n steps by the clock; adds to `spent` (S,).

    Fewer where the optimizer stops by itself, nobody has cost left to spend, or steps have become
    slower: a switch may go from thousands a second to one in seconds. Seconds are those of
    optimizer steps alone, shared equally by the lanes that are going.
    """
    points, before, reports, calls, passes, times = [], [], [], [], [], []
    seconds = 0.0
    _synchronise(entrant.device)
    for _ in range(n):
        batches, noise = draws.next()
        began = perf_counter()
        trajectories.step(batches, noise)
        seconds += perf_counter() - began
        if trajectories.ended:
            break
        points.append(trajectories.theta)
        before.append(trajectories.loss_before)
        reports.append(trajectories.reports())
        calls.append(trajectories.calls.copy())
        passes.append(trajectories.passes.copy())
        times.append(seconds)
        if seconds > 2 * BLOCK_S or track.is_used_up(trajectories.passes):
            break
    began = perf_counter()
    _synchronise(entrant.device)
    waited = perf_counter() - began
    if not points:
        return None
    share = track.going / max(1, track.going.sum())
    shared = spent + np.outer(np.array(times) * (1 + waited / times[-1]), share)
    spent += (seconds + waited) * share
    # The loss before a step is the loss after the one before it, where all steps see the same
    # function.
    known = [loss for loss in before[1:] if loss is not None]
    losses = None
    if entrant.batch_sizes[0] is None and len(known) == len(points) - 1:
        losses = torch.stack([*known, metrics.measure(entrant.problem, "loss", points[-1])["loss"]])
    told = {name: torch.stack([report[name] for report in reports]) for name in reports[0]}
    return Block(torch.stack(points), losses, np.array(calls), np.array(passes), shared, told)


def _block_size(block: Block, block_s: float) -> int:
    """How many steps the next block takes: at most eight times as many."""
    n, n_lanes, dim = block.points.shape
    per_step_s = max(block_s / n, 1e-9)
    fitting = BLOCK_BYTES // (n_lanes * dim * block.points.element_size())
    return int(max(1, min(8 * n, BLOCK_S / per_step_s, fitting)))


def _warm_up(entrant: Entrant, seeds: tuple[int, ...]) -> float:
    """One step on copies, thrown away: first calls of kernels are several times slower.

    Seconds it took.
    """
    began = perf_counter()
    with contextlib.suppress(
        Exception
    ):  # whatever is wrong, the race itself meets it again and reports it
        trajectories = entrant.lift(entrant.starts(seeds))
        trajectories.step(*Draws(entrant, seeds).next())
        trajectories.close()
        _synchronise(entrant.device)
    return perf_counter() - began


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _join(parts: list[dict[str, np.ndarray]], sizes: list[int]) -> dict[str, np.ndarray]:
    """The series of all batches one below the other, the shorter ones filled up with NaN."""
    if len(parts) == 1:
        return parts[0]
    joined: dict[str, np.ndarray] = {}
    for name in {name: None for part in parts for name in part}:
        found = [part.get(name) for part in parts]
        length = max(array.shape[-1] for array in found if array is not None)
        rows = []
        for array, size in zip(found, sizes, strict=True):
            block = np.full((size, length), np.nan)
            if array is not None:
                block[: len(array), : array.shape[1]] = array
            rows.append(block)
        joined[name] = np.concatenate(rows)
    return joined
