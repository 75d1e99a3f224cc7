"""The keys that a suite may have, by experiment: their types, ranges and defaults."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from annotated_types import Ge, Gt, Le, MinLen
from pydantic import (
    BaseModel,
    ConfigDict,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from ..members.registry import Kind

Seed = Annotated[int, Ge(0)]
Above0 = Annotated[float, Gt(0)]
NotBelow0 = Annotated[float, Ge(0)]
MOST_STEPS = 10**9


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Budget(_Strict):
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


class Spacing(_Strict):
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


class Metric(_Strict):
    """A metric, and every how many steps it is taken, or how much cost, or how many epochs."""

    use: str
    every: Annotated[int, Ge(1)] | Spacing = 1


class Prices(_Strict):
    """What questions cost in gradients, where not as `sfnbench.cost.PRICES` has it.

    A Hessian's is for each parameter.
    """

    loss: NotBelow0 | None = None
    grad: NotBelow0 | None = None
    hvp: NotBelow0 | None = None
    hessian: NotBelow0 | None = None


class Tune(_Strict):
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


class _Experiment(_Strict):
    """The keys of every experiment; the entries of problems and of methods are read by `choice`."""

    method: ClassVar[Kind] = "optimizer"

    title: str = ""
    experiment: str = "race"
    timeout: Above0 = 3600.0
    problems: Annotated[tuple[Any, ...], MinLen(1)]

    def settings(self) -> dict[str, Any]:
        """What the experiment wants to know."""
        raise NotImplementedError


class _Seeded(_Experiment):
    """The keys of experiments that are repeated over seeds."""

    seeds: Annotated[int, Ge(1), Le(100_000)] | Annotated[tuple[Seed, ...], MinLen(1)] = 5
    dtype: Literal["float32", "float64"] = "float64"


class Race(_Seeded):
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


class OnPath(_Strict):
    """Starts on an optimizer's path, one path a seed.

    So many of its points, drawn with their noise.
    """

    optimizer: Any
    steps: Annotated[int, Ge(1), Le(MOST_STEPS)] = 100
    every: Annotated[int, Ge(1)] = 1  # of its points are kept
    up: bool = False  # climb the loss instead
    count: Annotated[int, Ge(1)] = 10  # starts a seed
    noise: Annotated[tuple[NotBelow0, ...], MinLen(1)] = (
        0.0,
    )  # amplitudes of uniform noise, one drawn for each start


class Cube(_Strict):
    """Starts uniform in a cube round 0."""

    count: Annotated[int, Ge(0)] = 0  # a seed
    amplitude: Above0 = 1.0


class CriticalPoints(_Seeded):
    """The keys of a search for critical points."""

    method: ClassVar[Kind] = "finder"

    finders: Annotated[tuple[Any, ...], MinLen(1)] = ("levenberg_marquardt",)
    paths: tuple[OnPath, ...] = ()
    random: Annotated[int, Ge(0)] = 0  # starts a seed, each the problem's own
    cube: Cube = Cube()
    subspaces: bool = (
        False  # search in the problem's subspaces too, such as networks with fewer units
    )
    spectrum: Literal["eigenvalues", "density"] = (
        "eigenvalues"  # density: the index by inertia, for large networks
    )
    energy: str = "loss"  # what is drawn against alpha: the loss, or a measure
    cut_off: Above0 = 1e-20  # squared gradient norm below which a point is called critical
    zero: NotBelow0 = 1e-6  # |eigenvalues| up to this count as zero, in units of the largest
    same: NotBelow0 = 1e-7  # points whose invariants differ by less, relatively, are one point

    @model_validator(mode="after")
    def _starts_somewhere(self) -> Self:
        if not (self.paths or self.random or self.cube.count):
            raise ValueError("no starts: give paths, random or cube")
        return self

    def settings(self) -> dict[str, Any]:
        """All of them; the optimizers of the paths are filled in when they are chosen."""
        own = ("random", "cube", "subspaces", "spectrum", "energy", "cut_off", "zero", "same")
        paths = [path.model_dump() for path in self.paths]
        return {"paths": paths, **{name: self.model_dump()[name] for name in own}}


class Throughput(_Experiment):
    """The keys of a throughput suite.

    One seed, and no budget but so many blocks of so many seconds.
    """

    seeds: ClassVar[int] = 1
    dtype: ClassVar[str] = "float64"  # of no say: each run measures all of `dtypes`

    dtypes: Annotated[tuple[Literal["float32", "float64"], ...], MinLen(1)] = ("float64",)
    blocks: Annotated[int, Ge(3), Le(1000)] = 20  # quartiles need a few
    block_seconds: Annotated[float, Gt(0), Le(60)] = 0.2
    optimizers: Annotated[tuple[Any, ...], MinLen(1)]

    def settings(self) -> dict[str, Any]:
        """Dtypes and blocks."""
        return {
            "dtypes": list(dict.fromkeys(self.dtypes)),
            "blocks": self.blocks,
            "block_seconds": self.block_seconds,
        }


EXPERIMENTS: dict[str, type[Race] | type[CriticalPoints] | type[Throughput]] = {
    "race": Race,
    "critical_points": CriticalPoints,
    "throughput": Throughput,
}
