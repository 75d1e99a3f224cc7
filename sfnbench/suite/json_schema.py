"""The JSON schema of suites, by which editors complete and check them."""

from __future__ import annotations

from typing import Any

from .. import experiments
from ..members import registry
from .reading import DEFAULT
from .schema import PROFILES

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> dict[str, Any]:
    """One schema for the suites of all experiments; `sfnbench validate` checks more than it can."""
    definitions: dict[str, Any] = {}
    branches = []
    for name in experiments.names():
        schema = experiments.find(name).keys.Keys.model_json_schema(
            ref_template=f"#/$defs/{name}.{{model}}"
        )
        inner = schema.pop("$defs", {})
        definitions |= {f"{name}.{model}": each for model, each in inner.items()}
        definitions[name] = _suite_schema(schema, name)
        branches.append({"if": _is(name), "then": {"$ref": f"#/$defs/{name}"}})
    return {
        "$schema": DIALECT,
        "title": "A suite of sfnbench",
        "type": "object",
        "allOf": branches,
        "$defs": definitions,
    }


# -- inside ----------------------------------------------------------------------------------------


def _suite_schema(schema: dict[str, Any], name: str) -> dict[str, Any]:
    """The keys of an experiment, its entries by the names of members, and its profiles."""
    keys = schema["properties"]
    for kind in registry.KINDS:
        if f"{kind}s" in keys:
            keys[f"{kind}s"] = {"type": "array", "items": _entry_schema(kind)}
    within = {key: each for key, each in keys.items() if key != "experiment"}
    profile = {
        "type": "object",
        "properties": within,
        "additionalProperties": False,
    }
    keys[PROFILES] = {"type": "object", "additionalProperties": profile}
    return schema | {"title": f"A suite of {name}"}


def _entry_schema(kind: registry.Kind) -> dict[str, Any]:
    """A name, or a mapping with the key ``use``; names of packages have a dot."""
    names = [
        name
        for name, each in registry.members(kind).items()
        if each.where == "shipped"
    ]
    use = {"anyOf": [{"enum": names}, {"type": "string"}]}
    entry = {
        "type": "object",
        "required": ["use"],
        "properties": {"use": use, "label": {"type": "string"}},
    }
    return {"anyOf": [use, entry]}


def _is(name: str) -> dict[str, Any]:
    """Whether a suite is of an experiment; one that names none is a race."""
    found: dict[str, Any] = {"properties": {"experiment": {"const": name}}}
    if name == DEFAULT:
        return found
    return {**found, "required": ["experiment"]}
