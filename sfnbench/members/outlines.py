"""What a file of a member says at its top: classes, packages, first words; kept between processes.

To parse all members takes longer than all else that listing them does. So outlines lie beside
Python's own bytecode, and a file that has changed since is parsed again.
"""

from __future__ import annotations

import ast
import importlib.util
import itertools
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from .reading import CLOCK_TICK_NS, Source, read

# when a file was written and last changed (ns), its size, its inode
Stamp = list[int]


class Field(NamedTuple):
    """A parameter of a member as its source states it."""

    name: str
    annotation: str
    default: str | None  # None: it has to be given


class ClassOutline(NamedTuple):
    """A class as its source reads."""

    name: str
    line: int
    bases: tuple[str, ...]
    registered: str | None  # the name in @register
    summary: str
    fields: tuple[Field, ...]


class Outline(NamedTuple):
    """A file as its top level reads."""

    summary: str
    classes: tuple[ClassOutline, ...]
    packages: tuple[tuple[int, str], ...]  # that it imports, each with the line
    names: tuple[str, ...]  # that it assigns


_kept: dict[str, tuple[Stamp, Outline]] = {}  # by path, of this process and before
_unwritten: set[str] = set()


def outline(path: Path) -> Outline:
    """The outline of a file; OSError, UnicodeDecodeError or SyntaxError where there is none."""
    stamp = _stamp(path)
    _load()
    key = str(path)
    if key in _kept and _kept[key][0] == stamp:
        return _kept[key][1]
    now = time.time_ns()
    found = _outlined(read(path))
    if now - max(stamp[:2]) > CLOCK_TICK_NS:  # else it may be written again unseen
        _kept[key] = (stamp, found)
        _unwritten.add(key)
    return found


def keep_outlines() -> None:
    """Write what was parsed to disk, for the next process. Where that fails, it parses again."""
    if not _unwritten or sys.dont_write_bytecode:
        return
    _unwritten.clear()
    there = {key: kept for key, kept in _kept.items() if os.path.exists(key)}
    place = _place()
    with suppress(OSError):
        text = json.dumps([_versions(), there])
        place.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=place.parent, suffix=".json")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(name, place)


def summary_of(docstring: str | None) -> str:
    """The first line of a docstring."""
    return (docstring or "").strip().partition("\n")[0]


def last_name(node: ast.expr) -> str:
    """The last part of a dotted name; empty for anything else."""
    if isinstance(node, ast.Attribute):
        return node.attr
    if isinstance(node, ast.Name):
        return node.id
    return ""


# -- inside ----------------------------------------------------------------------------------------


def _stamp(path: Path) -> Stamp:
    state = path.stat()
    return [state.st_mtime_ns, state.st_ctime_ns, state.st_size, state.st_ino]


def _versions() -> list[Any]:
    """What outlines are made by: another Python, or another state of this file, may differ."""
    return [sys.version, _stamp(Path(__file__))]


def _place() -> Path:
    return Path(importlib.util.cache_from_source(__file__)).with_suffix(".json")


@cache
def _load() -> None:
    """Read what earlier processes kept, once."""
    # there is none yet, or it cannot be read, or it is not what was written
    with suppress(OSError, ValueError, TypeError):
        version, there = json.loads(_place().read_text("utf-8"))
        if version == _versions():
            found = {
                key: (stamp, _from_json(*each))
                for key, (stamp, each) in there.items()
            }
            _kept.update(found)


def _from_json(
    summary: str,
    classes: list[list[Any]],
    packages: list[list[Any]],
    names: list[str],
) -> Outline:
    return Outline(
        summary,
        tuple(_class_from_json(*each) for each in classes),
        tuple((line, top) for line, top in packages),
        tuple(names),
    )


def _class_from_json(
    name: str,
    line: int,
    bases: list[str],
    registered: str | None,
    summary: str,
    fields: list[list[Any]],
) -> ClassOutline:
    parameters = tuple(Field(*each) for each in fields)
    return ClassOutline(name, line, tuple(bases), registered, summary, parameters)


def _outlined(source: Source) -> Outline:
    body = source.tree.body
    assigned = (node.targets for node in body if isinstance(node, ast.Assign))
    targets = itertools.chain.from_iterable(assigned)
    return Outline(
        summary=summary_of(ast.get_docstring(source.tree)),
        classes=tuple(
            _class(node) for node in body if isinstance(node, ast.ClassDef)
        ),
        packages=tuple(_packages(source)),
        names=tuple(each.id for each in targets if isinstance(each, ast.Name)),
    )


def _class(node: ast.ClassDef) -> ClassOutline:
    return ClassOutline(
        node.name,
        node.lineno,
        tuple(last_name(base) for base in node.bases),
        _registered_name(node),
        summary_of(ast.get_docstring(node)),
        tuple(_fields(node)),
    )


def _registered_name(node: ast.ClassDef) -> str | None:
    for call in node.decorator_list:
        if (
            isinstance(call, ast.Call)
            and last_name(call.func) == "register"
            and len(call.args) == 1
        ):
            return str(getattr(call.args[0], "value", ""))
    return None


def _fields(node: ast.ClassDef) -> Iterator[Field]:
    for item in node.body:
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
            annotation = ast.unparse(item.annotation)
            if not annotation.startswith("ClassVar"):
                yield Field(
                    item.target.id,
                    annotation,
                    ast.unparse(item.value) if item.value else None,
                )


def _packages(source: Source) -> Iterator[tuple[int, str]]:
    """The packages that are imported at the top, each with the line."""
    for node in source.tree.body:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name.partition(".")[0]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.lineno, node.module.partition(".")[0]
