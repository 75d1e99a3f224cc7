"""Blocks of steps: what the clock times at once, and the device does without being waited for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import perf_counter

import numpy as np
import torch
from torch import Tensor

from ...core.ranks import current_ranks
from ...metrics.loss import Loss
from ...metrics.measuring import measure
from ...trajectories.trajectories import Trajectories
from ..checkpoints import Kept
from ..draws import Draws
from ..setup import Setup

BLOCK_S = 0.2  # the clock is read, the device synchronised and metrics taken about so often ...
BLOCK_BYTES = 2**25  # ... or when the points of a block would need more than this
GROWTH = 8  # a block has at most so many times the steps of the block before it


@dataclass
class Block:
    """Some consecutive steps of S trajectories."""

    points: Tensor  # (n, S, d)
    losses: Tensor | None  # (n, S), where the steps themselves brought them
    calls: np.ndarray  # (n, S, 4), each trajectory's total since the start
    passes: np.ndarray  # (n, S, 4), likewise
    seconds: np.ndarray  # (n, S), likewise
    reports: Mapping[str, Tensor]  # (n, S) each, the optimizer's own numbers


@dataclass
class _Steps:
    """The traces of n steps, one entry a step."""

    points: list[Tensor] = field(default_factory=list)  # (S, d)
    losses_before: list[Tensor | None] = field(default_factory=list)  # (S,)
    reports: list[Mapping[str, Tensor]] = field(default_factory=list)  # (S,) each
    calls: list[np.ndarray] = field(default_factory=list)  # (S, 4)
    passes: list[np.ndarray] = field(default_factory=list)  # (S, 4)
    seconds: list[float] = field(default_factory=list)  # since the block began

    def add(self, trajectories: Trajectories, seconds: float) -> None:
        """Take in the step that the trajectories have just made."""
        self.points.append(trajectories.theta)
        self.losses_before.append(trajectories.loss_before)
        self.reports.append(trajectories.reports())
        self.calls.append(trajectories.calls.copy())
        self.passes.append(trajectories.passes.copy())
        self.seconds.append(seconds)


class Stepper:
    """Advances S trajectories, block by block.

    `seconds` (S,) are those of optimizer steps alone, since the start. The trajectories that are
    going share them equally.
    """

    def __init__(
        self, setup: Setup, trajectories: Trajectories, draws: Draws
    ) -> None:
        self._setup = setup
        self._trajectories = trajectories
        self._draws = draws
        self._most = 1  # steps in the next block
        self.seconds = np.zeros(trajectories.starts.shape[0])

    def advance(
        self, most: int, going: np.ndarray, is_used_up: Callable[[np.ndarray], bool]
    ) -> Block | None:
        """The next block, of at most so many steps; None where the optimizer has stopped by itself.

        A block is cut short where the optimizer stops, where ``is_used_up(passes)`` says that no
        trajectory has any budget left, or where steps have become slower: a switch of optimizers
        may go from thousands of steps a second to one in seconds.
        """
        synchronise(self._setup.device)
        steps, seconds = self._steps(min(most, self._most), is_used_up)
        began = perf_counter()
        synchronise(self._setup.device)
        waited = perf_counter() - began
        if not steps.points:
            return None
        share = going / max(1, going.sum())
        times = np.array(steps.seconds) * (1 + waited / steps.seconds[-1])
        totals = self.seconds + np.outer(times, share)
        self.seconds = self.seconds + (seconds + waited) * share
        block = Block(
            torch.stack(steps.points),
            self._losses(steps),
            np.array(steps.calls),
            np.array(steps.passes),
            totals,
            _stacked(steps.reports),
        )
        self._most = _next_size(block, seconds + waited)
        return block

    def kept(self) -> Kept | None:
        """What the next step depends on, for a checkpoint; None where it is out of sight."""
        memory = self._trajectories.memory()
        if memory is None:
            return None
        draws = self._draws.positions()
        return {"memory": memory, "draws": draws, "seconds": self.seconds}

    def restore(self, kept: Kept) -> None:
        """Go on from what `kept` gave."""
        self._trajectories.recall(kept["memory"])
        self._draws.move_to(kept["draws"])
        self.seconds = np.asarray(kept["seconds"])

    def _steps(
        self, n: int, is_used_up: Callable[[np.ndarray], bool]
    ) -> tuple[_Steps, float]:
        """At most n steps, and the seconds that they took."""
        trajectories = self._trajectories
        steps = _Steps()
        seconds = 0.0
        for _ in range(n):
            batches, noise = self._draws.next()
            began = perf_counter()
            trajectories.step(batches, noise)
            seconds += perf_counter() - began
            if trajectories.ended:
                break
            steps.add(trajectories, seconds)
            if seconds > 2 * BLOCK_S or is_used_up(trajectories.passes):
                break
        return steps, seconds

    def _losses(self, steps: _Steps) -> Tensor | None:
        """The losses (n, S) after each step, where the steps themselves brought them.

        The loss before a step is the loss after the step before it, where all steps see the same
        function.
        """
        known = [loss for loss in steps.losses_before[1:] if loss is not None]
        if (
            self._setup.batch_sizes[0] is not None
            or len(known) < len(steps.points) - 1
        ):
            return None
        last = measure(self._setup.problem, Loss(), steps.points[-1])["loss"]
        return torch.stack([*known, last])


def synchronise(device: torch.device) -> None:
    """Wait until a GPU has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _stacked(reports: list[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    return {
        name: torch.stack([report[name] for report in reports])
        for name in reports[0]
    }


def _next_size(block: Block, seconds: float) -> int:
    """How many steps the next block takes, where this one took so many seconds."""
    if current_ranks() is not None:
        return 1  # their clocks differ, and all have to make the same steps
    n, n_trajectories, dim = block.points.shape
    step_s = max(seconds / n, 1e-9)
    fitting = BLOCK_BYTES // (n_trajectories * dim * block.points.element_size())
    return int(max(1, min(GROWTH * n, BLOCK_S / step_s, fitting)))
