"""What pydantic found wrong, in plain words.

Which key, what was expected, what was given, where it was written.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from pydantic import ValidationError

from ..words import did_you_mean
from .yaml_nodes import Issue, Mark, Node

Path = tuple[str | int, ...]  # keys and places from the top of a tree

_EXPECTED = {
    "float_type": "a number",
    "int_type": "a whole number",
    "bool_type": "true or false",
    "string_type": "text",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "dataclass_type": "a mapping",
    "none_required": "null",
}
_BOUNDS = {
    "greater_than": ("greater than", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("less than", "lt"),
    "less_than_equal": ("at most", "le"),
}
_UNKNOWN_KEY = ("extra_forbidden", "unexpected_keyword_argument")


@dataclass(frozen=True)
class Fault:
    """One of pydantic's errors, its location split into keys of the tree and the branches of unions it was found in."""

    type: str
    context: dict[str, Any]
    message: str
    path: Path
    branches: tuple[tuple[int, str], ...]  # depth in the tree, and pydantic's name of the branch

    @property
    def misses_type(self) -> bool:
        """Whether the value was of another type than this branch wanted."""
        return self.type in _EXPECTED or self.type == "literal_error"


@dataclass(frozen=True)
class Wording:
    """Puts into words what is wrong with one tree."""

    root: Node
    known_keys: Callable[[Path], Iterable[str]]  # the keys allowed in the mapping at a path
    owner: str = ""  # whose keys they are: " of sfn"
    list_hint: str = ""  # said where a list was given in place of a single value

    def issues(self, error: ValidationError) -> list[Issue]:
        """Everything that is wrong, the branches of a union merged into one message."""
        faults = [
            self._fault(item) for item in error.errors(include_url=False, include_input=False)
        ]
        return [self._issue(group) for group in _settle(faults) if not self._is_echo(group[0])]

    def _is_echo(self, fault: Fault) -> bool:
        """Whether a list is called too short only because what is wrong in it was taken out."""
        given = self._node(fault.path).content
        return (
            fault.type == "too_short"
            and isinstance(given, list)
            and len(given) >= fault.context["min_length"]
        )

    def _fault(self, item: Any) -> Fault:
        node: Node | None = self.root
        path: list[str | int] = []
        branches = []
        location = item["loc"][:-1] if item["type"] == "missing" else item["loc"]
        for part in location:
            below = node.child(part) if node else None
            if below is None:
                branches.append((len(path), str(part)))
            else:
                node = below
                path.append(part)
        path += item["loc"][len(location) :]
        return Fault(item["type"], item.get("ctx", {}), item["msg"], tuple(path), tuple(branches))

    def _issue(self, faults: list[Fault]) -> Issue:
        fault = faults[0]
        if fault.type in _UNKNOWN_KEY:
            key = str(fault.path[-1])
            hint = did_you_mean(key, self.known_keys(fault.path[:-1]))
            return Issue(self._key(fault.path), f"unknown key {key!r}{self.owner}{hint}")
        if fault.type == "missing":
            parent = self._node(fault.path[:-1])
            if isinstance(fault.path[-1], int):
                return Issue(parent.at, f"{_subject(fault.path[:-1])} has too few values")
            return Issue(parent.at, f"missing key {fault.path[-1]!r}{self.owner}")
        node = self._node(fault.path)
        subject = _subject(fault.path)
        if fault.type in ("value_error", "assertion_error"):
            reason = str(fault.context.get("error", fault.message))
            return Issue(node.at, f"{subject}: {reason}" if fault.path else reason)
        return Issue(
            node.at, f"{subject or 'it'} {_complaint(faults, node)}{self._hint(faults, node)}"
        )

    def _hint(self, faults: list[Fault], node: Node) -> str:
        expected = {_EXPECTED.get(fault.type) for fault in faults}
        if (
            (node.is_list or node.is_mapping)
            and not {"a list", "a mapping"} & expected
            and faults[0].misses_type
        ):
            return self.list_hint
        if isinstance(node.content, int | float) and "text" in expected:
            return " (put it in quotes)"
        return ""

    def _node(self, path: Path) -> Node:
        node = self.root
        for part in path:
            node = node.child(part) or node
        return node

    def _key(self, path: Path) -> Mark:
        return self._node(path[:-1]).keys.get(str(path[-1]), self.root.at)


def describe(node: Node) -> str:
    """A value as its author will recognise it."""
    if node.is_mapping:
        return "a mapping"
    if node.is_list:
        return "a list"
    if node.content is None:
        return node.text or "nothing"
    return repr(node.content[:60]) if isinstance(node.content, str) else node.text


def join(alternatives: Iterable[str]) -> str:
    """The alternatives, each once, as ``a, b or c``."""
    *most, last = dict.fromkeys(alternatives)
    return f"{', '.join(most)} or {last}" if most else last


def _settle(faults: list[Fault]) -> list[list[Fault]]:
    """Faults to be told apart.

    Of each union, those of the branch whose type fits, or of all branches if none does.
    """
    settled = [[fault] for fault in faults if not fault.branches]
    for path, group in groupby((fault for fault in faults if fault.branches), key=_union):
        members = list(group)
        branches = [
            list(branch) for _, branch in groupby(members, key=lambda fault: fault.branches[0])
        ]
        fitting = [
            branch
            for branch in branches
            if not any(f.misses_type and f.path == path for f in branch)
        ]
        settled += _settle([_below(fault) for fault in fitting[0]]) if fitting else [members]
    return settled


def _union(fault: Fault) -> Path:
    return fault.path[: fault.branches[0][0]]


def _below(fault: Fault) -> Fault:
    return Fault(fault.type, fault.context, fault.message, fault.path, fault.branches[1:])


def _subject(path: Path) -> str:
    name = next((part for part in reversed(path) if isinstance(part, str)), "")
    return f"a value of {name}" if path and isinstance(path[-1], int) else name


def _complaint(faults: list[Fault], node: Node) -> str:
    fault, given = faults[0], describe(node)
    if all(each.misses_type for each in faults):
        options = [option for each in faults for option in _options(each)]
        near = (
            did_you_mean(node.content, options) if isinstance(node.content, str) and options else ""
        )
        expected = join(alternative for each in faults for alternative in _alternatives(each))
        return f"must be {expected}, not {given}{near if 'did you mean' in near else ''}"
    if fault.type in _BOUNDS:
        words, key = _BOUNDS[fault.type]
        return f"must be {words} {fault.context[key]:g}, not {given}"
    if fault.type in ("too_short", "too_long"):
        n_given = fault.context["actual_length"]
        if n_given == 0:
            return "is empty"
        bound, key = (
            ("least", "min_length") if fault.type == "too_short" else ("most", "max_length")
        )
        return f"must have at {bound} {fault.context[key]} values, not {n_given}"
    return f"is wrong: {fault.message[0].lower()}{fault.message[1:]}"


def _alternatives(fault: Fault) -> list[str]:
    if fault.type == "literal_error":
        return re.split(r", | or ", str(fault.context["expected"]))
    return [_EXPECTED[fault.type]]


def _options(fault: Fault) -> list[str]:
    return re.findall(r"'([^']*)'", str(fault.context.get("expected", "")))
