"""The problem and the optimizer of a run, built on their device."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..core.optimizer import Optimizer
from ..core.problem import Problem
from ..core.ranks import current_ranks
from ..errors import DeviceError
from ..members import registry
from ..records import Run
from ..trajectories import stock
from ..trajectories.single import Looped
from ..trajectories.trajectories import Trajectories
from ..trajectories.vmapped import Vmapped
from .randomness import generator

# Points share a vmapped call up to this much memory, a few dense matrices for each ...
VMAP_BYTES = 2**30
N_MATRICES = 6  # Hessian, eigenvectors and workspace
# ... and, on a CPU, up to this many parameters: beyond, batched kernels are no faster than single
VMAP_DIM = 256


def n_fitting(dim: int) -> int:
    """How many points of `dim` parameters share a vmapped call."""
    return max(1, VMAP_BYTES // (N_MATRICES * 8 * dim**2))


class Setup:
    """The problem and the optimizer of a run, built on their device.

    `problem` takes the place of the run's own. `optimizer` is None where it is a stock optimizer,
    which has trajectories of its own; `n_steps` are those that its schedule lasts, where the budget
    has them. Raises DeviceError where the device is not there.
    """

    def __init__(self, run: Run, problem: Problem | None = None) -> None:
        self.device = torch.device(run.device)
        self.dtype = getattr(torch, run.dtype)
        if self.device.type == "cuda" and not torch.cuda.is_available():
            raise DeviceError(
                "device cuda was asked for, but torch sees no GPU here"
            )
        if problem is None:
            problem = registry.build("problem", run.problem.use, run.problem.params)
        self.problem: Problem = problem
        self.method = run.method
        self.n_steps: int | None = None
        self.optimizer: Optimizer | None = None
        self.batch_sizes: tuple[int | None, ...] = (
            stock.batch_size(self.method.params),
        )
        if not registry.is_stock(self.method.use):
            self.optimizer = registry.build(
                "optimizer", self.method.use, self.method.params
            )
            self.batch_sizes = self.optimizer.batch_sizes

    @property
    def n_noise(self) -> int:
        """Standard normal vectors wanted in each step."""
        return self.optimizer.n_noise if self.optimizer else 0

    @property
    def full_batches(self) -> bool:
        """Whether every step sees all examples."""
        return all(size is None for size in self.batch_sizes)

    @property
    def deterministic(self) -> bool:
        """Whether every step sees the same function, without noise."""
        return self.full_batches and not self.n_noise

    @property
    def seeds_at_once(self) -> int:
        """How many seeds share a vmapped call; one where processes share a run."""
        if current_ranks() is not None:
            return 1
        if self.optimizer:
            vmappable = self.optimizer.vmappable
        else:
            vmappable = stock.shares_batches(
                self.problem,
                self.method.use,
                self.method.params,
                self.dtype,
                self.n_steps,
            )
        dim = self.problem.dim
        vmappable = vmappable and self.problem.vmappable
        if not vmappable or (self.device.type == "cpu" and dim > VMAP_DIM):
            return 1
        return n_fitting(dim)

    @property
    def is_plane(self) -> bool:
        """Whether there are two parameters, so that trajectories can be drawn."""
        return self.problem.dim == 2

    @property
    def facts(self) -> dict[str, Any]:
        """Facts about the problem that readers of the results need."""
        problem = self.problem
        return {
            "n_parameters": problem.dim,
            "has_saddle": problem.saddle is not None,
            "bounded_below": problem.bounded_below,
            "population": problem.population,
            "measures": list(problem.measures),
        }

    def starts(self, seeds: tuple[int, ...]) -> Tensor:
        """The starting points (S, d)."""
        points = [self.problem.start(generator(seed, "start")) for seed in seeds]
        return torch.stack(points).to(self.device, self.dtype)

    def trajectories(self, starts: Tensor, seeds: tuple[int, ...]) -> Trajectories:
        """Trajectories of these seeds from starts (S, d); S is at most `seeds_at_once`."""
        if self.optimizer is None:
            use = self.method.use
            params = self.method.params
            return stock.lift_stock(
                self.problem, use, params, starts, seeds, self.n_steps
            )
        kind = Vmapped if starts.shape[0] > 1 else Looped
        return kind(self.problem, self.optimizer, starts)
