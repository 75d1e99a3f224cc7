"""The keys of a race: budget, metrics, prices, tuning."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from annotated_types import Ge, Le, MinLen
from pydantic import SerializerFunctionWrapHandler, model_serializer, model_validator

from ..keys import MOST_STEPS, Above0, NotBelow0, Seed, SeededKeys, StrictModel


class Budget(StrictModel):
    """When a race ends, whichever comes first."""

    steps: Annotated[int, Ge(1), Le(MOST_STEPS)] = (
        500  # unless epochs are given: then as many as they take
    )
    seconds: Above0 | None = None
    cost: Above0 | None = None  # in gradients
    epochs: Above0 | None = (
        None  # an epoch: as many steps as minibatches make up all examples; one on full batches
    )

    @model_validator(mode="before")
    @classmethod
    def _epochs_alone_decide(cls, given: Any) -> Any:
        return (
            {"steps": MOST_STEPS, **given}
            if isinstance(given, dict) and given.get("epochs")
            else given
        )

    @model_serializer(mode="wrap")
    def _without_epochs(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """As it was before there were epochs, where none are given: runs keep their names."""
        return {
            name: value
            for name, value in dump(self).items()
            if name != "epochs" or value is not None
        }


class Spacing(StrictModel):
    """Each time that so many gradients more have been spent, whatever a step costs.

    Or every so many epochs.
    """

    cost: Above0 | None = None
    epochs: Above0 | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if (self.cost is None) == (self.epochs is None):
            raise ValueError("must be a number of steps, {cost: NUMBER} or {epochs: NUMBER}")
        return self

    @model_serializer
    def _the_one(self) -> dict[str, float]:
        return {
            name: value for name in ("cost", "epochs") if (value := getattr(self, name)) is not None
        }


class Metric(StrictModel):
    """A metric, and every how many steps it is taken, or how much cost, or how many epochs."""

    use: str
    every: Annotated[int, Ge(1)] | Spacing = 1


class Prices(StrictModel):
    """What questions cost in gradients, where not as `sfnbench.cost.PRICES` has it.

    A Hessian's is for each parameter.
    """

    loss: NotBelow0 | None = None
    grad: NotBelow0 | None = None
    hvp: NotBelow0 | None = None
    hessian: NotBelow0 | None = None


class Tune(StrictModel):
    """How the parameters that are given as ranges are tuned, alike for every optimizer."""

    trials: Annotated[int, Ge(1), Le(10_000)] = (
        20  # settings tried for each optimizer on each problem
    )
    seeds: Annotated[int, Ge(1), Le(1000)] = 3  # of each trial, counted from TUNING_SEEDS
    sampler: Literal["halton", "random", "sobol"] = "halton"
    seed: Seed = 0  # of the sampler
    # Whose median over seeds decides; a seed that has not escaped counts as later than all that
    # have
    metric: Literal["final_loss", "best_loss", "escape_step", "escape_cost"] = "final_loss"
    budget: Budget | None = (
        None  # of a trial; what it does not say is as in the suite, but no steps beside a cost
    )


class Keys(SeededKeys):
    """The keys of a race."""

    budget: Budget = Budget()
    metrics: Annotated[tuple[str | Metric, ...], MinLen(1)] = ("loss",)
    prices: Prices = Prices()
    optimizers: Annotated[tuple[Any, ...], MinLen(1)]
    tune: Tune | None = None

    def settings(self) -> dict[str, Any]:
        """Budget and metrics, and prices where there are other ones."""
        named = [
            Metric(use=metric) if isinstance(metric, str) else metric for metric in self.metrics
        ]
        prices = self.prices.model_dump(exclude_none=True)
        metrics = [list(metric.model_dump().values()) for metric in named]
        return {
            "budget": self.budget.model_dump(),
            "metrics": metrics,
            **({"prices": prices} if prices else {}),
        }
