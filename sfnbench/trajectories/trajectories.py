"""S trajectories of one optimizer on one problem, advanced step by step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from ..core.cost import QUESTIONS, Calls
from ..core.problem import Problem

# the batches of one trajectory, one for each of its optimizer's batch_sizes
Batches = tuple[Any, ...]


class Trajectories(ABC):
    """S trajectories of one optimizer on one problem.

    They keep their places. One that has ended is parked on its starting point, so that the shape of
    the tensors stays the same, and with it the rounding of the other trajectories.

    After each `step`: `theta` (S, d) is where they stand, NaN where one has broken; `calls` (S, 4)
    are the questions that each has asked since the start, by kind, and `passes` (S, 4) the same in
    passes over all examples; `loss_before` (S,) is the loss at the points that the step started
    from, or None where the optimizer did not ask for it; `ended` says that the optimizer has
    stopped by itself, and `stopped` is what it said then, if it said anything.
    """

    def __init__(self, problem: Problem, starts: Tensor) -> None:
        n = starts.shape[0]
        self.problem = problem
        self.starts = starts
        self.theta = starts
        self.calls = np.zeros((n, len(QUESTIONS)), dtype=np.int64)
        self.passes = np.zeros((n, len(QUESTIONS)))
        self.loss_before: Tensor | None = None
        self.parked = np.zeros(n, dtype=bool)
        self.ended = False
        # the optimizer's own words, once it has ended
        self.stopped: str | None = None

    @abstractmethod
    def step(self, batches: Sequence[Batches], noise: Tensor | None) -> None:
        """Advance every trajectory that is not parked by one step.

        Each has its own batches, and its own noise out of (S, n_noise, d).
        """

    def reports(self) -> Mapping[str, Tensor]:
        """The optimizer's own numbers about the last step by name, (S,) each."""
        return {}

    def is_fixed(self) -> np.ndarray:
        """Whether the last step of each (S,) changed neither its point nor the optimizer's state.

        On a function that stays the same, it will then never move again. An optimizer whose state
        is out of sight is never known to be fixed.
        """
        return np.zeros(len(self.starts), dtype=bool)

    def memory(self) -> dict[str, Any] | None:
        """All that the next step depends on, as tensors and arrays; None: it is out of sight."""
        return None

    def recall(self, memory: dict[str, Any]) -> None:
        """Go on from what `memory` gave of trajectories that were made alike."""
        raise NotImplementedError(
            f"{type(self).__name__} cannot go on from elsewhere"
        )

    def count(self, calls: Calls) -> None:
        """Add these questions to the count of every trajectory that is not parked."""
        counts, passes = calls.counts, calls.passes
        if self.parked.any():  # picking rows would take ten times as long
            going = ~self.parked[:, None]
            counts = going * counts
            passes = going * passes
        self.calls += counts
        self.passes += passes

    def counts(self) -> dict[str, Any]:
        """What each trajectory has asked, and whether it is parked."""
        arrays = {"calls": self.calls, "passes": self.passes, "parked": self.parked}
        return {name: array.copy() for name, array in arrays.items()}

    def recount(self, counts: dict[str, Any]) -> None:
        """Go on from what `counts` gave."""
        self.calls = np.array(counts["calls"])
        self.passes = np.array(counts["passes"])
        self.park(np.array(counts["parked"]))

    def park(self, which: np.ndarray) -> None:
        """Take some trajectories, a mask (S,), out of the race."""
        self.parked |= which

    def close(self) -> None:  # noqa: B027  # most hold nothing
        """Release threads and other resources."""
