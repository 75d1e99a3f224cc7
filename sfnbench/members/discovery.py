"""Members as their files read: found by being there, and never run.

A member is one class in one file, ``@register("my_method")``, in a file of that name. Looked for in
sfnbench itself, in the folders of plugins and in the entry points ``sfnbench.optimizers`` and so
on, one group a kind. Nothing here imports torch.
"""

from __future__ import annotations

import ast
import functools
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from .imports import class_file, is_there, module_file
from .outlines import Field, Outline, last_name, outline
from .plugins import PACKAGE, plugin_paths
from .reading import HERE, Source, counts, read

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

Kind = Literal["optimizer", "problem", "finder", "metric"]
KINDS: tuple[Kind, ...] = ("optimizer", "problem", "finder", "metric")

_METADATA = (".dist-info", ".egg-info")  # ends of folders' names


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
    # those that its numbers depend on, beside what its file imports
    packages: frozenset[str] = frozenset()

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
            yield from _read_member(
                kind, path, f"{PACKAGE}.{path.stem}", any_kind=True
            )
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
    """Entry points of sfnbench in all installed packages.

    Only those of packages that name sfnbench are parsed, and importlib.metadata is imported only
    where there is one: it takes longer than the rest of a scan.
    """
    counts["entry point scans"] += 1
    if not any(map(_may_name_sfnbench, path)):
        return ()
    from importlib.metadata import distribution, distributions

    found: list[EntryPoint] = []
    for package in distributions():
        text = package.read_text("entry_points.txt")
        if text and "[sfnbench." in text:
            name = package.metadata["Name"]
            # the one that counts, where a package is there twice
            chosen = distribution(name) if name else package
            found += chosen.entry_points
    own = (entry for entry in found if entry.group.startswith("sfnbench."))
    return tuple(dict.fromkeys(own))


def _may_name_sfnbench(folder: str) -> bool:
    """Whether a package whose metadata lie in a folder of ``sys.path`` may name sfnbench."""
    if not os.path.isdir(folder or "."):
        return os.path.exists(folder)  # an archive
    if folder.endswith(".egg"):
        return True
    # a folder may not be read
    with suppress(OSError), os.scandir(folder or ".") as places:
        about = (
            Path(each.path) for each in places if each.name.endswith(_METADATA)
        )
        return any(_names_sfnbench(each / "entry_points.txt") for each in about)
    return False


def _names_sfnbench(file: Path) -> bool:
    with suppress(OSError):
        return b"[sfnbench." in file.read_bytes()
    return False


def _read_member(
    kind: Kind, path: Path, module: str, any_kind: bool = False
) -> Iterator[Member]:
    """The member that a file holds: its one registered class, or what is wrong.

    Nothing for a file of another kind.
    """
    broken = Member(kind, path.stem, path, module)
    try:
        file = outline(path)
    except (SyntaxError, ValueError, OSError) as error:
        # ValueError: the file's bytes are no text
        yield replace(broken, error=_what(error))
        return
    for found in file.classes:
        own_kind = kind_of_bases({*found.bases})
        known_kind = own_kind or (None if any_kind else kind)
        if known_kind != kind or (found.registered is None and own_kind is None):
            continue
        missing = wrong = _missing_package(file)
        if found.registered is None:
            wrong = (
                f"line {found.line}: {found.name} lacks @register({path.stem!r})"
            )
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
        file = outline(path)
    except (SyntaxError, ValueError, OSError) as error:
        return replace(broken, error=f"entry point {entry.value!r}: {_what(error)}")
    missing = _missing_package(file)
    wrong = _wrong_in_package(module) or missing
    found = next((each for each in file.classes if each.name == class_name), None)
    if found is None:
        if class_name not in _identifiers(read(path)):
            wrong = f"entry point {entry.value!r}: it has no class {class_name!r}"
        return replace(broken, error=wrong)  # made by calls, perhaps
    if found.registered is None and entry.name not in _identifiers(read(path)):
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
            wrong = _missing_package(outline(file)) if file else None
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
            found.add(last_name(node))
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


def _missing_package(file: Outline) -> str | None:
    for line, top in file.packages:
        if not is_there(top):
            return f"line {line}: needs the package {top!r}, which is not installed"
    return None
