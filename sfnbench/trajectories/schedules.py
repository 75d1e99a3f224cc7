"""Learning rates that change from step to step."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from inspect import signature
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, ReduceLROnPlateau

from ..errors import AbsentError, PluginError
from ..words import did_you_mean
from .classes import find_class

TORCHS = "torch.optim.lr_scheduler."
SHAPES = ("constant", "linear", "cosine")
KEYS = ("use", "steps", "warmup", "end")
# what torch's schedulers call the steps of a run
STEP_KEYS = (
    "total_steps",
    "T_max",
)


@dataclass(frozen=True)
class Course:
    """A rate that grows from 0 for `warmup` steps, then falls to `end` times itself at `steps`.

    It stays there. A linear fall, half a period of a cosine, or none.
    """

    shape: str
    steps: int = 1
    warmup: int = 0
    end: float = 0.0

    def __call__(self, step: int) -> float:
        """The factor of the rate in a step, counted from 0."""
        if step < self.warmup:
            return (step + 1) / self.warmup
        if self.shape == "constant":
            return 1.0
        t = min(1.0, (step - self.warmup) / (self.steps - self.warmup))
        if self.shape == "linear":
            fallen = t
        else:
            fallen = (1 - math.cos(math.pi * t)) / 2
        return 1 - (1 - self.end) * fallen


@dataclass(frozen=True)
class Schedule:
    """A maker of schedulers, one for each optimizer: one of torch's by name, or a course."""

    cls: type[LRScheduler]
    settings: Mapping[str, Any]
    # as a suite may write it; without steps, if these are the budget's
    written: Mapping[str, Any]

    @property
    def wants_loss(self) -> bool:
        """Whether the rate follows the losses."""
        return issubclass(self.cls, ReduceLROnPlateau)

    def made(self, optimizer: Optimizer) -> LRScheduler:
        """A scheduler of this optimizer's rate."""
        return self.cls(
            optimizer,
            **{k: _nested_setting(v, optimizer) for k, v in self.settings.items()},
        )


def _nested_setting(value: Any, optimizer: Optimizer) -> Any:
    """A setting; where it names schedules itself, they are made."""
    if isinstance(value, Schedule):
        return value.made(optimizer)
    if isinstance(value, list):
        return [_nested_setting(each, optimizer) for each in value]
    return value


def read_schedule(given: Any, n_steps: int | None = None) -> Schedule:
    """The schedule that a suite asks for; ValueError says what is wrong with it.

    Where it wants a number of steps and the suite gives none, it has that of the budget.
    """
    if isinstance(given, str):
        given = {"use": given}
    if not isinstance(given, dict):
        raise ValueError(
            f"a schedule is a name or a mapping with the key 'use', not {given!r}"
        )
    use = given.get("use", "constant")
    if not isinstance(use, str):
        raise ValueError(f"use must be the name of a schedule, not {use!r}")
    written = {"use": use, **given}
    if use in SHAPES:
        course = _course(use, given, n_steps)
        return Schedule(LambdaLR, {"lr_lambda": course}, written)
    try:
        full = use if "." in use or ":" in use else f"{TORCHS}{use}"
        cls = find_class(full, LRScheduler, "schedule")
    except AbsentError:
        raise
    except PluginError as error:
        raise ValueError(f"{error}{did_you_mean(use, SHAPES)}") from error
    settings = {
        key: _read_inner(value) for key, value in given.items() if key != "use"
    }
    return Schedule(cls, _with_steps(use, cls, settings, n_steps), written)


def _with_steps(
    use: str, cls: type, settings: dict[str, Any], n_steps: int | None
) -> dict[str, Any]:
    """The settings of a class, with the budget's steps where it wants a number of them."""
    wanted = next(
        (key for key in STEP_KEYS if key in signature(cls).parameters), None
    )
    if wanted is None:
        return settings
    if wanted not in settings and "epochs" not in settings:
        return {**settings, wanted: _n_schedule_steps(n_steps, use, wanted)}
    length = settings.get(wanted)
    if wanted != "total_steps" or n_steps is None or not isinstance(length, int):
        return settings
    if length < n_steps:
        raise ValueError(
            f"the schedule {use} ends after {length} steps, and the budget has {n_steps}"
        )
    return settings


def _n_schedule_steps(n_steps: int | None, use: str, key: str) -> int:
    if n_steps is None:
        way = f"{{use: {use}, {key}: NUMBER}}"
        raise ValueError(
            f"{use} needs its {key}, and no budget says them here: {way}"
        )
    return n_steps


def _read_inner(value: Any) -> Any:
    if isinstance(value, dict) and "use" in value:
        return read_schedule(value)
    if isinstance(value, list):
        return [_read_inner(each) for each in value]
    return value


def _course(shape: str, given: Mapping[str, Any], n_steps: int | None) -> Course:
    for key in given:
        if key not in KEYS:
            raise ValueError(
                f"unknown key {key!r} of the schedule {shape}{did_you_mean(key, KEYS)}"
            )
    warmup = given.get("warmup", 0)
    end = given.get("end", 0.0)
    if not (type(warmup) is int and warmup >= 0):
        raise ValueError(f"warmup must be a whole number of steps, not {warmup!r}")
    if shape == "constant":
        if not warmup:
            raise ValueError(
                "a constant schedule says nothing without warmup: {warmup: STEPS}"
            )
        return Course(shape, warmup=warmup)
    steps = given.get("steps")
    if steps is None:  # a short budget may end within the warmup
        steps = max(_n_schedule_steps(n_steps, shape, "steps"), warmup + 1)
    if not (type(steps) is int and steps > warmup):
        raise ValueError(
            f"steps must be a whole number above warmup {warmup}, not {steps!r}"
        )
    if not (isinstance(end, int | float) and 0 <= end <= 1):
        raise ValueError(
            f"end must be a share of the rate between 0 and 1, not {end!r}"
        )
    return Course(shape, steps, warmup, float(end))
