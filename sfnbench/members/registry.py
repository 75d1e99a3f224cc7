"""Problems, optimizers and finders by name.

Found by being there, read without being run, imported when they are used.

A member is one class in one file, ``@register("my_method")``, in a file of that name. Looked for in
sfnbench itself, in the plugins that ship with it, in ``./plugins``, in the paths given to
`add_plugins` and in the entry points ``sfnbench.optimizers``, ``sfnbench.problems`` and
``sfnbench.finders``. Nothing here imports torch.
"""

from __future__ import annotations

import ast
import functools
import importlib
import importlib.util
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from ..errors import PluginError
from ..words import did_you_mean
from .imports import class_file, source_of
from .plugins import PACKAGE, extend_package
from .plugins import add_plugins as add_plugins
from .plugins import plugin_paths as plugin_paths
from .plugins import shipped as shipped
from .reading import HERE as HERE
from .reading import Source, counts, read

if TYPE_CHECKING:
    from pydantic import TypeAdapter

Kind = Literal["optimizer", "problem", "finder"]
KINDS: tuple[Kind, ...] = ("optimizer", "problem", "finder")
_registered: dict[tuple[str, str], type] = {}
_digests: dict[str, str] = {}  # of plugins' modules, when they were imported
_there: set[str] = set()  # packages that were found; one that was not may be installed meanwhile

C = TypeVar("C", bound=type)


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

    @property
    def where(self) -> str:
        """Shipped (in sfnbench), plugin (a file) or package (an entry point)."""
        if self.module.startswith("sfnbench."):
            return "shipped"
        return "plugin" if self.module.startswith(PACKAGE + ".") else "package"


def register(name: str) -> Callable[[C], C]:
    """Class decorator.

    Makes a Problem, Optimizer or Finder known under `name`, which is also its file's stem.
    """

    def add(cls: C) -> C:
        kind = _kind_of({base.__name__ for base in cls.__mro__})
        if kind is None:
            raise PluginError(
                f"@register({name!r}): {cls.__name__} derives from neither Optimizer, Problem nor Finder"
            )
        known = _registered.get((kind, name))
        if known is not None and known.__module__ != cls.__module__:
            raise PluginError(f"two {kind}s are called {name!r}: {_file(known)} and {_file(cls)}")
        cls.name = name  # type: ignore[attr-defined]  # the one attribute the registry lends to a class
        _registered[kind, name] = cls
        return cls

    return add


def members(kind: Kind) -> dict[str, Member]:
    """Every member of a kind by name, broken ones included.

    Two different files under one name are an error.
    """
    return dict(sorted(_by_name(kind, _discover(kind)).items()))


def find(kind: Kind, name: str) -> Member:
    """The member of that name; PluginError with the nearest name where there is none."""
    found = _by_name(kind, _discover(kind, name))
    if name not in found:
        raise PluginError(f"unknown {kind} {name!r}{did_you_mean(name, members(kind))}")
    return found[name]


def is_stock(name: str) -> bool:
    """Whether a name is a stock optimizer's, such as torch.optim.Adam.

    The registry's own names have no dot.
    """
    return "." in name and name[0].isidentifier()


def load(member: Member) -> type[Any]:
    """The member's class, imported; PluginError says what is broken and where.

    A plugin that was edited since it was imported, in a notebook say, is imported again.
    """
    if member.error:
        raise PluginError(f"{member.path}: {member.error}")
    key = member.kind, member.name
    if key in _registered and _is_outdated(member):
        del _registered[key], sys.modules[member.module]
        # two edits within one second leave bytecode that Python takes for the newer one's
        Path(importlib.util.cache_from_source(str(member.path))).unlink(missing_ok=True)
    if key not in _registered:
        _import(member)
    if key not in _registered:
        raise PluginError(
            f"{member.path}: does not register a {member.kind} called {member.name!r}"
        )
    return _registered[key]


def build(kind: Kind, name: str, params: dict[str, Any]) -> Any:
    """An instance from plain JSON values, checked against the types and ranges of the member's fields.

    Raises pydantic's ValidationError, with every wrong value in it. Strict: "3" is not a number,
    and 1 is not true.
    """
    return adapter(load(find(kind, name))).validate_json(json.dumps(params), strict=True)


@functools.cache
def adapter(cls: type[Any]) -> TypeAdapter[Any]:
    """Pydantic's reader and writer of a member's fields, made once: that takes it 10 ms."""
    from pydantic import TypeAdapter

    return TypeAdapter(cls)


def _import(member: Member) -> None:
    extend_package()
    importlib.invalidate_caches()  # the file may be younger than the last look at its folder
    if source := source_of(member.path):
        _digests[member.module] = source.digest
    try:
        importlib.import_module(member.module)
    except PluginError:
        raise
    except Exception as error:  # a plugin's import may raise anything, and must stop nothing else
        _registered.pop((member.kind, member.name), None)
        line = _line_in(error, member.path)
        raise PluginError(
            f"{member.path}:{line}: cannot be imported: {type(error).__name__}: {error}"
        ) from error


def _is_outdated(member: Member) -> bool:
    if member.where != "plugin" or member.module not in sys.modules:
        return False
    source, known = source_of(member.path), _digests.get(member.module)
    return source is not None and known is not None and source.digest != known


# -- discovery -------------------------------------------------------------------------------------


def _by_name(kind: Kind, discovered: Iterator[Member]) -> dict[str, Member]:
    found: dict[str, Member] = {}
    for member in discovered:
        other = found.setdefault(member.name, member)
        if other.path != member.path and other.path.read_bytes() != member.path.read_bytes():
            raise PluginError(
                f"two {kind}s are called {member.name!r}: {other.path} and {member.path}"
            )
    return found


def _discover(kind: Kind, name: str | None = None) -> Iterator[Member]:
    """All members of a kind, or those of that name: no other file is read."""
    folder = f"{kind}s"
    for path in _files(HERE / folder, name):
        yield from _read(kind, path, f"sfnbench.{folder}.{path.stem}")
    for root in plugin_paths():
        for path in _files(root / folder, name):
            yield from _read(kind, path, f"{PACKAGE}.{folder}.{path.stem}")
        for path in _files(root, name):
            yield from _read(kind, path, f"{PACKAGE}.{path.stem}", any_kind=True)
    for entry in _entry_points(tuple(sys.path)):
        if entry.group == f"sfnbench.{folder}" and name in (None, entry.name):
            yield _read_entry(kind, entry)
    for (live, own), cls in _registered.items():
        # defined in a script or a notebook
        if live == kind and cls.__module__ == "__main__" and name in (None, own):
            yield Member(
                kind, own, Path(_file(cls)), "__main__", cls.__name__, _summary(cls.__doc__)
            )


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
        if not path.stem.startswith("_") and name in (None, path.stem) and path.is_file()
    ]


@functools.lru_cache(maxsize=4)
def _entry_points(path: tuple[str, ...]) -> tuple[EntryPoint, ...]:
    """Those of all kinds in all installed packages: reading them takes longer than all else here."""
    counts["entry point scans"] += 1
    found = entry_points()
    return tuple(entry for kind in KINDS for entry in found.select(group=f"sfnbench.{kind}s"))


def _read(kind: Kind, path: Path, module: str, any_kind: bool = False) -> Iterator[Member]:
    """The member that a file holds: its one registered class, or what is wrong.

    Nothing for a file of another kind.
    """
    broken = Member(kind, path.stem, path, module)
    try:
        source = read(path)
    except (SyntaxError, ValueError, OSError) as error:  # ValueError: its bytes are no text
        yield replace(broken, error=_what(error))
        return
    for found in _classes(source):
        known_kind = found.kind or (None if any_kind else kind)
        if known_kind != kind or (found.registered is None and found.kind is None):
            continue
        wrong = _missing_package(source)
        if found.registered is None:
            wrong = f"line {found.line}: {found.name} lacks @register({path.stem!r})"
        elif found.registered != path.stem:
            wrong = (
                f"line {found.line}: registered as {found.registered!r}, "
                f"but the file is called {path.name}"
            )
        yield replace(
            broken, class_name=found.name, summary=found.summary, fields=found.fields, error=wrong
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
    found = next((each for each in _classes(source) if each.name == class_name), None)
    if found is None:  # made by calls, perhaps: importing it will say
        return broken
    wrong = _missing_package(source)
    if found.registered not in (None, entry.name):
        wrong = (
            f"line {found.line}: registered as {found.registered!r}, "
            f"but the entry point is called {entry.name!r}"
        )
    return replace(broken, summary=found.summary, fields=found.fields, error=wrong)


def _what(error: Exception) -> str:
    """What is wrong with a file, and in which line."""
    at = f"line {error.lineno}: " if isinstance(error, SyntaxError) else ""
    return f"{at}{getattr(error, 'msg', None) or error}"


# -- reading source --------------------------------------------------------------------------------


def _kind_of(names: set[str]) -> Kind | None:
    named: dict[str, Kind] = {
        "Optimizer": "optimizer",
        "Problem": "problem",
        "Network": "problem",
        "Finder": "finder",
    }
    return next((kind for base, kind in named.items() if base in names), None)


def _last_name(node: ast.expr) -> str:
    return (
        node.attr
        if isinstance(node, ast.Attribute)
        else node.id
        if isinstance(node, ast.Name)
        else ""
    )


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
                    item.target.id, annotation, ast.unparse(item.value) if item.value else None
                )


def _summary(docstring: str | None) -> str:
    return (docstring or "").strip().partition("\n")[0]


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
            _kind_of({_last_name(base) for base in node.bases}),
            _registered_name(node),
            _summary(ast.get_docstring(node)),
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
            if not _is_there(top):
                return f"line {node.lineno}: needs the package {top!r}, which is not installed"
    return None


def _is_there(top: str) -> bool:
    if top in _there or top in sys.modules or top in sys.stdlib_module_names:
        return True
    found = importlib.util.find_spec(top) is not None
    if found:
        _there.add(top)
    return found


def _line_in(error: BaseException, path: Path) -> int:
    trace, line = error.__traceback__, getattr(error, "lineno", None) or 1
    while trace:
        if trace.tb_frame.f_code.co_filename == str(path):
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def _file(cls: type) -> str:
    return str(getattr(sys.modules.get(cls.__module__), "__file__", None) or cls.__module__)
