"""The names that are asked of a suite, checked before torch is loaded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from .. import experiments
from ..errors import SuiteError
from ..members import registry
from ..members.registry import Kind
from ..words import did_you_mean
from .files import locate, read_suite
from .schema import PROFILES
from .yaml_nodes import Node, items, parse


def check_names(
    path_or_name: str | Path,
    profile: str | None = None,
    optimizers: Iterable[str] = (),
    problems: Iterable[str] = (),
    n_seeds: int | None = None,
) -> None:
    """SuiteError with a line for each name that is not known, and for less than one seed.

    A suite with mistakes of its own passes: to read it in full says them all.
    """
    path = locate(path_or_name)
    root, issues = parse(read_suite(path))
    if root is None or issues or not root.is_mapping:
        return
    wrong = [*_wrong_profile(path, root, profile)]
    wrong += _unknown(root, _method(root), "optimizers", optimizers)
    wrong += _unknown(root, "problem", "problems", problems)
    if n_seeds is not None and n_seeds < 1:
        wrong.append(f"seeds must be at least 1, not {n_seeds}")
    if wrong:
        raise SuiteError.of(wrong)


# -- inside ----------------------------------------------------------------------------------------


def _wrong_profile(path: Path, root: Node, profile: str | None) -> Iterator[str]:
    node = root.child(PROFILES)
    known = node.content if node and node.is_mapping else {}
    if profile is not None and profile not in known:
        hint = " (it has none)"
        if known:
            hint = did_you_mean(profile, known)
        yield f"{path}: unknown profile {profile!r}{hint}"


def _method(root: Node) -> Kind:
    """The kind of member that the suite's experiment compares."""
    node = root.child("experiment")
    if node is None or node.content not in experiments.names():
        return "optimizer"
    kind: Kind = experiments.find(node.content).keys.Keys.method
    return kind


def _unknown(
    root: Node, kind: Kind, key: str, asked: Iterable[str]
) -> Iterator[str]:
    asked = [name for name in asked if not registry.is_stock(name)]
    if not asked:
        return
    labels = {*_labels(root, key), *_labels(root, f"{kind}s")}
    known = {*registry.members(kind), *labels}
    for name in asked:
        is_of_grid = any(name.startswith(f"{label} ") for label in labels)
        if name not in known and not is_of_grid:
            hint = did_you_mean(name, known, f"sfnbench list {kind}s")
            yield f"unknown {kind} {name!r}{hint}"


def _labels(root: Node, key: str) -> Iterator[str]:
    """The names and labels of entries, those of profiles included."""
    profiles = root.child(PROFILES)
    for place in (root, *(profiles.children if profiles else ())):
        for entry in items(place.child(key)):
            for node in (entry, entry.child("use"), entry.child("label")):
                if node is not None and isinstance(node.content, str):
                    yield node.content
