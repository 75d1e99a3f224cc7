"""An optimizer of torch as a suite names it: plain data, and the same data written out again."""

from __future__ import annotations

import fnmatch
import inspect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch.optim import Optimizer

from ..errors import SfnbenchError
from .schedules import Schedule

TENSOR_KINDS = ("matrices", "vectors")

# Their updates take each number by itself, so that seeds may share one object and its tensors.
ELEMENTWISE = frozenset(
    getattr(torch.optim, name)
    for name in (
        *("SGD", "Adam", "AdamW", "Adamax", "NAdam", "RAdam"),
        *("Adagrad", "Adadelta", "RMSprop", "Rprop", "ASGD"),
    )
)


class Fault(NamedTuple):
    """A fault of an entry: the keys down to it, none for the name, and a message."""

    path: tuple[str, ...]
    message: str


class EntryError(SfnbenchError):
    """An entry that cannot be read, with all its faults."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("; ".join(fault.message for fault in faults))
        self.faults = list(faults)


@dataclass(frozen=True)
class Roles:
    """Which parameters of a class take the tensors, a module of them, and an optimizer inside."""

    tensors: str | None
    model: str | None
    base: str | None
    wants_class: bool  # the optimizer inside as what makes it, instead of made

    @property
    def filled(self) -> set[str | None]:
        """The parameters that no suite gives: sfnbench does."""
        return {self.tensors, self.model, self.base}


@dataclass(frozen=True)
class ParameterGroup:
    """Some tensors, with settings of their own or another optimizer."""

    selector: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    other: Entry | None = None
    is_implied: bool = False  # by the class; the suite says nothing

    def takes(self, name: str, n_dims: int) -> bool:
        """Whether a tensor of that name and so many dimensions belongs here."""
        if self.selector in TENSOR_KINDS:
            return (n_dims >= 2) == (self.selector == "matrices")
        return fnmatch.fnmatchcase(name, self.selector)

    @property
    def written(self) -> dict[str, Any]:
        """As a suite may write it."""
        if self.other is None:
            return dict(self.settings)
        return {"use": self.other.use, **self.other.written}


@dataclass(frozen=True)
class Entry:
    """An optimizer as a suite names it."""

    use: str
    cls: type[Optimizer]
    roles: Roles
    own: Mapping[str, Any]  # the class's own parameters
    base: Entry | None = None
    groups: tuple[ParameterGroup, ...] = ()
    schedule: Schedule | None = None
    clip: tuple[str, float] | None = None  # by norm or by value, and the bound
    # parameters of the base, written beside it
    handed: frozenset[str] = frozenset()
    # keys by name, as the suite has them
    origins: Mapping[str, str] = field(default_factory=dict)

    def place(self, *path: str) -> tuple[str, ...]:
        """Where the suite has what stands under these keys."""
        origin = self.origins.get(path[0])
        return (origin,) if origin else path

    @property
    def others(self) -> tuple[Entry, ...]:
        """The optimizers of its groups."""
        return tuple(group.other for group in self.groups if group.other)

    @property
    def is_elementwise(self) -> bool:
        """Whether it takes every number by itself, so that seeds may share its tensors."""
        follows_loss = self.schedule is not None and self.schedule.wants_loss
        alone = self.cls in ELEMENTWISE and self.base is None and not follows_loss
        return alone and all(other.is_elementwise for other in self.others)

    @property
    def written(self) -> dict[str, Any]:
        """All its parameters, with the class's defaults: one form, however a suite writes them."""
        known, _ = parameters_of(self.cls)
        found = {
            name: default_of(each)
            for name, each in known.items()
            if name not in self.roles.filled and is_plain(default_of(each))
        }
        for name, value in self.own.items():
            is_whole = type(value) is int and isinstance(found.get(name), float)
            found[name] = float(value) if is_whole else value
        if self.base is not None:
            inner = {"use": self.base.use, **self.base.written}
            found |= {
                name: inner.pop(name) for name in self.handed if name in inner
            }
            found["base"] = inner
        if self.schedule is not None:
            found["schedule"] = self.schedule.written
        if self.clip is not None:
            how, bound = self.clip
            found["clip"] = bound if how == "norm" else {how: bound}
        groups = {g.selector: g.written for g in self.groups if not g.is_implied}
        if groups:
            found["groups"] = groups
        return found


def parameters_of(cls: type) -> tuple[dict[str, inspect.Parameter], bool]:
    """The parameters that a class names, and whether it takes others besides."""
    parameters = inspect.signature(cls).parameters
    many = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    named = {n: p for n, p in parameters.items() if p.kind not in many}
    return named, any(p.kind is p.VAR_KEYWORD for p in parameters.values())


def default_of(parameter: inspect.Parameter) -> Any:
    """A parameter's default, its tuples as lists; the empty class where it has none."""
    return _as_lists(parameter.default)


def _as_lists(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return [_as_lists(each) for each in value]
    return value


def is_plain(value: Any) -> bool:
    """Whether a suite can write a value."""
    if isinstance(value, list):
        return all(map(is_plain, value))
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or type(value) in (bool, int, str)


def is_same(a: Any, b: Any) -> bool:
    """Whether two plain values are equal, a flag being no number."""
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(is_same, a, b))
    return a == b and isinstance(a, bool) == isinstance(b, bool)
