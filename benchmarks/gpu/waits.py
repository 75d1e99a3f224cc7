"""How often a step makes the CPU wait for the GPU: each wait leaves the GPU without work."""

import warnings
from collections.abc import Iterator

import torch
from place import Line, Place

from sfnbench.experiments.draws import Draws
from sfnbench.experiments.setup import Setup
from sfnbench.members import registry
from sfnbench.records import Run, Spec

PROBLEMS = {
    "toy": Spec("quadratic_saddle", "quadratic_saddle", {}, ""),
    "network": Spec("mlp", "mlp", {"dataset": "digits", "hidden": [10]}, ""),
}
N_SEEDS = 16  # at most, in one batch
N_STEPS = 5


def waits(place: Place) -> Iterator[Line]:
    """Waits in a step of each optimizer, as torch's own debug mode counts them."""
    for name in registry.members("optimizer"):
        line: Line = {"optimizer": name}
        for label, problem in PROBLEMS.items():
            line[label] = _waits_in_a_step(place, problem, name)
        yield line


def _waits_in_a_step(place: Place, problem: Spec, use: str) -> float:
    method = Spec(use, use, {}, "")
    device = str(place.device)
    setup = Setup(Run("gpu", "race", problem, method, (), {}, "float32", device))
    seeds = tuple(range(min(N_SEEDS, setup.seeds_at_once)))
    moving = setup.trajectories(setup.starts(seeds), seeds)
    draws = Draws(setup, seeds)
    drawn = [draws.next() for _ in range(N_STEPS + 1)]
    moving.step(*drawn[0])  # the first one also makes what later ones use
    if not place.on_gpu:
        return float("nan")
    place.wait()
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for each in drawn[1:]:
                moving.step(*each)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    n = sum("synchronizing" in str(warning.message) for warning in caught)
    return n / N_STEPS
