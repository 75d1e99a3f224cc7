"""Entries of a suite that name an optimizer of torch, or one like it, read and checked.

Beside the class's own parameters an entry may have

    batch_size: 10                              examples of each minibatch
    base: {use: torch.optim.SGD, lr: 0.1}       the optimizer inside a wrapper
    schedule: {use: cosine, steps: 500}         of the learning rate, see `schedules`
    clip: 1.0                                   the longest gradient that is taken as it is
    groups: {vectors: {weight_decay: 0}}        settings of some tensors, or another optimizer

A group's key is ``matrices``, ``vectors`` or a pattern for names, such as ``"*.bias"``; a tensor
belongs to the first that fits, and otherwise to the entry itself. A parameter of the class that has
one of these names goes first.
"""

from __future__ import annotations

import fnmatch
import functools
import inspect
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch.optim import Optimizer

from ..errors import PluginError, SfnbenchError
from ..words import did_you_mean
from .classes import find_class
from .schedules import Schedule, read_schedule

BATCH_SIZE = "batch_size"
OWN_KEYS = (BATCH_SIZE, "base", "schedule", "clip", "groups")
KINDS = ("matrices", "vectors")
MODELS = ("model", "module", "net", "network")

# What others call it, and what it is called here.
ELSEWHERE = {
    "clip_grad_norm": "gradients are clipped by clip: 1.0",
    "no_decay": "write groups: {vectors: {weight_decay: 0}}",
}

# Their updates take each number by itself, so that seeds may share one object and its tensors.
ELEMENTWISE = frozenset(
    getattr(torch.optim, name)
    for name in (
        "SGD",
        "Adam",
        "AdamW",
        "Adamax",
        "NAdam",
        "RAdam",
        "Adagrad",
        "Adadelta",
        "RMSprop",
        "Rprop",
        "ASGD",
    )
)


class Fault(NamedTuple):
    """What is wrong with an entry: the keys down to it, none for the name, and a message."""

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


@dataclass(frozen=True)
class Group:
    """Some tensors, with settings of their own or another optimizer."""

    selector: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    other: Entry | None = None

    def takes(self, name: str, n_dims: int) -> bool:
        """Whether a tensor of that name and so many dimensions belongs here."""
        if self.selector in KINDS:
            return (n_dims >= 2) == (self.selector == "matrices")
        return fnmatch.fnmatchcase(name, self.selector)


@dataclass(frozen=True)
class Entry:
    """An optimizer as a suite names it."""

    use: str
    cls: type[Optimizer]
    roles: Roles
    own: Mapping[str, Any]  # the class's own parameters
    base: Entry | None = None
    groups: tuple[Group, ...] = ()
    schedule: Schedule | None = None
    clip: tuple[str, float] | None = None  # by norm or by value, and the bound

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


def read_entry(use: str, params: Mapping[str, Any]) -> Entry:
    """The entry of that name and parameters; EntryError has all that is wrong with it."""
    return _read(use, json.dumps(params, sort_keys=True))


@functools.lru_cache(maxsize=1024)
def _read(use: str, params: str) -> Entry:
    reader = _Reader()
    entry = reader.entry(use, json.loads(params), ())
    if entry is None or reader.faults:
        raise EntryError(reader.faults)
    return entry


class _Reader:
    """Reads entries and notes their faults."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []

    def entry(
        self, use: Any, params: dict[str, Any], path: tuple[str, ...]
    ) -> Entry | None:
        """The entry at a path of keys; None where even its class is not to be had."""
        try:
            cls = find_class(use, Optimizer, "optimizer")
        except PluginError as error:
            self._note((*path, "use") if path else (), str(error))
            return None
        known, is_open = _signature(cls)
        roles = _roles(cls, known)
        given = {**params}
        words = {
            key: given.pop(key) for key in OWN_KEYS if key in given and key not in known
        }
        base_key = "base" if "base" in words else roles.base
        inner = words.get("base", given.pop(roles.base, None) if roles.base else None)
        offered = {*known} - {roles.tensors, roles.model}
        extra = {}
        if (
            inner is not None and is_open
        ):  # a wrapper hands on what it does not know itself
            extra = {key: given.pop(key) for key in list(given) if key not in offered}
        base = None
        if inner is not None:
            base = self._nested(inner, extra, (*path, base_key or "base"), use, roles)
        self._check_own(use, given, known, offered, path)
        return Entry(
            use,
            cls,
            roles,
            given,
            base,
            self._groups(use, cls, words.get("groups"), path),
            self._schedule(words.get("schedule"), path),
            self._clip(words.get("clip"), path),
        )

    def _note(self, path: tuple[str, ...], message: str) -> None:
        self.faults.append(Fault(path, message))

    def _nested(
        self,
        given: Any,
        extra: dict[str, Any],
        path: tuple[str, ...],
        use: str,
        roles: Roles,
    ) -> Entry | None:
        if roles.base is None:
            self._note(path, f"{use} has no optimizer inside: leave {path[-1]} out")
            return None
        if isinstance(given, str):
            given = {"use": given}
        if not isinstance(given, dict) or not isinstance(given.get("use"), str):
            example = "{use: torch.optim.SGD, lr: 0.1}"
            self._note(
                path,
                f"{path[-1]} must be an optimizer with the key 'use', as in {example}",
            )
            return None
        settings = {key: value for key, value in given.items() if key != "use"}
        for key in OWN_KEYS:
            if key in settings and key != "base":
                self._note(
                    (*path, key), f"unknown key {key!r}: it belongs beside {path[-1]}"
                )
        return self.entry(given["use"], {**extra, **settings}, path)

    def _check_own(
        self,
        use: str,
        given: Mapping[str, Any],
        known: Mapping[str, inspect.Parameter],
        offered: set[str],
        path: tuple[str, ...],
    ) -> None:
        for name, value in given.items():
            at = (*path, name)
            if name not in offered:
                hint = ELSEWHERE.get(name)
                hint = (
                    f": {hint}" if hint else did_you_mean(name, {*offered, *OWN_KEYS})
                )
                self._note(at, f"unknown key {name!r}{hint}")
            elif isinstance(value, dict) and "schedule" in value:
                self._note(
                    at, f"{name} must be a number: its schedule is the key 'schedule'"
                )
            # torch itself looks at no types: LBFGS would remember ever more for a history of 7.5
            elif known[name].annotation in (int, "int") and type(value) is not int:
                self._note(at, f"{name} must be a whole number, not {value!r}")

    def _groups(
        self, use: str, cls: type[Optimizer], given: Any, path: tuple[str, ...]
    ) -> tuple[Group, ...]:
        if given is None:
            return ()
        at = (*path, "groups")
        if not isinstance(given, dict):
            example = "{vectors: {weight_decay: 0}}"
            self._note(
                at,
                f"groups must map tensors to settings, as in {example}, not {given!r}",
            )
            return ()
        return tuple(
            self._group(
                use, cls, selector, {"use": body} if isinstance(body, str) else body, at
            )
            for selector, body in given.items()
        )

    def _group(
        self,
        use: str,
        cls: type[Optimizer],
        selector: str,
        body: Any,
        path: tuple[str, ...],
    ) -> Group:
        at = (*path, selector)
        if not isinstance(body, dict):
            self._note(
                at, f"a group has settings, or an optimizer with 'use', not {body!r}"
            )
            return Group(selector)
        settings = {key: value for key, value in body.items() if key != "use"}
        if "use" in body:
            for key in (BATCH_SIZE, "groups", "clip"):
                if key in settings:
                    self._note(
                        (*at, key), f"unknown key {key!r}: it belongs beside groups"
                    )
            return Group(selector, other=self.entry(body["use"], settings, at))
        words = _words(cls)  # type: ignore[arg-type]  # a class has a hash
        for key in settings:
            if key not in words:
                hint = did_you_mean(key, _signature(cls)[0])
                self._note((*at, key), f"unknown key {key!r}{hint}")
        return Group(selector, settings)

    def _schedule(self, given: Any, path: tuple[str, ...]) -> Schedule | None:
        if given is None:
            return None
        try:
            return read_schedule(given)
        except ValueError as error:
            self._note((*path, "schedule"), str(error))
            return None

    def _clip(self, given: Any, path: tuple[str, ...]) -> tuple[str, float] | None:
        if given is None:
            return None
        how, bound = "norm", given
        if isinstance(given, dict) and len(given) == 1:
            ((how, bound),) = given.items()
        is_number = isinstance(bound, int | float) and not isinstance(bound, bool)
        if how in ("norm", "value") and is_number and bound > 0:
            return how, float(bound)
        expected = "a positive number, {norm: NUMBER} or {value: NUMBER}"
        self._note((*path, "clip"), f"clip must be {expected}, not {given!r}")
        return None


def _signature(cls: type) -> tuple[dict[str, inspect.Parameter], bool]:
    """The parameters that a class names, and whether it takes others besides."""
    parameters = inspect.signature(cls).parameters
    named = {
        n: p
        for n, p in parameters.items()
        if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)
    }
    return named, any(p.kind is p.VAR_KEYWORD for p in parameters.values())


def _roles(cls: type, known: Mapping[str, inspect.Parameter]) -> Roles:
    model = next((name for name in known if name in MODELS), None)
    base = next(
        (name for name in known if name == "base" or name.endswith("optimizer")), None
    )
    tensors = next((name for name in known if name in ("params", "parameters")), None)
    first = next(iter(known), None)
    if tensors is None and first not in (model, base):
        tensors = first
    made = base is not None and known[base].annotation in (Optimizer, "Optimizer")
    return Roles(
        tensors, model, base, base is not None and tensors is not None and not made
    )


@functools.lru_cache(maxsize=256)
def _words(cls: type) -> frozenset[str]:
    """Every key that the class may look for in a group: its parameters and its source's texts."""
    import ast

    found = {*_signature(cls)[0]}
    for each in cls.__mro__:
        if each in (Optimizer, object):
            continue
        try:
            tree = ast.parse(inspect.getsource(inspect.getmodule(each)))  # type: ignore[arg-type]
        except (OSError, TypeError):
            continue
        texts = (
            node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)
        )
        found.update(text for text in texts if isinstance(text, str))
    return frozenset(found)
