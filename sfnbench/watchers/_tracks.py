"""What trackers are given: of a race a track for each seed, else one for each run."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..experiments.curves import CURVE_CIRCUMSTANCES, blocks
from ..records import Result
from ..session.observer import Observer


@dataclass(frozen=True)
class CurvePoint:
    """A value of a curve; a step is that of the race, or a row's place."""

    step: int
    value: float


@dataclass(frozen=True)
class Track:
    """What a tracker calls a run."""

    suite: str
    parts: tuple[str, ...]  # its name: problem, optimizer, seed
    parameters: Mapping[str, Any]
    curves: Mapping[str, Sequence[CurvePoint]]
    ends: Mapping[str, float] = field(default_factory=dict)  # what came of it
    has_failed: bool = False

    @property
    def name(self) -> str:
        """Its name in one line."""
        return ", ".join(self.parts)


class Tracker(Observer):
    """Hands on the tracks of all runs, but for the trials of a tuning."""

    _is_tuning = False

    @abstractmethod
    def write(self, track: Track) -> None:
        """Hand a track to the tracker."""

    def stage(self, name: str) -> None:
        """Keep still while parameters are tuned."""
        self._is_tuning = name == "tuning"

    def finished(self, result: Result) -> None:
        """Hand on the tracks of a run."""
        if not self._is_tuning:
            for track in tracks(result):
                self.write(track)


def tracks(result: Result) -> Iterator[Track]:
    """The tracks of a result."""
    if result.run.experiment != "race":
        yield _track(result, (), {}, _by_place(result.rows))
        return
    curves = _curves_by_seed(result)
    for row in result.rows:
        seed = row["seed"]
        ends = {name: value for name, value in row.items() if name != "seed"}
        yield _track(result, (f"seed {seed}",), ends, curves.get(seed, {}))


# -- inside ----------------------------------------------------------------------------------------


def _track(
    result: Result,
    seed: tuple[str, ...],
    ends: Mapping[str, Any],
    curves: Mapping[str, Sequence[CurvePoint]],
) -> Track:
    run = result.run
    parameters = {
        "problem": run.problem.label,
        "optimizer": run.method.label,
        **{f"problem.{key}": value for key, value in run.problem.params.items()},
        **{f"optimizer.{key}": value for key, value in run.method.params.items()},
        "dtype": run.dtype,
        "device": run.device,
        "run_id": run.id,
        "status": str(ends.get("status", result.status)),
    }
    return Track(
        run.suite,
        (run.problem.label, run.method.label, *seed),
        parameters,
        curves,
        {name: float(value) for name, value in ends.items() if _is_number(value)},
        result.status.failed,
    )


def _is_number(value: object) -> bool:
    is_real = isinstance(value, int | float) and not isinstance(value, bool)
    return is_real and math.isfinite(value)  # type: ignore[arg-type]


def _by_place(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[CurvePoint]]:
    """Each column of numbers as a curve over the rows."""
    found: dict[str, list[CurvePoint]] = {}
    for place, row in enumerate(rows):
        for name, value in row.items():
            if _is_number(value):
                found.setdefault(name, []).append(CurvePoint(place, float(value)))
    return found


def _curves_by_seed(result: Result) -> dict[int, dict[str, list[CurvePoint]]]:
    """Each series by seed, without the steps at which it was not measured."""
    found: dict[int, dict[str, list[CurvePoint]]] = {}
    for block in blocks([result]):
        names = [
            n for n in block if n not in (*CURVE_CIRCUMSTANCES, "seed", "step")
        ]
        for seed in np.unique(block["seed"]):
            rows = block["seed"] == seed
            steps = block["step"][rows]
            curves = found.setdefault(int(seed), {})
            for name in names:
                values = block[name][rows]
                curves[name] = [
                    CurvePoint(int(step), float(value))
                    for step, value in zip(steps, values, strict=True)
                    if not math.isnan(value)
                ]
    return found
