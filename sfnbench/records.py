"""What is handed from room to room: a run is asked for, a result comes of it.

Plain frozen data, for any process anywhere. Standard library and numpy alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np

FORMAT = 3  # of run ids and stored rows: raised when either changes its meaning


class Status(StrEnum):
    """How a run, or one of its rows, ended; from the best to the gravest."""

    OK = "ok"
    STUCK = "stuck"  # it can no longer move
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
        return self in (Status.STUCK, Status.DIVERGED, Status.ERROR, Status.OOM)

    @property
    def sound(self) -> bool:
        """Whether its loss counts."""
        return self in (Status.OK, Status.STUCK)

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
    timeout_s: float = 3600.0  # after which the run is given up; it decides no number
    # hashes of the code that runs it beside problem and method: {"harness": ...}
    code: dict[str, str] = field(default_factory=dict)
    # of the installed packages whose algorithms it runs: {"torch": "2.13.0"}
    versions: dict[str, str] = field(default_factory=dict)

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
        data = asdict(self)
        del data["suite"], data["timeout_s"]
        for spec in (data["problem"], data["method"]):
            del spec["label"]
        for path in data["settings"].get("paths", ()):  # their sources are in the code
            path["optimizer"] = {name: path["optimizer"][name] for name in ("use", "params")}
        return {**data, "format": FORMAT}

    @property
    def id(self) -> str:
        """Sixteen hexadecimal digits, the same in every process and on every machine."""
        text = json.dumps(self.decisive, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Result:
    """What came of a run: a row per seed (or point, or timing), series as arrays, circumstances."""

    run: Run
    status: Status  # the gravest of its rows
    rows: tuple[dict[str, Any], ...] = ()  # scalars, plain JSON values; None: not measured
    # (n_rows, n) each, NaN after a row's end; a landscape by its own places
    series: dict[str, np.ndarray] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)
    log: str = ""  # warnings and errors as text
    seconds: float = 0.0  # wall-clock of everything, set-up and metrics included

    def __post_init__(self) -> None:
        """Take a status by its name, too."""
        object.__setattr__(self, "status", Status(self.status))

    @property
    def reason(self) -> str:
        """The last line of the log: why a run broke."""
        return (self.log.strip().splitlines() or ["no reason given"])[-1]
