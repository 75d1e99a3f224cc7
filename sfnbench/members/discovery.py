"""Members as their files read: found by being there, and never run.

A member is one class in one file, ``@register("my_method")``, in a file of that name. Looked for in
sfnbench itself, in the folders of plugins and in the entry points ``sfnbench.optimizers`` and so
on, one group a kind. Nothing here imports torch.
"""

from __future__ import annotations

import ast
import functools
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Literal

from .imports import class_file, is_there, module_file
from .plugins import PACKAGE, plugin_paths
from .reading import HERE, Source, counts, read

Kind = Literal["optimizer", "problem", "finder", "metric"]
KINDS: tuple[Kind, ...] = ("optimizer", "problem", "finder", "metric")


@dataclass(frozen=True)
class Field:
    """A parameter of a member as its source states it."""

    name: str
    annotation: str
    default: str | None  # None: it has to be given


@dataclass(frozen=True)
class Member:
    """A problem, optimizer or finder as its file reads, whether or not it could be imported."""

    kind: Kind
    name: str
    path: Path
    module: str
    class_name: str = ""
    summary: str = ""
    fields: tuple[Field, ...] = ()
    error: str | None = None
    is_absent: bool = False  # the error is that a package is not installed

    @property
    def where(self) -> str:
        """Shipped (in sfnbench), plugin (a file) or package (an entry point)."""
        if self.module.startswith("sfnbench."):
            return "shipped"
        if self.module.startswith(PACKAGE + "."):
            return "plugin"
        return "package"


def discover(kind: Kind, name: str | None = None) -> Iterator[Member]:
    """All members of a kind, or those of that name: no other file is read."""
    folder = f"{kind}s"
    for path in _files(HERE / folder, name):
        yield from _read_member(kind, path, f"sfnbench.{folder}.{path.stem}")
    for root in plugin_paths():
        for path in _files(root / folder, name):
            yield from _read_member(kind, path, f"{PACKAGE}.{folder}.{path.stem}")
        for path in _files(root, name):
            yield from _read_member(kind, path, f"{PACKAGE}.{path.stem}", any_kind=True)
    for entry in entries(folder):
        if name in (None, entry.name):
            yield _read_entry(kind, entry)


def entries(group: str) -> tuple[EntryPoint, ...]:
    """The entry points ``sfnbench.GROUP`` of all installed packages."""
    found = _entry_points(tuple(sys.path))
    return tuple(entry for entry in found if entry.group == f"sfnbench.{group}")


def kind_of_bases(names: set[str]) -> Kind | None:
    """The kind of a class by the names of its bases; None for no member."""
    named: dict[str, Kind] = {
        "Optimizer": "optimizer",
        "Problem": "problem",
        "Network": "problem",
        "Finder": "finder",
        "Metric": "metric",
    }
    return next((kind for base, kind in named.items() if base in names), None)


def summary_of(docstring: str | None) -> str:
    """The first line of a docstring."""
    return (docstring or "").strip().partition("\n")[0]


# -- inside ----------------------------------------------------------------------------------------


def _files(root: Path, name: str | None) -> list[Path]:
    """The files of members in a folder, or that of one name; `root` may be a lone file."""
    if root.is_file():
        found = [root]
    elif name is None:
        found = sorted(root.glob("*.py"))
    else:
        found = [root / f"{name}.py"] if name.isidentifier() else []
    return [
        path
        for path in found
        if not path.stem.startswith("_")
        and name in (None, path.stem)
        and path.is_file()
    ]


@functools.lru_cache(maxsize=4)
def _entry_points(path: tuple[str, ...]) -> tuple[EntryPoint, ...]:
    """Entry points of sfnbench in all installed packages: the slowest part of a scan."""
    counts["entry point scans"] += 1
    groups = (name for name in entry_points().groups if name.startswith("sfnbench."))
    return tuple(entry for name in groups for entry in entry_points(group=name))


def _read_member(
    kind: Kind, path: Path, module: str, any_kind: bool = False
) -> Iterator[Member]:
    """The member that a file holds: its one registered class, or what is wrong.

    Nothing for a file of another kind.
    """
    broken = Member(kind, path.stem, path, module)
    try:
        source = read(path)
    except (
        SyntaxError,
        ValueError,
        OSError,
    ) as error:  # ValueError: its bytes are no text
        yield replace(broken, error=_what(error))
        return
    for found in _classes(source):
        known_kind = found.kind or (None if any_kind else kind)
        if known_kind != kind or (found.registered is None and found.kind is None):
            continue
        missing = wrong = _missing_package(source)
        if found.registered is None:
            wrong = f"line {found.line}: {found.name} lacks @register({path.stem!r})"
        elif found.registered != path.stem:
            wrong = (
                f"line {found.line}: registered as {found.registered!r}, "
                f"but the file is called {path.name}"
            )
        yield replace(
            broken,
            class_name=found.name,
            summary=found.summary,
            fields=found.fields,
            error=wrong,
            is_absent=wrong is not None and wrong is missing,
        )


def _read_entry(kind: Kind, entry: EntryPoint) -> Member:
    """The member of an entry point, whose file and package may have any name."""
    module, _, class_name = entry.value.partition(":")
    broken = Member(kind, entry.name, Path(module), module, class_name)
    path = class_file(module, class_name)
    if path is None:
        return replace(broken, error=f"entry point {entry.value!r}: no such module")
    broken = replace(broken, path=path)
    try:
        source = read(path)
    except (SyntaxError, ValueError, OSError) as error:
        return replace(broken, error=f"entry point {entry.value!r}: {_what(error)}")
    missing = _missing_package(source)
    wrong = _wrong_in_package(module) or missing
    found = next((each for each in _classes(source) if each.name == class_name), None)
    if found is None:
        if class_name not in _identifiers(source):
            wrong = f"entry point {entry.value!r}: it has no class {class_name!r}"
        return replace(broken, error=wrong)  # made by calls, perhaps
    if found.registered is None and entry.name not in _identifiers(source):
        wrong = f"line {found.line}: {found.name} lacks @register({entry.name!r})"
    if found.registered not in (None, entry.name):
        wrong = (
            f"line {found.line}: registered as {found.registered!r}, "
            f"but the entry point is called {entry.name!r}"
        )
    return replace(
        broken,
        summary=found.summary,
        fields=found.fields,
        error=wrong,
        is_absent=wrong is not None and wrong is missing,
    )


def _wrong_in_package(module: str) -> str | None:
    """Why a package around a module cannot be imported, as far as its files say so."""
    parts = module.split(".")
    for n in range(1, len(parts)):
        package = ".".join(parts[:n])
        file = module_file(package)
        try:
            wrong = _missing_package(read(file)) if file else None
        except (SyntaxError, ValueError, OSError) as error:
            wrong = _what(error)
        if wrong:
            return f"package {package}: {wrong}"
    return None


@functools.lru_cache(maxsize=1024)
def _identifiers(source: Source) -> frozenset[str]:
    """Every name in a file, of whatever it is, and every text."""
    found: set[str] = set()
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.Name | ast.Attribute):
            found.add(_last_name(node))
        elif isinstance(node, ast.Constant):
            found.add(str(node.value))
        elif isinstance(node, ast.alias):
            found |= {node.name, node.asname or node.name}
    return frozenset(found)


def _what(error: Exception) -> str:
    """The fault of a file, and its line."""
    at = ""
    if isinstance(error, SyntaxError):
        at = f"line {error.lineno}: "
    return f"{at}{getattr(error, 'msg', None) or error}"


def _last_name(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    if isinstance(node, ast.Name):
        return node.id
    return ""


def _registered_name(node: ast.ClassDef) -> str | None:
    for call in node.decorator_list:
        if (
            isinstance(call, ast.Call)
            and _last_name(call.func) == "register"
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


@dataclass(frozen=True)
class _Class:
    """A class as its source reads."""

    name: str
    line: int
    kind: Kind | None  # as its bases say
    registered: str | None  # the name in @register
    summary: str
    fields: tuple[Field, ...]


@functools.lru_cache(maxsize=1024)
def _classes(source: Source) -> tuple[_Class, ...]:
    return tuple(
        _Class(
            node.name,
            node.lineno,
            kind_of_bases({_last_name(base) for base in node.bases}),
            _registered_name(node),
            summary_of(ast.get_docstring(node)),
            tuple(_fields(node)),
        )
        for node in source.tree.body
        if isinstance(node, ast.ClassDef)
    )


def _missing_package(source: Source) -> str | None:
    for node in source.tree.body:
        tops: list[str] = []
        if isinstance(node, ast.Import):
            tops = [alias.name.partition(".")[0] for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            tops = [node.module.partition(".")[0]]
        for top in tops:
            if not is_there(top):
                return f"line {node.lineno}: needs the package {top!r}, which is not installed"
    return None
