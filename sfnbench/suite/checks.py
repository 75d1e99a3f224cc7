"""Checks of a suite's keys against each other, beyond the type and the range of each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from pydantic import BaseModel

from ..errors import PluginError
from ..experiments.keys import MetricName
from ..members import registry
from ..members.registry import Member
from ..records import Spec
from ..words import did_you_mean
from .ranges import SCALES, ranges_of
from .schema import Marked
from .yaml_nodes import Issue, Mark, Node, items

# seeds from here on are for tuning: no result is made with the seeds that chose its parameters
TUNING_SEEDS = 10**9


def repeated_seeds(tree: Node) -> Iterator[Issue]:
    """An issue for each seed that is given twice."""
    seen: set[int] = set()
    for node in items(tree.child("seeds")):
        if type(node.content) is int:  # not True
            if node.content in seen:
                yield Issue(node.at, f"seed {node.content} is given twice")
            seen.add(node.content)


def wrong_metrics(
    places: Iterable[Marked], known: Mapping[str, Member | None] | None
) -> Iterator[Issue]:
    """An issue for each metric that is unknown, broken or given twice in a list.

    `known` has metrics as members and a problem's own measures as None. It is itself None where a
    problem is unknown.
    """
    seen: set[tuple[str | int, str]] = set()
    for marker, node, path in places:
        name = node.content
        if not isinstance(marker, MetricName) or not isinstance(name, str):
            continue
        if known is not None and name not in known:
            yield Issue(
                node.at, f"unknown metric {name!r}{did_you_mean(name, known)}"
            )
        elif known and (member := known[name]):
            try:
                registry.load(member)
            except PluginError as error:
                yield Issue(node.at, str(error))
        if (path[0], name) in seen:
            yield Issue(node.at, f"metric {name!r} is given twice")
        seen.add((path[0], name))


def wrong_tuning(
    tree: Node, schema: type[BaseModel], methods: Iterable[Spec]
) -> Iterator[Issue]:
    """Issues of ranges without `tune`, of `tune` without ranges, and of seeds that belong to it."""
    tune = tree.child("tune")
    ranges = list(_range_marks(tree))
    if tune is None or tune.content is None:
        reason = "the key 'tune' has to say how to find its value"
        if "tune" not in schema.model_fields:
            reason = "this experiment does not tune: give a value"
        for name, at in ranges:
            yield Issue(at, f"{name} is a range: {reason}")
        return
    if not ranges and not any(spec.is_open for spec in methods):
        scales = ", ".join(f"{{{scale}: [...]}}" for scale in SCALES)
        message = f"nothing to tune: no optimizer has a range ({scales})"
        yield Issue(tree.keys["tune"], message)
    for node in items(tree.child("seeds")):
        if type(node.content) is int and node.content >= TUNING_SEEDS:
            message = f"seeds from {TUNING_SEEDS} on are for tuning alone, not {node.text}"
            yield Issue(node.at, message)


def _range_marks(tree: Node) -> Iterator[tuple[str, Mark]]:
    """The parameters of optimizers that are ranges, and where."""
    for entry in items(tree.child("optimizers")):
        if entry.is_mapping:
            for name in ranges_of(entry):
                yield name, entry.keys[name]
