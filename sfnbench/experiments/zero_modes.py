"""Whether a run may leave out the zero modes that its problem states."""

from __future__ import annotations

import torch

from ..core.generators import fault_of_zero_modes
from ..core.problem import Problem
from ..errors import PluginError
from ..records import Run
from .randomness import generator

BESIDE = 1e-3  # of a start: where zero modes are checked


def check_zero_modes(run: Run, problem: Problem) -> None:
    """PluginError where zero modes, which are not to count, are no symmetries of the loss."""
    rng = generator(0, "zero modes")
    start = problem.start(rng)
    # a start may be a critical point, where every direction is flat
    theta = start + BESIDE * torch.randn(
        start.shape, generator=rng, dtype=start.dtype
    )
    fault = fault_of_zero_modes(problem, theta)
    if fault:
        raise PluginError(f"{run.problem.use}: {fault}")
