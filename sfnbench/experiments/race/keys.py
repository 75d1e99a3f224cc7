"""The keys of a race: budget, metrics, prices, tuning."""

from __future__ import annotations

from typing import Annotated, Any, Self

from annotated_types import Ge, MinLen
from pydantic import model_validator

from ...core.cost import PRICES
from ..keys import (
    Above0,
    Budget,
    MetricName,
    NotBelow0,
    SeededKeys,
    StrictModel,
    Tune,
)


class Spacing(StrictModel):
    """How far apart a metric is taken: in gradients spent, whatever a step costs, or in epochs."""

    cost: Above0 | None = None
    epochs: Above0 | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if (self.cost is None) == (self.epochs is None):
            raise ValueError(
                "must be a number of steps, {cost: NUMBER} or {epochs: NUMBER}"
            )
        return self


class MetricKeys(StrictModel):
    """A metric, and how far apart it is taken; a number is one of steps."""

    use: Annotated[str, MetricName()]
    every: Annotated[int, Ge(1)] | Spacing = 1

    @property
    def spacing(self) -> dict[str, float]:
        """The number under its unit: steps, cost or epochs."""
        if isinstance(self.every, int):
            return {"steps": self.every}
        return self.every.model_dump(exclude_none=True)


class Prices(StrictModel):
    """The cost of each question in gradients; of a Hessian, for each parameter."""

    loss: NotBelow0 = PRICES["loss"]
    grad: NotBelow0 = PRICES["grad"]
    hvp: NotBelow0 = PRICES["hvp"]
    hessian: NotBelow0 = PRICES["hessian"]


class Keys(SeededKeys):
    """The keys of a race."""

    budget: Budget = Budget()
    metrics: Annotated[
        tuple[Annotated[str, MetricName()] | MetricKeys, ...], MinLen(1)
    ] = ("loss",)
    prices: Prices = Prices()
    optimizers: Annotated[tuple[Any, ...], MinLen(1)]
    tune: Tune | None = None

    def settings(self) -> dict[str, Any]:
        """Budget, prices, and metrics as pairs of a name and its spacing."""
        metrics = [
            MetricKeys(use=each) if isinstance(each, str) else each
            for each in self.metrics
        ]
        pairs = [[metric.use, metric.spacing] for metric in metrics]
        return {**super().settings(), "metrics": pairs}

    @property
    def n_steps(self) -> int | None:
        """The steps of the budget, where trials of a tuning have some too."""
        trials = self.tuning.budget if self.tuning else None
        is_known = self.budget.has_steps and (trials is None or trials.has_steps)
        return self.budget.steps if is_known else None

    @property
    def tuning(self) -> Tune | None:
        """How ranges are tuned; a trial's budget is the suite's but for what `tune` says."""
        if self.tune is None:
            return None
        if self.tune.budget:
            budget = self.tune.budget.over(self.budget)
        else:
            budget = self.budget
        return self.tune.model_copy(update={"budget": budget})
