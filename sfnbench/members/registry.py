"""Problems, optimizers and finders by name.

Found by being there, read without being run, imported when they are used.

A member is one class in one file, ``@register("my_method")``, in a file of that name. Looked for in
sfnbench itself, in the plugins that ship with it, in ``./plugins``, in the paths given to
`add_plugins` and in the entry points ``sfnbench.optimizers``, ``sfnbench.problems`` and
``sfnbench.finders``. Nothing here imports torch.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import json
import sys
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Literal, TypeVar

from ..errors import PluginError
from ..words import did_you_mean

Kind = Literal["optimizer", "problem", "finder"]
KINDS: tuple[Kind, ...] = ("optimizer", "problem", "finder")
# plugin files are imported as its modules, so that worker processes reach them by name
PACKAGE = "sfnbench_plugins"
HERE = Path(__file__).parents[1]

_package = sys.modules.setdefault(PACKAGE, types.ModuleType(PACKAGE))
_package.__path__ = []
_added: list[Path] = []
_registered: dict[tuple[str, str], type] = {}

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


def shipped(folder: str) -> Path:
    """The folder ``plugins`` or ``suites`` of sfnbench.

    In a wheel inside the package, in a clone beside it.
    """
    inside = HERE / "share" / folder
    return inside if inside.is_dir() else HERE.parent / folder


def add_plugins(path: str | Path) -> None:
    """Look for members in this folder (or its ``optimizers``, ``problems`` and ``finders``) or file as well."""
    resolved = Path(path).resolve()
    if not resolved.exists():
        raise PluginError(f"--plugins {path}: no such file or folder")
    if resolved not in _added:
        _added.append(resolved)


def plugin_paths() -> tuple[Path, ...]:
    """Every folder or file that is searched for plugins, in order, for a worker process to search the same."""
    here = Path("plugins").resolve()
    found = [shipped("plugins").resolve(), here, *_added]
    return tuple(dict.fromkeys(path for path in found if path.exists()))


def members(kind: Kind) -> dict[str, Member]:
    """Every member of a kind by name, broken ones included.

    Two different files under one name are an error.
    """
    found: dict[str, Member] = {}
    for member in _discover(kind):
        other = found.get(member.name)
        if (
            other
            and other.path != member.path
            and other.path.read_bytes() != member.path.read_bytes()
        ):
            raise PluginError(
                f"two {kind}s are called {member.name!r}: {other.path} and {member.path}"
            )
        found.setdefault(member.name, member)
    return dict(sorted(found.items()))


def find(kind: Kind, name: str) -> Member:
    """The member of that name; PluginError with the nearest name where there is none."""
    known = members(kind)
    if name not in known:
        raise PluginError(f"unknown {kind} {name!r}{did_you_mean(name, known)}")
    return known[name]


def is_stock(name: str) -> bool:
    """Whether a name is a stock optimizer's, such as torch.optim.Adam.

    The registry's own names have no dot.
    """
    return "." in name and name[0].isidentifier()


def load(member: Member) -> type[Any]:
    """The member's class, imported; PluginError says what is broken and where."""
    if member.error:
        raise PluginError(f"{member.path}: {member.error}")
    if (member.kind, member.name) not in _registered:
        _extend_package()
        try:
            importlib.import_module(member.module)
        except PluginError:
            raise
        except (
            Exception
        ) as error:  # a plugin's import may raise anything, and must stop nothing else
            _registered.pop((member.kind, member.name), None)
            line = _line_in(error, member.path)
            raise PluginError(
                f"{member.path}:{line}: cannot be imported: {type(error).__name__}: {error}"
            ) from error
    if (member.kind, member.name) not in _registered:
        raise PluginError(
            f"{member.path}: does not register a {member.kind} called {member.name!r}"
        )
    return _registered[member.kind, member.name]


def build(kind: Kind, name: str, params: dict[str, Any]) -> Any:
    """An instance from plain JSON values, checked against the types and ranges of the member's fields.

    Raises pydantic's ValidationError, with every wrong value in it. Strict: "3" is not a number,
    and 1 is not true.
    """
    from pydantic import TypeAdapter

    return TypeAdapter(load(find(kind, name))).validate_json(json.dumps(params), strict=True)


def source_hash(member: Member) -> str:
    """Hash of the member's file and of the sfnbench modules that it imports, core and registry aside."""
    digest = hashlib.sha256()
    for path in sorted(_sources(member.path, set()), key=lambda p: p.name):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


# -- discovery -------------------------------------------------------------------------------------


def _discover(kind: Kind) -> Iterator[Member]:
    folder = f"{kind}s"
    for path in _files(HERE / folder):
        yield from _read(kind, path, f"sfnbench.{folder}.{path.stem}")
    for root in plugin_paths():
        for path in _files(root / folder):
            yield from _read(kind, path, f"{PACKAGE}.{folder}.{path.stem}")
        for path in _files(root) if root.is_dir() else [root]:
            yield from _read(kind, path, f"{PACKAGE}.{path.stem}", any_kind=True)
    for entry in entry_points(group=f"sfnbench.{folder}"):
        yield _read_entry(kind, entry)
    for (live, name), cls in _registered.items():
        if live == kind and cls.__module__ == "__main__":  # defined in a script or a notebook
            yield Member(
                kind, name, Path(_file(cls)), "__main__", cls.__name__, _summary(cls.__doc__)
            )


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.py") if not path.stem.startswith("_"))


def _read(kind: Kind, path: Path, module: str, any_kind: bool = False) -> Iterator[Member]:
    """The member that a file holds: its one registered class, or what is wrong.

    Nothing for a file of another kind.
    """
    broken = Member(kind, path.stem, path, module)
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError, OSError) as error:
        at = f"line {error.lineno}: " if isinstance(error, SyntaxError) else ""
        yield Member(**{**vars(broken), "error": f"{at}{getattr(error, 'msg', None) or error}"})
        return
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    for node in classes:
        named = _kind_of({_last_name(base) for base in node.bases})
        name = _registered_name(node)
        if (named or (None if any_kind else kind)) != kind or (name is None and named is None):
            continue
        wrong = _missing_package(tree)
        if name is None:
            wrong = f"line {node.lineno}: {node.name} lacks @register({path.stem!r})"
        elif name != path.stem:
            wrong = (
                f"line {node.lineno}: registered as {name!r}, but the file is called {path.name}"
            )
        fields = tuple(_fields(node))
        yield Member(
            kind,
            path.stem,
            path,
            module,
            node.name,
            _summary(ast.get_docstring(node)),
            fields,
            wrong,
        )


def _read_entry(kind: Kind, entry: EntryPoint) -> Member:
    module, _, class_name = entry.value.partition(":")
    top, *rest = module.split(".")
    spec = importlib.util.find_spec(top)
    if spec is None or spec.origin is None:
        return Member(
            kind,
            entry.name,
            Path(top),
            module,
            class_name,
            error=f"entry point {entry.value!r}: no such module",
        )
    path = Path(spec.origin)
    if rest:
        path = path.parent.joinpath(*rest).with_suffix(".py")
    for member in _read(kind, path, module) if path.exists() else ():
        if member.class_name == class_name and member.name == entry.name:
            return member
    return Member(kind, entry.name, path, module, class_name)


def _extend_package() -> None:
    """Let Python's own import machinery find plugin files by name."""
    for path in plugin_paths():
        folder = str(path if path.is_dir() else path.parent)
        if folder not in _package.__path__:
            _package.__path__.append(folder)


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


def _missing_package(tree: ast.Module) -> str | None:
    for node in tree.body:
        tops: list[str] = []
        if isinstance(node, ast.Import):
            tops = [alias.name.partition(".")[0] for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            tops = [node.module.partition(".")[0]]
        for top in tops:
            if top not in sys.modules and importlib.util.find_spec(top) is None:
                return f"line {node.lineno}: needs the package {top!r}, which is not installed"
    return None


def _sources(path: Path, seen: set[Path]) -> set[Path]:
    """The file and, recursively, the files of the members and of sfnbench that its imports name."""
    if (
        path in seen
        or not path.is_file()
        or path in {HERE / "members" / "registry.py", HERE / "errors.py"}
    ):
        return seen
    seen.add(path)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            if node.level:
                base = path.parents[node.level - 1]
            elif (node.module or "").startswith("sfnbench."):
                base = HERE.parent
            else:
                continue
            target = base.joinpath(*(node.module or "").split("."))
            for candidate in (target, *(target / alias.name for alias in node.names)):
                _sources(candidate.with_suffix(".py"), seen)
                if (
                    candidate != HERE and (candidate / "__init__.py").is_file()
                ):  # a package may import its files by name
                    for file in candidate.glob("*.py"):
                        _sources(file, seen)
    return seen


def _line_in(error: BaseException, path: Path) -> int:
    trace, line = error.__traceback__, getattr(error, "lineno", None) or 1
    while trace:
        if trace.tb_frame.f_code.co_filename == str(path):
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def _file(cls: type) -> str:
    return str(getattr(sys.modules.get(cls.__module__), "__file__", None) or cls.__module__)
