"""Grids: a parameter given as several values, each for a member of its own.

Written ``lr: {grid: [0.01, 0.1]}``.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Mapping

from .yaml_nodes import Issue, Node, Note

MAX_COMBINATIONS = 1000


def read_grids(params: Node, note: Note) -> dict[str, list[Node]]:
    """The values of each parameter that is a grid; none where the grid is wrong."""
    grids = {
        name: _read_grid(name, node, note)
        for name, node in params.content.items()
        if node.is_mapping and "grid" in node.content
    }
    n_combinations = math.prod(max(len(values), 1) for values in grids.values())
    if n_combinations > MAX_COMBINATIONS:
        message = f"these grids have {n_combinations} combinations, more than {MAX_COMBINATIONS}"
        note(Issue(params.at, message))
        return {name: values[:1] for name, values in grids.items()}
    return grids


def combinations(grids: Mapping[str, list[Node]]) -> Iterator[dict[str, Node]]:
    """Each combination of the grids' values, the last grid fastest."""
    for values in itertools.product(*grids.values()):
        yield dict(zip(grids, values, strict=True))


def suffix(values: Mapping[str, Node]) -> str:
    """The end that a combination adds to a label, such as `` lr=0.1``."""
    return "".join(f" {name}={_written(node)}" for name, node in values.items())


def _read_grid(name: str, node: Node, note: Note) -> list[Node]:
    values = node.content["grid"]
    for key in node.content:
        if key != "grid":
            note(Issue(node.keys[key], f"unknown key {key!r} beside grid"))
    if not values.is_list:
        note(Issue(values.at, f"grid must be a list, not {values.described}"))
        return []
    if not values.content:
        note(Issue(values.at, f"grid is empty: {name} needs at least one value"))
    distinct: dict[str, Node] = {}
    for value in values.content:
        if distinct.setdefault(_canonical_value(value), value) is not value:
            note(Issue(value.at, f"the grid of {name} has {_written(value)} twice"))
    return list(distinct.values())


def _canonical_value(node: Node) -> str:
    """Equal for values that are the same number, however they are written."""
    is_number = isinstance(node.content, int | float) and not isinstance(
        node.content, bool
    )
    if is_number:
        return repr(float(node.content))
    return json.dumps(node.plain())


def _written(node: Node) -> str:
    is_word = isinstance(node.content, str) and node.content.isprintable()
    if is_word:
        return str(node.content)
    return json.dumps(node.plain())
