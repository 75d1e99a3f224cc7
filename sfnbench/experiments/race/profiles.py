"""Performance profiles.

On which share of a suite's problems each optimizer needs at most tau times the least cost of all.

A problem is solved at the cost, in gradients, at which half of the seeds are: a saddle by leaving
it, any other problem by reaching a loss that is the same for everybody, `GAP` of the way from the
start short of the best (Moré, Wild 2009, equation
2.2). Dolan, Moré 2002, "Benchmarking optimization software with performance profiles".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...records import Result
from ...survival.intervals import Floats
from ...survival.targets import ecdf, hitting_times, performance_ratios
from .at_budget import axis_of

GAP = 0.01  # the page says so too


@dataclass(frozen=True)
class Descent:
    """The losses of one run's S seeds where they were measured, and what each had cost by then.

    NaN after its end.
    """

    losses: Floats  # (S, n)
    costs: Floats  # (S, n)

    @property
    def lowest(self) -> float:
        """The median over seeds of the lowest loss; inf where half of them had none."""
        return float(np.median(np.nan_to_num(self.losses, nan=np.inf, posinf=np.inf).min(1)))

    @property
    def start(self) -> float:
        """The median over seeds of the first loss, likewise."""
        return float(np.median(np.nan_to_num(self.losses[:, 0], nan=np.inf, posinf=np.inf)))

    def cost_of(self, target: float) -> float:
        """At which half of the seeds have had a loss of at most the target.

        Inf where they never have.
        """
        return float(np.median(hitting_times(self.losses, self.costs, [target])))


Solving = float | Descent  # the cost, or what tells it once the target is known


def solving(result: Result) -> Solving | None:
    """What a race says of when its problem was solved; None where nothing says what solved is.

    A run that broke as a whole solved nothing.
    """
    facts = result.environment.get("problem", {})
    if not result.rows or "loss" not in result.series:
        return math.inf
    if facts.get("has_saddle"):
        costs = [row.get("escape_cost") for row in result.rows]
        return float(np.median([math.inf if cost is None else cost for cost in costs]))
    if not facts.get("bounded_below"):
        return None
    steps = result.series["loss.step"]  # (S, n)
    at = np.nan_to_num(steps).astype(int)
    return Descent(result.series["loss"], np.take_along_axis(axis_of(result, "cost"), at, axis=1))


def costs_of(runs: Sequence[Solving]) -> list[float]:
    """What each run of one problem cost to solve it; inf where it did not."""
    descents = [run for run in runs if isinstance(run, Descent)]
    best = min(descents, key=lambda run: run.lowest, default=None)
    target = (
        best.lowest + GAP * (best.start - best.lowest)
        if best and best.lowest < math.inf
        else -math.inf
    )
    return [run.cost_of(target) if isinstance(run, Descent) else run for run in runs]


def profiles(problems: Sequence[Sequence[Solving]]) -> list[dict[str, list[float]]]:
    """For each optimizer tau (m,) and the share of problems (m,).

    Problems are rows, optimizers their columns. A problem that the best solved at no cost, and
    another at some, is left out. There are no profiles of fewer than two problems or optimizers,
    nor where no problem was solved.
    """
    if not problems:
        return []
    ratios = performance_ratios([costs_of(runs) for runs in problems])
    ratios = ratios[~np.isnan(ratios).any(1)]
    if min(ratios.shape) < 2 or not np.isfinite(ratios).any():
        return []
    edge = 1.2 * float(ratios[np.isfinite(ratios)].max())
    drawn = []
    for column in ratios.T:
        at, shares = ecdf(column)
        drawn.append(
            {
                "x": [1.0, *at.tolist(), edge],
                "y": [0.0, *shares.tolist(), float(len(at) and shares[-1])],
            }
        )
    return drawn
