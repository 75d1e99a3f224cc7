"""Source files as syntax trees: each is read once, and again only after it has changed.

A digest of a file covers the code that decides numbers. Comments, docstrings, formatting, the
ranges that a class wants searched, and the version of Python that reads it change nothing.
"""

from __future__ import annotations

import ast
import hashlib
import os
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parents[1]  # the package sfnbench

# what `make census` shows: files parsed, entry points scanned
counts: Counter[str] = Counter()

# A file system may give two writes in quick succession one time stamp, so a file that was written
# less than this before it was read is read again.
CLOCK_TICK_NS = 100_000_000

# Of an optimizer's class: a run has the values that were found there, not the ranges
TUNING_RANGES = "tuning_ranges"

# Fields of syntax trees that decide nothing, or that only some versions of Python have
_SILENT = {"ctx", "kind", "type_comment", "type_ignores"}


class Import(NamedTuple):
    """``from ..module import names``, or ``import module``, which has no names."""

    level: int  # number of leading dots
    module: str
    names: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Source:
    """A file of Python as a syntax tree."""

    path: Path
    tree: ast.Module

    @cached_property
    def digest(self) -> str:
        """A hash of the code."""
        parts: list[str] = []
        _write(self.tree, parts.append)
        return hashlib.sha256("".join(parts).encode()).hexdigest()

    @cached_property
    def imports(self) -> tuple[Import, ...]:
        """All imports, at the top and inside functions, but those for type checkers alone."""
        return tuple(_imports(self.tree.body))


class _Read(NamedTuple):
    stamp: tuple[int, int]  # when the file was written (ns), and its size
    read_at: int  # ns
    source: Source


_sources: dict[Path, _Read] = {}


def read(path: Path) -> Source:
    """The source of a file; OSError, UnicodeDecodeError or SyntaxError where there is none."""
    state = path.stat()
    stamp = (state.st_mtime_ns, state.st_size)
    known = _sources.get(path)
    if known and known.stamp == stamp and known.read_at - stamp[0] > CLOCK_TICK_NS:
        return known.source
    now = time.time_ns()
    with warnings.catch_warnings():
        # the import of the file says these warnings
        warnings.simplefilter("ignore", SyntaxWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        tree = ast.parse(path.read_bytes(), filename=os.fspath(path))
    source = Source(path, tree)
    counts["files parsed"] += 1
    _sources[path] = _Read(stamp, now, source)
    return source


# -- inside ----------------------------------------------------------------------------------------


def _write(value: object, write: Callable[[str], None]) -> None:
    """A syntax tree as text.

    `ast.dump` and `ast.unparse` differ between versions of Python: 3.12 has new fields and ends
    nested format specs with an empty text, 3.13 leaves empty fields out. Here neither is written.
    """
    if isinstance(value, ast.Constant):
        write(f"{type(value.value).__name__} {value.value!a};")
    elif isinstance(value, ast.AST):
        write(f"{type(value).__name__}(")
        for name in value._fields:
            content = getattr(value, name, None)
            if content is None or name in _SILENT:
                continue
            if isinstance(content, list):
                content = [each for each in content if not _is_idle(each, value)]
                if not content:
                    continue
            write(f"{name}=")
            _write(content, write)
        write(")")
    elif isinstance(value, list):
        write("[")
        for each in value:
            _write(each, write)
        write("]")
    else:  # a name, a number, or the missing key of {**mapping}
        write(f"{value!a};")


def _is_idle(node: object, parent: ast.AST) -> bool:
    """Whether a statement decides no numbers, as docstrings, or a piece of an f-string is empty."""
    if isinstance(parent, ast.JoinedStr):
        return isinstance(node, ast.Constant) and node.value == ""
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    if isinstance(parent, ast.ClassDef) and isinstance(
        node, ast.Assign | ast.AnnAssign
    ):
        return _assigned_names(node) == [TUNING_RANGES]
    return isinstance(node, ast.Pass)


def _assigned_names(node: ast.Assign | ast.AnnAssign) -> list[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return [each.id for each in targets if isinstance(each, ast.Name)]


def _imports(nodes: Iterable[ast.AST]) -> Iterator[Import]:
    for node in nodes:
        if isinstance(node, ast.ImportFrom):
            names = tuple(alias.name for alias in node.names)
            yield Import(node.level, node.module or "", names)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(0, alias.name, ())
        elif isinstance(node, ast.If) and _is_type_checking(node.test):
            yield from _imports(node.orelse)
        else:
            yield from _imports(ast.iter_child_nodes(node))


def _is_type_checking(test: ast.expr) -> bool:
    if isinstance(test, ast.Attribute):
        name = test.attr
    else:
        name = getattr(test, "id", "")
    return name == "TYPE_CHECKING"
