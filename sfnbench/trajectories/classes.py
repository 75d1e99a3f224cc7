"""Classes by their names in a suite: ``package.module.Class`` or ``package.module:Class``."""

from __future__ import annotations

import ast
import importlib
import sys
from pathlib import Path
from typing import TypeVar

from ..errors import PluginError
from ..members.imports import module_file, source_of
from ..words import did_you_mean

C = TypeVar("C")
_BY_CALL = (
    "*",
    "__getattr__",
    "globals",
    "setattr",
)  # with these a module may have any name


def look_in(folder: Path) -> None:
    """Let modules in this folder be found by name, here and in processes started from here."""
    if str(folder.resolve()) not in sys.path:
        sys.path.append(str(folder.resolve()))


def find_class(use: str, kind: type[C], what: str) -> type[C]:
    """The class of that kind; PluginError says that there is no such `what`, and why.

    A module beside the suite file or in the current folder is found too. To import a module is to
    run it: Python's own modules and scripts are left alone, and so is a module whose source has no
    such name.
    """
    module_name, _, name = use.partition(":") if ":" in use else use.rpartition(".")
    unknown = f"unknown {what} {use!r}"
    top = module_name.partition(".")[0]
    if top in sys.stdlib_module_names or "__main__" in module_name.split("."):
        raise PluginError(
            f"{unknown}: {module_name} is no module of a package for optimizers"
        )
    look_in(Path.cwd())
    importlib.invalidate_caches()  # the module may have been written a moment ago
    offered = _names_in(module_name)
    if not offered & {name, *_BY_CALL}:
        hint = did_you_mean(name, offered)
        raise PluginError(f"{unknown}: {module_name} has no {name}{hint}")
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:  # a module may raise anything
        told = str(error) or type(error).__name__
        raise PluginError(f"{unknown}: {told.splitlines()[0]}") from error
    found = getattr(module, name, None)
    if isinstance(found, type) and issubclass(found, kind) and found is not kind:
        return found
    known = {
        each
        for each, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, kind) and value is not kind
    }
    raise PluginError(f"{unknown}{did_you_mean(name, known)}")


def _names_in(module_name: str) -> set[str]:
    """The names in the source of a module that is not imported yet; ``*`` where there is none."""
    file = None if module_name in sys.modules else module_file(module_name)
    source = source_of(file) if file else None
    if source is None:
        return {"*"}
    found: set[str] = set()
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.alias):
            found.add(node.asname or node.name)
        elif isinstance(node, ast.Name):
            found.add(node.id)
    return found
