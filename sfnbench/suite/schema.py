"""The keys of an experiment beside the tree of a suite: which are known, and which are marked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import UnionType
from typing import (
    Annotated,
    Any,
    NamedTuple,
    TypeGuard,
    Union,
    get_args,
    get_origin,
)

from pydantic import BaseModel

from ..experiments.keys import MemberEntry, MetricName
from ..words import KeyPath
from .yaml_nodes import Node

PROFILES = "profiles"  # a key of every suite, of no experiment


class Marked(NamedTuple):
    """A value whose key is marked as an entry or as the name of a metric."""

    marker: MemberEntry | MetricName
    node: Node
    path: KeyPath


def known_keys(schema: type[BaseModel], path: KeyPath) -> list[str]:
    """The keys that the mapping at a path of a suite may have."""
    if not path:
        return [*schema.model_fields, PROFILES]
    models = [schema]
    for part in path:
        if isinstance(part, str):  # the places of a list are all alike
            below = [
                each.model_fields[part]
                for each in models
                if part in each.model_fields
            ]
            models = [
                model for field in below for model in _models(field.annotation)
            ]
    return [name for model in models for name in model.model_fields]


def marked(
    schema: type[BaseModel], tree: Node, path: KeyPath = ()
) -> Iterator[Marked]:
    """Every value of a tree whose key is marked."""
    for name, field in schema.model_fields.items():
        node = tree.child(name)
        if node is not None:
            yield from _at_key(
                field.annotation, field.metadata, node, (*path, name)
            )


def _at_key(
    annotation: Any, metadata: Iterable[Any], node: Node, path: KeyPath
) -> Iterator[Marked]:
    for marker in metadata:
        if isinstance(marker, MemberEntry | MetricName):
            yield Marked(marker, node, path)
    origin = get_origin(annotation)
    inner = get_args(annotation)
    if _is_model(annotation):
        if node.is_mapping:
            yield from marked(annotation, node, path)
    elif origin is Annotated:
        yield from _at_key(inner[0], inner[1:], node, path)
    elif origin in (Union, UnionType):
        for branch in inner:
            if _is_model(branch) == node.is_mapping:
                yield from _at_key(branch, (), node, path)
    elif origin is tuple and node.is_list:
        for place, item in enumerate(node.content):
            yield from _at_key(inner[0], (), item, (*path, place))


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if _is_model(annotation):
        yield annotation
    for inner in get_args(annotation):
        yield from _models(inner)


def _is_model(annotation: Any) -> TypeGuard[type[BaseModel]]:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
