"""Performance profiles: how often each optimizer needs at most tau times the least cost.

A problem is solved at the cost, in gradients, at which half of the seeds solve it: they leave the
saddle, or reach a target loss where there is none. The target is the same for all optimizers, `GAP`
of the way from the start short of the best (Moré, Wild 2009, equation 2.2). Dolan, Moré 2002,
"Benchmarking optimization software with performance profiles".
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ....arrays import Floats
from ....records import Result
from ....report.figure import Axis, Figure, Panel, Trace
from ....survival.escapes import or_never
from ....survival.targets import ecdf, hitting_times, performance_ratios
from ..at_budget import axis_of
from .curves import SHARES, step_area

GAP = 0.01
PROFILE_NOTES = (
    "The share of problems that each optimizer solves within tau times the cost of the fastest"
    " one. A problem is solved when half of the seeds have escaped; without a saddle, when they"
    f" have come down all but {100 * GAP:g} % of the way to the best loss of any optimizer.",
)


@dataclass(frozen=True, eq=False)
class Descent:
    """Losses of one run's S seeds where they were measured, and costs by then; nan after an end."""

    losses: Floats  # (S, n)
    costs: Floats  # (S, n)

    @property
    def lowest(self) -> float:
        """The median over seeds of the lowest loss; inf where half of them had none."""
        return float(
            np.median(np.nan_to_num(self.losses, nan=np.inf, posinf=np.inf).min(1))
        )

    @property
    def start(self) -> float:
        """The median over seeds of the first loss, likewise."""
        return float(
            np.median(np.nan_to_num(self.losses[:, 0], nan=np.inf, posinf=np.inf))
        )

    def cost_of(self, target: float) -> float:
        """The cost at which half of the seeds have come to the target; inf where they have not."""
        return float(np.median(hitting_times(self.losses, self.costs, [target])))


Solving = float | Descent  # the cost, or all that gives it once the target is known


def extract(result: Result) -> Solving | None:
    """When a run solved its problem; None where no one can say what solved means.

    A run that broke as a whole solved nothing.
    """
    if not result.rows or "loss" not in result.series:
        return math.inf
    if result.facts.has_saddle:
        costs = [row["escape_cost"] for row in result.race_rows]
        return float(np.median([or_never(cost) for cost in costs]))
    if not result.facts.bounded_below:
        return None
    steps = np.nan_to_num(result.series["loss.step"]).astype(int)  # (S, n)
    costs_by_step = axis_of(result, "cost")
    return Descent(
        result.series["loss"], np.take_along_axis(costs_by_step, steps, axis=1)
    )


def figures(runs: Sequence[tuple[Result, Solving]]) -> Iterator[Figure]:
    """One figure, over the problems that all optimizers have a result of."""
    problems: dict[str, dict[str, Solving]] = {}
    for result, solved in runs:
        problems.setdefault(result.run.problem.label, {})[
            result.run.method.label
        ] = solved
    methods = list(dict.fromkeys(result.run.method.label for result, _ in runs))
    whole = [each for each in problems.values() if len(each) == len(methods)]
    curves = profiles([[each[method] for method in methods] for each in whole])
    if not curves:
        return
    end = float(curves[0][0][-1])
    by_method = dict(zip(methods, curves, strict=True))
    traces = [
        Trace(tau, share, method, style="step")
        for method, (tau, share) in by_method.items()
    ]
    areas = {
        method: step_area(np.log(tau), share)
        for method, (tau, share) in by_method.items()
    }
    panel = Panel(
        "profiles",
        "Performance profiles",
        Axis("tau, times the least cost", "log", (end**-0.02, end)),
        Axis("share of problems", range=SHARES),
        traces,
        PROFILE_NOTES,
        best_first=sorted(areas, key=lambda method: -areas[method]),
    )
    yield Figure("profiles", "Performance profiles", [panel])


def costs_of(runs: Sequence[Solving]) -> list[float]:
    """The cost at which each run of one problem solved it; inf where it did not."""
    descents = [run for run in runs if isinstance(run, Descent)]
    best = min(descents, key=lambda run: run.lowest, default=None)
    target = -math.inf
    if best is not None and best.lowest < math.inf:
        target = best.lowest + GAP * (best.start - best.lowest)
    return [
        run.cost_of(target) if isinstance(run, Descent) else run for run in runs
    ]


def profiles(problems: Sequence[Sequence[Solving]]) -> list[tuple[Floats, Floats]]:
    """For each optimizer tau (m,) and the share of problems (m,); rows of `problems` are problems.

    Nothing for fewer than two problems or optimizers, or where none solved any.
    """
    if len(problems) < 2 or len(problems[0]) < 2:
        return []
    ratios = performance_ratios([costs_of(runs) for runs in problems])
    if not np.isfinite(ratios).any():
        return []
    edge = 1.2 * float(ratios[np.isfinite(ratios)].max())
    curves = []
    for column in ratios.T:
        at, shares = ecdf(column)
        last = shares[-1:] if len(shares) else [0.0]
        curves.append((np.array([1.0, *at, edge]), np.array([0.0, *shares, *last])))
    return curves
