"""Objects of a user's own code by name: ``package.module:name`` or ``package.module.name``."""

from __future__ import annotations

import ast
import importlib
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

from ..errors import AbsentError, PluginError, SfnbenchError
from ..words import did_you_mean, first_line
from .imports import is_absence, module_file, source_of

# a module that uses one of these may have any name
_BY_CALL = ("*", "__getattr__", "globals", "setattr")


def look_in(folder: Path) -> None:
    """Let modules in this folder be found by name, here and in processes started from here."""
    if str(folder.resolve()) not in sys.path:
        sys.path.append(str(folder.resolve()))


def imported(use: str, unknown: str) -> tuple[ModuleType, str]:
    """The module of ``package.module:name``, imported, and the name, which it may still miss.

    PluginError begins with `unknown` and says why there is none, AbsentError that its package is
    not installed. A module beside the suite file or in the current folder is found too. To import
    a module is to run it: Python's own modules and scripts are left alone, and so is a module whose
    source has no such name.
    """
    module_name, _, name = use.partition(":") if ":" in use else use.rpartition(".")
    if not module_name:
        raise PluginError(f"{unknown}: write package.module:name")
    top = module_name.partition(".")[0]
    if top in sys.stdlib_module_names or "__main__" in module_name.split("."):
        raise PluginError(
            f"{unknown}: {module_name} is no module of a package: write package.module:name"
        )
    look_in(Path.cwd())
    if module_name not in sys.modules:
        importlib.invalidate_caches()  # it may have been written a moment ago
    offered = _source_names(module_name)
    if not offered & {name, *_BY_CALL}:
        hint = did_you_mean(name, offered)
        raise PluginError(f"{unknown}: {module_name} has no {name}{hint}")
    try:
        return importlib.import_module(module_name), name
    except (Exception, SystemExit) as error:  # a module may raise anything
        kind = AbsentError if is_absence(error) else PluginError
        raise kind(f"{unknown}: {first_line(error)}") from error


def find_named(use: str, what: str) -> Any:
    """The object of that name; PluginError says that there is no such `what`, and why."""
    unknown = f"unknown {what} {use!r}"
    module, name = imported(use, unknown)
    if not hasattr(module, name):
        own = [each for each in vars(module) if not each.startswith("_")]
        raise PluginError(
            f"{unknown}: {module.__name__} has no {name}{did_you_mean(name, own)}"
        )
    return getattr(module, name)


def make_named(use: str, what: str) -> Any:
    """The product of the function or class of that name, or the object itself.

    PluginError names the line of its module that it fails at.
    """
    named = find_named(use, what)
    # a module of torch is callable too, but has no `__name__`
    if not callable(named) or not hasattr(named, "__name__"):
        return named
    try:
        return named()
    except SfnbenchError:
        raise
    except Exception as error:  # it may raise anything
        file = getattr(sys.modules.get(named.__module__), "__file__", None)
        frames = traceback.extract_tb(error.__traceback__)
        lines = [each.lineno for each in frames if each.filename == file]
        where = f"{file}:{lines[-1]}: " if lines else ""
        raise PluginError(
            f"{where}{what} {use!r} raises {type(error).__name__}: {first_line(error)}"
        ) from error


def _source_names(module_name: str) -> set[str]:
    """The names in the source of a module that is not imported yet; ``*`` where there is none."""
    if module_name in sys.modules:
        file = None
    else:
        file = module_file(module_name)
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
