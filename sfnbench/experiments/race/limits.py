"""The budget of a race: how many steps, seconds and gradients a trajectory may use."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...core.cost import PRICES, price
from ..setup import Setup

SHARE_ROUNDING = 1e-9  # shares of minibatches do not sum to whole numbers exactly


@dataclass(frozen=True)
class Limits:
    """The budget of each trajectory; a race ends with whichever limit is used up first."""

    steps: int
    seconds: float  # of optimizer steps; inf: without limit
    cost: float  # in gradients; inf: without limit
    prices: Mapping[str, float]  # of a question by kind, in gradients
    dim: int  # parameters, by which a Hessian is priced
    steps_from: str = "steps"  # or "epochs", where these allow fewer steps

    @classmethod
    def of(cls, setup: Setup, settings: Mapping[str, Any]) -> Limits:
        """The budget that the settings of a run give."""
        given = settings["budget"]
        steps = given["steps"]
        steps_from = "steps"
        if given.get("epochs"):
            in_epochs = steps_in(setup, given["epochs"])
            steps_from = "epochs" if in_epochs < steps else "steps"
            steps = min(steps, in_epochs)
        cost = given.get("cost")
        return cls(
            steps=steps,
            seconds=given.get("seconds") or math.inf,
            cost=math.inf if cost is None else cost,
            prices=prices(settings),
            dim=setup.problem.dim,
            steps_from=steps_from,
        )

    def costs(self, passes: np.ndarray) -> np.ndarray:
        """The cost (...) in gradients of passes (..., 4)."""
        return price(passes, self.dim, self.prices)

    def is_used_up(self, costs: np.ndarray) -> np.ndarray:
        """Whether trajectories that have cost so much (...) have no cost left."""
        return costs >= self.cost * (1 - SHARE_ROUNDING)

    def is_exceeded(self, costs: np.ndarray) -> np.ndarray:
        """Whether trajectories that have cost so much (...) have spent more than there was."""
        return costs > self.cost * (1 + SHARE_ROUNDING)


def prices(settings: Mapping[str, Any]) -> dict[str, float]:
    """The prices by kind that a run is counted with."""
    return {**PRICES, **settings.get("prices", {})}


def steps_in(setup: Setup, epochs: float) -> int:
    """How many steps show each example so many times.

    Where the optimizer's batches differ, the largest counts. A problem without examples has an
    epoch a step.
    """
    population = setup.problem.population
    share = 1.0
    if population:
        share = max((size or population) / population for size in setup.batch_sizes)
    return max(1, math.ceil(epochs / share * (1 - SHARE_ROUNDING)))
