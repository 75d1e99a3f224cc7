"""The keys that suites of several experiments have, and what they are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Self

from annotated_types import Ge, Gt, Le, MinLen
from pydantic import BaseModel, ConfigDict, model_validator

from ..members.registry import Kind

SeedKey = Annotated[int, Ge(0)]
Above0 = Annotated[float, Gt(0)]
NotBelow0 = Annotated[float, Ge(0)]
STEPS_LIMIT = 10**9

# Keys that are no settings: a run or its method has them itself, or they decide no numbers
COMMON = frozenset(
    {
        "title",
        "experiment",
        "timeout",
        "problems",
        "seeds",
        "dtype",
        "tune",
        "index",
    }
)


@dataclass(frozen=True)
class MemberEntry:
    """Marks a key whose value is an entry: one member of a kind."""

    kind: Kind


@dataclass(frozen=True)
class MetricName:
    """Marks a key whose value names a metric, or a measure of the suite's problems."""


class StrictModel(BaseModel):
    """A mapping of a suite: its keys and no others, each of its own type."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Budget(StrictModel):
    """When a race ends, whichever comes first."""

    # Where only epochs are given, as many steps as these take
    steps: Annotated[int, Ge(1), Le(STEPS_LIMIT)] = 500
    seconds: Above0 | None = None
    cost: Above0 | None = None  # in gradients
    # As many steps as it takes for minibatches to have as many examples as there are; one step
    # where batches are full
    epochs: Above0 | None = None

    @model_validator(mode="before")
    @classmethod
    def _epochs_alone_decide(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("epochs"):
            return {"steps": STEPS_LIMIT, **given}
        return given

    @property
    def has_steps(self) -> bool:
        """Whether a number of steps follows from it."""
        return self.steps < STEPS_LIMIT or self.epochs is not None

    def over(self, base: Self) -> Self:
        """What this budget says, and the rest from `base`.

        A cost without steps has none of the base's steps: it is not cut short by them.
        """
        given = {name: getattr(self, name) for name in self.model_fields_set}
        if given.get("cost") and not given.keys() & {"steps", "epochs"}:
            given |= {"steps": STEPS_LIMIT, "epochs": None}
        return base.model_copy(update=given)


class Tune(StrictModel):
    """How the parameters that are given as ranges are tuned, alike for every optimizer."""

    # number of trials of each optimizer on each problem
    trials: Annotated[int, Ge(1), Le(10_000)] = 20
    # number of seeds of each trial, counted from TUNING_SEEDS
    seeds: Annotated[int, Ge(1), Le(1000)] = 3
    sampler: Literal["halton", "random", "sobol"] = "halton"
    seed: SeedKey = 0  # of the sampler
    # own: an optimizer's parameters that the suite leaves open are searched where its class says
    ranges: Literal["written", "own"] = "written"
    # The best median over seeds wins; a seed that has not escaped ranks behind all that have
    metric: Literal["final_loss", "best_loss", "escape_step", "escape_cost"] = (
        "final_loss"
    )
    # the budget of a trial; the rest is the suite's, see `Budget.over`
    budget: Budget | None = None


class ExperimentKeys(StrictModel):
    """The keys of every experiment; those of problems and methods are lists of entries."""

    method: ClassVar[Kind] = "optimizer"
    # whether it is repeated over seeds; otherwise one seed stands for all
    is_seeded: ClassVar[bool] = False

    title: str = ""
    experiment: str = "race"
    timeout: Above0 = 3600.0
    problems: Annotated[tuple[Any, ...], MinLen(1)]

    def settings(self) -> dict[str, Any]:
        """The experiment's own keys, as plain JSON values with all defaults.

        They decide numbers, and so ids: one form, however a suite writes them.
        """
        return self.model_dump(mode="json", exclude={*COMMON, f"{self.method}s"})

    @property
    def n_steps(self) -> int | None:
        """The steps of each run, where its budget says, for schedules that say none themselves."""
        return None

    @property
    def tuning(self) -> Tune | None:
        """How ranges are tuned, with a complete budget; None where nothing is tuned."""
        return None


class SeededKeys(ExperimentKeys):
    """The keys of experiments that are repeated over seeds."""

    is_seeded: ClassVar[bool] = True

    seeds: (
        Annotated[int, Ge(1), Le(100_000)]
        | Annotated[tuple[SeedKey, ...], MinLen(1)]
    ) = 5
    dtype: Literal["float32", "float64"] = "float64"
