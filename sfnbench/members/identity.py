"""The code that decides a run's numbers, and the versions of packages.

Each file is hashed with all that it imports of sfnbench or of its own package. Two kinds of hashes
make a run stale, each with a reason of its own: the source of the problem and of the method, and
the harness, which is the experiment's ``execute`` with all that it imports. A version stands for
the code of an installed package. Nothing here imports torch, or a member.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.metadata
import itertools
import json
import os
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from ..errors import PluginError
from ..records import Run
from . import registry
from .datasets import DatasetFile, dataset_files
from .imports import class_file, is_installed, reach, source_of
from .reading import HERE, Source
from .registry import Kind

# What a member speaks with its harness, which imports it too: it counts as the harness's alone.
_VOCABULARY: Mapping[Kind, tuple[str, ...]] = {
    "optimizer": ("optimizer", "problem", "network", "fields"),
    "problem": ("problem", "network", "fields"),
    "finder": ("finder", "problem", "fields"),
    "metric": ("metric", "problem", "fields"),
}
T = TypeVar("T")
# functions of sfnbench.datasets that take a set's name
_READERS = {"find", "find_text", "load", "load_text"}


@dataclass(frozen=True)
class Code:
    """Code that a run reaches: files by their places, and packages whose version stands for them.

    A place is the path from the folder of the member, or from sfnbench's, so that it is the same
    on every machine.
    """

    files: Mapping[str, Path]
    packages: frozenset[str] = frozenset()


@contextmanager
def unchanging() -> Iterator[None]:
    """Within this block each piece of code is looked up once: no file changes meanwhile."""
    global _known
    before = _known
    _known = {} if before is None else before
    try:
        yield
    finally:
        _known = before


def identify(run: Run, method: Kind) -> Run:
    """The run with the hashes and versions of the code that it runs; its method is of that kind."""
    code, versions = _once(
        ("run", *_parts(run, method)), lambda: _identity(run, method)
    )
    return replace(run, code={**code}, versions={**versions})


def files_of(run: Run, method: Kind) -> frozenset[Path]:
    """The files of all members that a run names."""
    return _once(("files", *_parts(run, method)), lambda: _files(run, method))


def _files(run: Run, method: Kind) -> frozenset[Path]:
    every = itertools.chain(*_codes_of(run, method).values())
    return frozenset(file for each in every for file in each.files.values())


def _codes_of(run: Run, method: Kind) -> dict[str, list[Code]]:
    """The code of the members that a run names, by what they are in it."""
    paths = [path["optimizer"] for path in run.settings.get("paths", ())]
    found = {
        "members": [
            *codes("problem", run.problem.use, run.problem.params),
            *codes(method, run.method.use, run.method.params),
        ],
        "optimizers of its paths": [
            each
            for path in paths
            for each in codes("optimizer", path["use"], path["params"])
        ],
    }
    for name in sorted({*_metrics(run.settings)}):
        found[f"metric {name}"] = codes("metric", name, {})
    return {name: each for name, each in found.items() if each}


def _identity(run: Run, method: Kind) -> tuple[dict[str, str], dict[str, str]]:
    found = _codes_of(run, method)
    packages = {
        name for each in itertools.chain(*found.values()) for name in each.packages
    }
    versions = {
        package: _once(("version", package), functools.partial(_version, package))
        for package in sorted(packages)
    }
    found.pop("members", None)  # their specs have the hashes
    code = {"harness": _harness_digest(run.experiment)}
    code.update({name: digest(each) for name, each in found.items()})
    return code, versions


def _parts(run: Run, method: Kind) -> tuple[str, ...]:
    """The parts of a run that can name code."""
    return (
        *(run.experiment, run.problem.use, _once_of(run.problem.params, _texts_in)),
        *(method, run.method.use, _once_of(run.method.params, _texts_in)),
        _once_of(run.settings, _as_text),
    )


def _as_text(settings: Mapping[str, Any]) -> str:
    return json.dumps(settings, sort_keys=True, default=str)


def source_hash(kind: Kind, use: str, params: Mapping[str, Any]) -> str:
    """Hash of the source behind a problem or a method, and behind what its parameters name.

    Empty where the version of a package stands for all of it.
    """
    key = ("source", kind, use, _texts_in(params))
    return _once(key, lambda: digest(codes(kind, use, params)))


def harness(experiment: str) -> Code:
    """The code that runs an experiment, members aside."""
    found = reach(HERE / "experiments" / experiment / "execute.py")
    return Code(_placed(found.files, HERE))


def codes(kind: Kind, use: str, params: Mapping[str, Any]) -> list[Code]:
    """The code of a member or of a stock optimizer, then of what its parameters name."""
    key = ("codes", kind, use, _texts_in(params))
    return _once(key, lambda: _codes(kind, use, params))


def _codes(kind: Kind, use: str, params: Mapping[str, Any]) -> list[Code]:
    own = _member(kind, use) or _stock_code(use)
    found = [own] if own else []
    if own and "sfnbench/modules/problem.py" in own.files:
        found += _named_by(params)
    if any("sfnbench/datasets/__init__.py" in each.files for each in found):
        known = dataset_files()
        called = (name for each in found for name in _datasets_in(each))
        named = {*_texts(params), *called} & set(known)
        found += [_dataset(known[name]) for name in sorted(named)]
    for entry in _entries(params):
        inner = {name: value for name, value in entry.items() if name != "use"}
        found += codes("optimizer", entry["use"], inner)
    return found


def digest(found: Iterable[Code]) -> str:
    """Sixteen digits of all files, the same in every process and place; empty without files."""
    lines = {
        f"{place} {_file_digest(file)}\n"
        for each in found
        for place, file in each.files.items()
    }
    text = "".join(sorted(lines))
    if text:
        return hashlib.sha256(text.encode()).hexdigest()[:16]
    return ""


# -- inside ----------------------------------------------------------------------------------------

_known: dict[Hashable, Any] | None = None  # within `unchanging`


def _once(key: Hashable, find: Callable[[], T]) -> T:
    if _known is None:
        return find()
    if key not in _known:
        _known[key] = find()
    found: T = _known[key]
    return found


def _harness_digest(experiment: str) -> str:
    key = ("harness", experiment)
    return _once(key, lambda: digest([harness(experiment)]))


def _once_of(
    value: Mapping[str, Any], find: Callable[[Mapping[str, Any]], str]
) -> str:
    """As `_once`, by the mapping itself: the runs of a suite share theirs."""
    if _known is None:
        return find(value)
    key = (find, id(value))
    if key not in _known:
        _known[key] = value, find(value)  # kept, so that no other takes its id
    found: str = _known[key][1]
    return found


def _texts_in(params: Mapping[str, Any]) -> str:
    """The parameters that can name code: all of them where there is any text, else none."""
    if not any(_texts(params)):
        return ""
    return json.dumps(params, sort_keys=True, default=str)


def _member(kind: Kind, name: str) -> Code | None:
    try:
        member = registry.find(kind, name)
    except PluginError:
        return None
    if member.error and not member.path.is_file():
        raise PluginError(member.error)
    shared = reach(
        *(HERE / "core" / f"{module}.py" for module in _VOCABULARY[kind])
    )
    found = reach(member.path)
    packages = found.packages | member.packages
    return Code(_placed(found.files - shared.files, member.path.parent), packages)


def _stock_code(use: str) -> Code | None:
    """The code behind ``package.module.Class`` or ``package.module:Class``; None for others."""
    module, _, name = use.partition(":") if ":" in use else use.rpartition(".")
    top = module.partition(".")[0]
    if top in ("scipy", "torch"):
        return Code({}, frozenset({top}))
    file = class_file(module, name) if module else None
    if file is None:
        return None
    if is_installed(file):
        return Code({file.name: file}, frozenset({top}))
    return _of_file(file)


def _named_by(params: Mapping[str, Any]) -> Iterator[Code]:
    """The code that a module of one's own is made by, torch, and the bytes of its checkpoint."""
    yield Code({}, frozenset({"torch"}))
    for text in _texts(params):
        code = None
        if registry.is_stock(text):
            code = _stock_code(text)
        if code is not None:
            yield code
        elif Path(text).is_file():
            yield Code({Path(text).name: Path(text)})


def _of_file(file: Path) -> Code:
    found = reach(file)
    return Code(_placed(found.files, file.parent), found.packages)


def _placed(files: Iterable[Path], root: Path) -> dict[str, Path]:
    return {_relative_path(file, root): file for file in files}


def _relative_path(file: Path, root: Path) -> str:
    # a wheel keeps here the plugins that lie beside the package in a clone
    share = HERE / "share"
    if file.is_relative_to(HERE) and not file.is_relative_to(share):
        return file.relative_to(HERE.parent).as_posix()
    return Path(os.path.relpath(file, root)).as_posix()


def _file_digest(file: Path) -> str:
    read = source_of(file) if file.suffix == ".py" else None
    if read:
        return read.digest
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _dataset(file: DatasetFile) -> Code:
    if is_installed(file.path):
        top = file.module.partition(".")[0]
        return Code({file.path.name: file.path}, frozenset({top}))
    if file.path.is_file():
        return _of_file(file.path)
    return Code({})


def _datasets_in(code: Code) -> Iterator[str]:
    """Names with which the code calls for datasets: those in ``load("mnist")``."""
    for file in code.files.values():
        if read := source_of(file):
            yield from _called_for(read)


@functools.lru_cache(maxsize=1024)
def _called_for(read: Source) -> tuple[str, ...]:
    calls = [
        node
        for node in ast.walk(read.tree)
        if isinstance(node, ast.Call) and node.args
    ]
    return tuple(
        str(call.args[0].value)
        for call in calls
        if isinstance(call.args[0], ast.Constant)
        and (getattr(call.func, "attr", None) or getattr(call.func, "id", None))
        in _READERS
    )


def _metrics(settings: Mapping[str, Any]) -> Iterator[str]:
    """Names of what an experiment measures, a problem's own measures among them."""
    for name, _ in settings.get("metrics", ()):
        yield name
    if "energy" in settings:
        yield settings["energy"]


def _texts(value: Any) -> Iterator[str]:
    """All texts among parameters."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _texts(each)


def _entries(value: Any) -> Iterator[Mapping[str, Any]]:
    """The outermost entries {use: NAME, ...} among parameters."""
    if isinstance(value, Mapping):
        inner = value.values()
    else:
        inner = value
    for each in (
        inner if isinstance(inner, Iterable) and not isinstance(inner, str) else ()
    ):
        if isinstance(each, Mapping) and isinstance(each.get("use"), str):
            yield each
        else:
            yield from _entries(each)


@functools.cache
def _distributions() -> Mapping[str, list[str]]:
    return importlib.metadata.packages_distributions()


def _version(package: str) -> str:
    """The version of an installed package, without its build: the same for every device."""
    try:
        version = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        names = _distributions().get(package)
        version = ""
        if names:
            version = importlib.metadata.version(names[0])
    return version.partition("+")[0]
