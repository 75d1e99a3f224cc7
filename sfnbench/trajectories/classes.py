"""Classes by their names in a suite: ``package.module.Class`` or ``package.module:Class``."""

from __future__ import annotations

from typing import TypeVar

from ..errors import PluginError
from ..members.named import imported
from ..words import did_you_mean

C = TypeVar("C")


def find_class(use: str, kind: type[C], what: str) -> type[C]:
    """The class of that kind; PluginError says that there is no such `what`, and why."""
    unknown = f"unknown {what} {use!r}"
    module, name = imported(use, unknown)
    found = getattr(module, name, None)
    if isinstance(found, type) and issubclass(found, kind) and found is not kind:
        return found
    if hasattr(module, name):
        parent = f"{kind.__module__}.{kind.__qualname__}"
        raise PluginError(f"{unknown}: {name} is no subclass of {parent}")
    known = {
        each
        for each, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, kind) and value is not kind
    }
    raise PluginError(f"{unknown}{did_you_mean(name, known)}")
