"""Where plugins lie: shipped with sfnbench, in ``./plugins``, and where `add_plugins` says."""

from __future__ import annotations

import sys
import types
from pathlib import Path

from ..errors import PluginError
from .reading import HERE

# Plugin files are imported as its modules, so that worker processes reach them by name.
PACKAGE = "sfnbench_plugins"

_package = sys.modules.setdefault(PACKAGE, types.ModuleType(PACKAGE))
_package.__path__ = []
_added: list[Path] = []


def shipped(folder: str) -> Path:
    """The folder ``plugins`` or ``suites`` of sfnbench.

    In a wheel inside the package, in a clone beside it.
    """
    inside = HERE / "share" / folder
    return inside if inside.is_dir() else HERE.parent / folder


def add_plugins(path: str | Path) -> None:
    """Look for members in this file as well, or in this folder and those of each kind in it."""
    resolved = Path(path).resolve()
    if not resolved.exists():
        raise PluginError(f"--plugins {path}: no such file or folder")
    if resolved not in _added:
        _added.append(resolved)


def plugin_paths() -> tuple[Path, ...]:
    """Every folder or file that is searched, in order, for a worker process to search the same."""
    here = Path("plugins").resolve()
    found = [shipped("plugins").resolve(), here, *_added]
    return tuple(dict.fromkeys(path for path in found if path.exists()))


def plugin_folders() -> tuple[Path, ...]:
    """The folders of all plugins: a lone file's is that in which it lies."""
    folders = (path if path.is_dir() else path.parent for path in plugin_paths())
    return tuple(dict.fromkeys(folders))


def extend_package() -> None:
    """Let Python's own import machinery find plugin files by name."""
    for folder in map(str, plugin_folders()):
        if folder not in _package.__path__:
            _package.__path__.append(folder)
