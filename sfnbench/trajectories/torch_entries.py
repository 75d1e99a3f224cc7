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

import functools
import inspect
import json
from collections.abc import Mapping
from typing import Any

from torch.optim import Optimizer

from ..errors import AbsentError, PluginError
from ..words import did_you_mean
from .classes import find_class
from .schedules import Schedule, read_schedule
from .spellings import SPELLINGS, respelled
from .torch_entry import (
    Entry,
    EntryError,
    Fault,
    ParameterGroup,
    Roles,
    default_of,
    is_same,
    parameters_of,
)

BATCH_SIZE = "batch_size"
OWN_KEYS = (BATCH_SIZE, "base", "schedule", "clip", "groups")
MODELS = ("model", "module", "net", "network")

# They are for matrices alone, and their authors leave the rest to AdamW
FOR_MATRICES = ("torch.optim.Muon", "pytorch_optimizer.SpectralSphere")
ADAMW = "torch.optim.AdamW"
# They treat the two apart themselves, and read a flag of each group
FLAGGED = frozenset(
    f"pytorch_optimizer.{name}"
    for name in (
        "AdaGO",
        "AdaMuon",
        "DistributedMuon",
        "Muon",
        "MuonClip",
        "NorMuon",
    )
)


def read_entry(
    use: str, params: Mapping[str, Any], n_steps: int | None = None
) -> Entry:
    """The entry of that name and parameters; EntryError has all that is wrong with it.

    `n_steps` are those of the budget, for schedules that say none.
    """
    return _read(use, json.dumps(params, sort_keys=True), n_steps)


@functools.lru_cache(maxsize=1024)
def _read(use: str, params: str, n_steps: int | None) -> Entry:
    reader = _Reader(n_steps)
    entry = reader.entry(use, json.loads(params), ())
    if entry is None or reader.faults:
        raise EntryError(reader.faults)
    return entry


class _Reader:
    """Reads entries and notes their faults."""

    def __init__(self, n_steps: int | None) -> None:
        self.faults: list[Fault] = []
        self._n_steps = n_steps

    def entry(
        self, use: Any, params: dict[str, Any], path: tuple[str, ...]
    ) -> Entry | None:
        """The entry at a path of keys; None where even its class is not to be had."""
        try:
            cls = find_class(use, Optimizer, "optimizer")
        except AbsentError:
            raise  # its other faults are read where it is installed
        except PluginError as error:
            self._note((*path, "use") if path else (), str(error))
            return None
        known, _ = parameters_of(cls)
        roles = _roles(cls, known)
        n_faults = len(self.faults)
        given, origins = respelled(
            params, known, lambda key, message: self._note((*path, key), message)
        )
        words = {
            key: given.pop(key)
            for key in OWN_KEYS
            if key in given and key not in known
        }
        base, handed = self._base(use, given, words, cls, path)
        self._check_own(use, given, known, {*known} - roles.filled, path)
        entry = Entry(
            use,
            cls,
            roles,
            _beside_defaults(given, known),
            base,
            self._groups(use, cls, words.get("groups"), path),
            self._schedule(words.get("schedule"), path),
            self._clip(words.get("clip"), path),
            handed,
            origins,
        )
        self._trace(n_faults, len(path), entry)
        return entry

    def _base(
        self,
        use: str,
        given: dict[str, Any],
        words: Mapping[str, Any],
        cls: type[Optimizer],
        path: tuple[str, ...],
    ) -> tuple[Entry | None, frozenset[str]]:
        """The optimizer inside, and the parameters that are taken out of `given` for it."""
        known, is_open = parameters_of(cls)
        roles = _roles(cls, known)
        key = "base" if "base" in words else roles.base
        inner = words.get(
            "base", given.pop(roles.base, None) if roles.base else None
        )
        if inner is None:
            return None, frozenset()
        extra = {}
        if is_open:  # a wrapper hands on what it does not know itself
            unknown = [key for key in given if key not in {*known} - roles.filled]
            extra = {key: given.pop(key) for key in unknown}
        base = self._nested(inner, extra, (*path, key or "base"), use, roles)
        return base, frozenset(extra)

    def _trace(self, first: int, depth: int, entry: Entry) -> None:
        """Put the faults from the first on where the suite has what they are about."""
        for i, (path, message) in enumerate(self.faults[first:], first):
            if len(path) > depth:
                path = (*path[:depth], *entry.place(*path[depth:]))
            self.faults[i] = Fault(path, message)

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
                    (*path, key),
                    f"unknown key {key!r}: it belongs beside {path[-1]}",
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
                hint = did_you_mean(name, {*offered, *OWN_KEYS, *SPELLINGS})
                self._note(at, f"unknown key {name!r}{hint}")
            elif isinstance(value, dict) and "schedule" in value:
                message = f"{name} must be a number: only lr has a schedule"
                self._note(at, message)
            # torch itself looks at no types: LBFGS would remember ever more for a history of 7.5
            elif known[name].annotation in (int, "int") and type(value) is not int:
                self._note(at, f"{name} must be a whole number, not {value!r}")

    def _groups(
        self, use: str, cls: type[Optimizer], given: Any, path: tuple[str, ...]
    ) -> tuple[ParameterGroup, ...]:
        if given is None:
            return _implied_groups(use)
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
                use,
                cls,
                selector,
                {"use": body} if isinstance(body, str) else body,
                at,
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
    ) -> ParameterGroup:
        at = (*path, selector)
        if not isinstance(body, dict):
            self._note(
                at,
                f"a group has settings, or an optimizer with 'use', not {body!r}",
            )
            return ParameterGroup(selector)
        settings = {key: value for key, value in body.items() if key != "use"}
        if "use" in body:
            for key in (BATCH_SIZE, "groups", "clip"):
                if key in settings:
                    self._note(
                        (*at, key), f"unknown key {key!r}: it belongs beside groups"
                    )
            return ParameterGroup(
                selector, other=self.entry(body["use"], settings, at)
            )
        words = _words(cls)  # type: ignore[arg-type]  # a class has a hash
        for key in settings:
            if key not in words:
                known, _ = parameters_of(cls)
                hint = did_you_mean(key, {*known} - _roles(cls, known).filled)
                self._note((*at, key), f"unknown key {key!r}{hint}")
        return ParameterGroup(selector, settings)

    def _schedule(self, given: Any, path: tuple[str, ...]) -> Schedule | None:
        if given is None:
            return None
        try:
            return read_schedule(given, self._n_steps)
        except ValueError as error:
            self._note((*path, "schedule"), str(error))
            return None

    def _clip(self, given: Any, path: tuple[str, ...]) -> tuple[str, float] | None:
        if given is None:
            return None
        how = "norm"
        bound = given
        if isinstance(given, dict) and len(given) == 1:
            ((how, bound),) = given.items()
        is_number = isinstance(bound, int | float) and not isinstance(bound, bool)
        if how in ("norm", "value") and is_number and bound > 0:
            return how, float(bound)
        expected = "a positive number, {norm: NUMBER} or {value: NUMBER}"
        self._note((*path, "clip"), f"clip must be {expected}, not {given!r}")
        return None


def _beside_defaults(
    given: Mapping[str, Any], known: Mapping[str, inspect.Parameter]
) -> dict[str, Any]:
    """The parameters that differ from the class's defaults."""
    return {
        name: value
        for name, value in given.items()
        if name not in known or not is_same(value, default_of(known[name]))
    }


def _implied_groups(use: str) -> tuple[ParameterGroup, ...]:
    """The groups of a class that is for matrices, or needs a flag for them."""
    name = use.replace(":", ".")
    if name in FOR_MATRICES:
        rest = _read(ADAMW, "{}", None)
        return (ParameterGroup("vectors", other=rest, is_implied=True),)
    if name in FLAGGED:
        return (
            ParameterGroup("matrices", {"use_muon": True}, is_implied=True),
            ParameterGroup("vectors", {"use_muon": False}, is_implied=True),
        )
    return ()


def _roles(cls: type, known: Mapping[str, inspect.Parameter]) -> Roles:
    model = next((name for name in known if name in MODELS), None)
    base = next(
        (name for name in known if name == "base" or name.endswith("optimizer")),
        None,
    )
    tensors = next(
        (name for name in known if name in ("params", "parameters")), None
    )
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

    found = {*parameters_of(cls)[0]}
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
