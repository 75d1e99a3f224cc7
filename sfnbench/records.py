"""What every room passes on: a run goes in, a result comes out. Standard library alone."""

from __future__ import annotations

import hashlib
import json
import typing
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from functools import cache, cached_property
from types import NoneType
from typing import TYPE_CHECKING, Any, Literal, Self, TypedDict, cast

if TYPE_CHECKING:
    import numpy as np

FORMAT = 3  # of run ids and stored rows: raised when either changes its meaning
MOST_REASON = 300  # characters of the line that says why a run broke


class Status(StrEnum):
    """How a run, or one of its rows, ended; from the best to the gravest."""

    OK = "ok"
    STOPPED = "stopped"  # by the method's own rule
    STUCK = "stuck"  # it can no longer move
    WORSE = "worse"  # its loss ends far above its start
    DIVERGED = "diverged"  # its numbers are no longer finite
    ERROR = "error"
    OOM = "oom"  # memory ran out
    TIMEOUT = "timeout"

    @property
    def failed(self) -> bool:
        """Whether the run broke, rather than its numbers: it is worth another try."""
        return self in (Status.ERROR, Status.OOM, Status.TIMEOUT)

    @property
    def never_escapes(self) -> bool:
        """Whether it will not escape any more, however large its budget; a timeout might have."""
        return self not in (Status.OK, Status.TIMEOUT)

    @property
    def sound(self) -> bool:
        """Whether its loss counts."""
        return self in (Status.OK, Status.STOPPED, Status.STUCK)

    @classmethod
    def gravest(cls, statuses: Iterable[str]) -> Status:
        """The gravest of some statuses.

        >>> Status.gravest(["ok", "diverged", "stuck"])
        <Status.DIVERGED: 'diverged'>
        """
        order = list(cls)
        return max(map(cls, statuses), key=order.index)


@dataclass(frozen=True)
class Spec:
    """A problem or a method (an optimizer, a finder) with the values of all its parameters."""

    use: str  # registry name, torch.optim.X, scipy.optimize.X or package.module:Class
    label: str
    params: dict[str, Any]  # plain JSON values
    source: str  # hash of the source that decides its numbers; empty for a stock optimizer

    @property
    def instances(self) -> tuple[Any, ...]:
        """The members that its reader built from the parameters; empty where it was made by hand.

        They are no field: no part of equality, of `asdict`, of pickles, of an id.
        """
        return self.__dict__.get("_instances", ())

    def carrying(self, *instances: Any) -> Self:
        """The same spec, with the members built from its parameters."""
        object.__setattr__(self, "_instances", instances)
        return self

    def __getstate__(self) -> dict[str, Any]:
        """The fields alone."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    @property
    def is_open(self) -> bool:
        """Whether some parameters are still ranges, to be tuned."""
        return False


@dataclass(frozen=True)
class Run:
    """The unit of execution: one problem, one method (an optimizer or a finder), all seeds."""

    suite: str
    experiment: str
    problem: Spec
    method: Spec
    seeds: tuple[int, ...]
    settings: dict[str, Any]  # what the experiment wants: budget, metrics
    dtype: str = "float64"
    device: str = "cpu"
    # seconds after which the run is given up; they decide no number
    timeout_s: float = 3600.0
    # hashes of the code that runs it beside problem and method: {"harness": ...}
    code: dict[str, str] = field(default_factory=dict)
    # of the installed packages whose algorithms it runs: {"torch": "2.13.0"}
    versions: dict[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        n = len(self.seeds)
        return f"<Run {self.id}: {self.title}, {n} seed{'s'[: n != 1]}>"

    @property
    def title(self) -> str:
        """The method on the problem, as people call the run."""
        return f"{self.method.label} on {self.problem.label}"

    @property
    def is_open(self) -> bool:
        """Whether its method still has ranges: it is tuned before anything is executed."""
        return self.method.is_open

    @property
    def slot(self) -> tuple[str, str, str]:
        """Its place in the suite: what a later run of the same place supersedes."""
        return self.experiment, self.problem.label, self.method.label

    @property
    def decisive(self) -> dict[str, Any]:
        """Everything that decides the numbers, and nothing else."""
        data = {name: getattr(self, name) for name in self.__dataclass_fields__}
        del data["suite"], data["timeout_s"]
        for name in ("problem", "method"):
            spec = data[name]
            data[name] = asdict(spec) if spec.is_open else spec.__getstate__()
            del data[name]["label"]
        if "paths" in self.settings:
            data["settings"] = deepcopy(self.settings)
        # the sources of these optimizers are in the code
        for path in data["settings"].get("paths", ()):
            given = path["optimizer"]
            path["optimizer"] = {name: given[name] for name in ("use", "params")}
        return {**data, "format": FORMAT}

    @cached_property
    def id(self) -> str:
        """Sixteen hexadecimal digits, the same in every process and on every machine."""
        text = json.dumps(self.decisive, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


class Row(TypedDict):
    """One seed, search or timing: the columns that every experiment has."""

    seed: int
    status: str  # the value of a `Status`


class RaceRow(Row):
    """One seed of a race; None: not measured. A problem's measures and a method's reports join."""

    steps: int | None
    start_loss: float | None
    final_loss: float | None
    best_loss: float | None
    escape_step: int | None  # None: it has not escaped
    escape_seconds: float | None
    escape_cost: float | None
    seconds: float | None
    cost: float | None  # in gradients
    n_loss: int | None
    n_grad: int | None
    n_hvp: int | None
    n_hessian: int | None
    gradient_norm: float | None
    min_eigenvalue: float | None
    min_eigenvalue_residual: float | None
    index_fraction: float | None
    # the distance from the critical point that Newton's method arrives at
    root_distance: float | None
    end_point: str | None
    captured: bool | None
    steps_near: int | None  # near the saddle before the escape
    n_sharing: int | None  # seeds that shared its batch
    # what ended the run: steps, epochs, seconds, cost, divergence, escape, itself
    limit: str | None
    message: str | None  # the method's own, where it stopped by itself
    not_finite: str | None  # what was not, where it diverged


class PointRow(Row):
    """One search for a critical point, from its start to its end."""

    start: str  # path, random or cube
    path: int | None
    path_step: int | None
    noise: float | None
    subspace: str | None
    start_loss: float | None
    start_energy: float | None
    start_gradient_norm: float | None
    start_alpha: float | None
    loss: float
    energy: float
    gradient_norm: float
    index: int | None
    index_strict: int | None
    index_sure: bool | None
    predicted_index: int | None
    alpha: float | None  # share of negative eigenvalues
    n_zero: int | None
    n_positive: int | None
    residual: float | None
    flatness: float | None
    centre: float | None
    spread: float | None
    min_eigenvalue: float | None
    max_eigenvalue: float | None
    gap: float | None
    converged: bool
    distinct: bool
    known: bool | None
    end_point: str
    steps: int
    seconds: float
    n_loss: int
    n_grad: int
    n_hvp: int
    n_hessian: int


class TimingRow(Row):
    """The timings of one dtype: medians over blocks, and their quartiles."""

    dtype: str
    warmup_s: float | None
    steps_per_s: float | None
    steps_per_s_q1: float | None
    steps_per_s_q3: float | None
    samples_per_s: float | None
    samples_per_s_q1: float | None
    samples_per_s_q3: float | None
    grads_per_s: float | None
    grads_per_s_q1: float | None
    grads_per_s_q3: float | None
    hvp_per_s: float | None
    hvp_per_s_q1: float | None
    hvp_per_s_q3: float | None
    step_in_grads: float | None
    step_in_grads_q1: float | None
    step_in_grads_q3: float | None
    hvp_in_grads: float | None
    hvp_in_grads_q1: float | None
    hvp_in_grads_q3: float | None
    flops_per_s: float | None
    flops_per_s_q1: float | None
    flops_per_s_q3: float | None
    matmul_flops_per_s: float | None
    flops_share: float | None
    drift: float | None
    drifting: bool | None
    peak_memory_bytes: int | None
    load: float | None
    busy_cores_of_others: float | None
    disturbed: bool | None


# timings that have quartiles
Rate = Literal[
    "steps_per_s",
    "samples_per_s",
    "grads_per_s",
    "hvp_per_s",
    "step_in_grads",
    "hvp_in_grads",
    "flops_per_s",
]
ROWS: dict[str, type] = {
    "race": RaceRow,
    "critical_points": PointRow,
    "throughput": TimingRow,
}


@cache
def columns(experiment: str) -> dict[str, tuple[type, ...]]:
    """The columns of an experiment's rows, each with the types that its values may have."""
    hints = typing.get_type_hints(ROWS.get(experiment, Row))
    return {name: typing.get_args(hint) or (hint,) for name, hint in hints.items()}


def number(row: Mapping[str, object], name: str) -> float | None:
    """A column by a name that is data: a problem's measure, a method's report."""
    value = row.get(name)
    return float(value) if isinstance(value, int | float) else None


def n_sharing(row: Mapping[str, Any]) -> int:
    """Seeds that shared the batch of a row's trajectory, and its seconds."""
    return int(row.get("n_sharing") or 1)


def quartiles(row: TimingRow, rate: Rate) -> tuple[float, float, float] | None:
    """Median, lower and upper quartile over blocks; None where it was not measured."""
    parts = ("", "_q1", "_q3")
    middle, low, high = (number(row, f"{rate}{part}") for part in parts)
    if middle is None or low is None or high is None:
        return None
    return middle, low, high


@dataclass(frozen=True)
class Facts:
    """The facts about its problem that a result carries; blank where the run broke before."""

    n_parameters: int | None = None
    has_saddle: bool = False
    bounded_below: bool | None = None
    population: int | None = None  # examples
    measures: tuple[str, ...] = ()
    weight_decay: float | None = None

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Facts:
        """From JSON; what this version does not know is passed over."""
        names = cls.__dataclass_fields__
        known = {name: stored[name] for name in names if name in stored}
        return cls(**{**known, "measures": tuple(known.get("measures", ()))})


@dataclass(frozen=True)
class Result:
    """The outcome of a run: a row per seed, point or timing, series as arrays, circumstances."""

    run: Run
    status: Status  # the gravest of its rows
    rows: tuple[Row, ...] = ()  # plain JSON values; None: not measured
    # (n_rows, n) each, NaN after a row's end; a landscape by its own places
    series: dict[str, np.ndarray] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)
    log: str = ""  # warnings and errors as text
    seconds: float = 0.0  # wall-clock of everything, set-up and metrics included

    def __post_init__(self) -> None:
        """Take a status by its name, and rows without what was not measured."""
        object.__setattr__(self, "status", Status(self.status))
        optional = _optional_columns(self.run.experiment)
        rows = tuple(self.rows)
        if not all(row.keys() >= {"status", *optional} for row in rows):
            rows = tuple(self._completed(row, optional) for row in rows)
        object.__setattr__(self, "rows", rows)

    def __repr__(self) -> str:
        n = len(self.rows)
        return f"<Result: {self.run.title}, {self.status}, {n} row{'s'[: n != 1]}>"

    def _completed(self, row: Row, optional: Mapping[str, None]) -> Row:
        blank = {"status": self.status.value, **optional}
        missing = {name: value for name, value in blank.items() if name not in row}
        return cast(Row, {**row, **missing})

    @property
    def race_rows(self) -> tuple[RaceRow, ...]:
        """The rows of a race."""
        return cast("tuple[RaceRow, ...]", self.rows)

    @property
    def points(self) -> tuple[PointRow, ...]:
        """The rows of a search for critical points."""
        return cast("tuple[PointRow, ...]", self.rows)

    @property
    def timings(self) -> tuple[TimingRow, ...]:
        """The rows of a throughput measurement."""
        return cast("tuple[TimingRow, ...]", self.rows)

    @cached_property
    def facts(self) -> Facts:
        """The facts of its problem."""
        return Facts.of(self.environment.get("problem") or {})

    @property
    def reason(self) -> str:
        """The last line of the log, at most `MOST_REASON` characters of it: why a run broke."""
        last = self.log.strip().split("\n")[-1] or "no reason given"
        return last[:MOST_REASON]


@cache
def _optional_columns(experiment: str) -> dict[str, None]:
    return {
        name: None
        for name, kinds in columns(experiment).items()
        if NoneType in kinds
    }
