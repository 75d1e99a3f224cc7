"""Methods side by side on the same problems and seeds: what each run is worth, and the places."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..arrays import Floats
from ..records import RaceRow, Status
from ..survival.escapes import Escapes
from ..survival.places import Place, places

ESCAPE_AREA = "escape area"
WAY_DOWN = "way down"
Score = Callable[[RaceRow, float], float]
RowsByProblem = Mapping[str, Sequence[RaceRow]]  # of one method, by problem


@dataclass(frozen=True)
class Contest:
    """Methods by label, each with its rows on the same problems and seeds, in the same order."""

    methods: Mapping[str, RowsByProblem]
    # in gradients, by problem; of problems that start at a saddle
    budgets: Mapping[str, float]
    # the lowest archived loss, by problem, of those whose loss is bounded below
    lowest: Mapping[str, float]

    @cached_property
    def scores(self) -> dict[str, Floats]:
        """Escape areas and ways down (M, P, S), high being good, of the problems that have them."""
        asked: tuple[tuple[str, Mapping[str, float], Score], ...] = (
            (ESCAPE_AREA, self.budgets, escape_area),
            (WAY_DOWN, self.lowest, way_down),
        )
        return {
            name: np.array(
                [
                    self._scores(rows, bounds, score)
                    for rows in self.methods.values()
                ]
            )
            for name, bounds, score in asked
            if bounds
        }

    @cached_property
    def places(self) -> dict[str, list[Place]]:
        """The places of the methods by each score."""
        return {name: places(scores) for name, scores in self.scores.items()}

    def escapes(self, method: str) -> Escapes:
        """All escapes of a method, in gradients."""
        rows = [row for name in self.budgets for row in self.methods[method][name]]
        return Escapes.of(rows, "cost")

    @staticmethod
    def _scores(
        rows: RowsByProblem, bounds: Mapping[str, float], score: Score
    ) -> list[list[float]]:
        return [
            [score(row, bound) for row in rows[name]]
            for name, bound in bounds.items()
        ]


def escape_area(row: RaceRow, budget: float) -> float:
    """The area under the ECDF of one run's escape over the logarithm of cost, in [0, 1].

        1 - ln(cost of the escape) / ln(budget),  0 without an escape, 1 for one gradient or less

    It depends on no rival. Its mean over runs is the area under the ECDF of all their escapes.
    Hansen et al. 2022, "Anytime performance assessment in blackbox optimization benchmarking".
    """
    cost = row["escape_cost"]
    if cost is None:
        return 0.0
    return 1.0 - min(1.0, math.log(max(1.0, cost)) / math.log(budget))


def way_down(row: RaceRow, lowest: float) -> float:
    """The share of the way from its start to the lowest archived loss, in [0, 1]; 0 if it broke."""
    start = row["start_loss"]
    final = row["final_loss"]
    if start is None or final is None or not Status(row["status"]).sound:
        return 0.0
    if not math.isfinite(final) or start <= lowest:
        return 0.0
    return min(1.0, max(0.0, (start - final) / (start - lowest)))
