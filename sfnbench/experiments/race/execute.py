"""The race: optimizers against problems, from stated starts, with the same draws for each.

A run is one optimizer on one problem, from the starts of its seeds.
"""

from __future__ import annotations

import contextlib
import traceback
from typing import Any

import numpy as np

from ...core.cost import PRICES
from ...core.out_of_memory import is_out_of_memory
from ...records import Result, Row, Run, Status
from ..checkpoints import Checkpoint
from ..progress import Progress, part_of
from ..setup import Setup
from ..zero_modes import check_zero_modes
from .landscape import landscape
from .limits import Limits, prices
from .loop import advance, warm_up
from .recording import N_PATHS
from .rows import rows


def execute(run: Run, progress: Progress) -> Result:
    """Every seed of one optimizer on one problem: a row and its series for each."""
    setup = _set_up(run)
    n = min(setup.seeds_at_once, len(run.seeds))
    chunks = [run.seeds[i : i + n] for i in range(0, len(run.seeds), n)]
    made: list[Row] = []
    parts: list[dict[str, np.ndarray]] = []
    log = []
    # two seeds meet the same kernels as a thousand
    warmup_s = warm_up(setup, chunks[0][:2])
    checkpoint = Checkpoint()
    for i, seeds in enumerate(chunks):
        part = part_of(progress, i, len(chunks))
        try:
            recording, outcomes = advance(
                setup, seeds, run.settings, part, checkpoint
            )
        except Exception as error:
            if is_out_of_memory(error):
                raise
            # the failure of all that ran together
            named = f"seed {seeds[0]}"
            if len(seeds) > 1:
                named = f"seeds {seeds[0]} to {seeds[-1]}"
            log.append(f"{named}:\n{traceback.format_exc()}")
            made += [{"seed": s, "status": str(Status.ERROR)} for s in seeds]
            parts.append({})
            continue
        made += rows(setup, seeds, recording, outcomes)
        parts.append(recording.series(outcomes.end))
    series = _joined(parts, [len(seeds) for seeds in chunks])
    if setup.is_plane:
        series = _drawable(setup, run.seeds[:N_PATHS], series)
    environment: dict[str, Any] = {"warmup_s": warmup_s, "problem": setup.facts}
    if prices(run.settings) != PRICES:
        environment["prices"] = prices(run.settings)
    status = Status.gravest(row["status"] for row in made)
    return Result(run, status, tuple(made), series, environment, "\n".join(log))


def _set_up(run: Run) -> Setup:
    """Problem and optimizer of a race, whose schedules know how many steps they last."""
    setup = Setup(run)
    check_zero_modes(run, setup.problem)
    setup.n_steps = Limits.of(setup, run.settings).steps
    return setup


def _drawable(
    setup: Setup, seeds: tuple[int, ...], series: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """The series, with the points of these seeds alone and the loss around them."""
    kept = dict(series)
    for name, array in series.items():
        if name.startswith("theta."):
            kept[name] = array[: len(seeds)]
    # a loss that breaks far from every trajectory costs no result
    with contextlib.suppress(Exception):
        kept.update(landscape(setup.problem, setup.starts(seeds)))
    return kept


def _joined(
    parts: list[dict[str, np.ndarray]], sizes: list[int]
) -> dict[str, np.ndarray]:
    """The series of all chunks, one below the other, the shorter ones filled up with NaN.

    Each size is the number of seeds in a chunk; a chunk that broke has no series.
    """
    if len(parts) == 1:
        return parts[0]
    joined: dict[str, np.ndarray] = {}
    for name in dict.fromkeys(name for part in parts for name in part):
        arrays = [part.get(name) for part in parts]
        length = max(array.shape[-1] for array in arrays if array is not None)
        padded = []
        for array, size in zip(arrays, sizes, strict=True):
            rows_of_chunk = np.full((size, length), np.nan)
            if array is not None:
                rows_of_chunk[: len(array), : array.shape[1]] = array
            padded.append(rows_of_chunk)
        joined[name] = np.concatenate(padded)
    return joined
