"""Pydantic's errors as issues of a suite: in plain words, each where it stands."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from pydantic import ValidationError

from ..words import ErrorReader, KeyPath, Mistake
from .yaml_nodes import Issue, Mark, Node


def to_issues(
    error: ValidationError,
    root: Node,
    known_keys: Callable[[KeyPath], Iterable[str]],
    owner: str = "",
    list_hint: str = "",
) -> list[Issue]:
    """Everything that pydantic found wrong with the plain value of a node.

    `known_keys` gives the keys of the mapping at a path; `owner` and `list_hint` are as in
    `sfnbench.words.ErrorReader`.
    """
    reader = ErrorReader(
        root.plain(),
        written=lambda path: root.follow(path).described,
        known_keys=known_keys,
        owner=owner,
        list_hint=list_hint,
    )
    return [
        Issue(_position(root, each), each.message)
        for each in reader.mistakes(error)
    ]


def _position(root: Node, mistake: Mistake) -> Mark:
    if not mistake.is_key:
        return root.follow(mistake.path).at
    parent = root.follow(mistake.path[:-1])
    return parent.keys.get(str(mistake.path[-1]), root.at)
