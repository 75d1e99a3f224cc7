"""Where the imports of a file lead: to other files of its own, or to packages that others wrote.

Files are taken by name. ``from package import name`` is the module of that name, or the module that
the package's ``__init__`` has the name from, or else that ``__init__``: never all of the package.
Nothing is imported to find it.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from .plugins import PACKAGE, plugin_folders
from .reading import HERE, Import, Source, read

# Packages that were found; one that was not may be installed meanwhile
_there: set[str] = set()

# Rooms of sfnbench that name, describe and complain: no number goes through them. What records mean
# is in their FORMAT.
_LEFT_OUT = {
    "__init__.py",
    "environment.py",
    "errors.py",
    "members",
    "records.py",
    "words.py",
}

# Packages that sfnbench needs compute the same in every version, to rounding, but for these
# algorithms.
_NEEDED = {
    "annotated_types",
    "numpy",
    "pooch",
    "pydantic",
    "scipy",
    "sklearn",
    "torch",
    "typing_extensions",
}
_ALGORITHMS = (
    "torch.optim",
    "scipy.optimize",
    "scipy.sparse.linalg",
    "scipy.stats",
)


@dataclass(frozen=True)
class Reach:
    """The files that imports lead to, the given ones included."""

    files: frozenset[Path] = frozenset()
    # packages that others wrote and that decide numbers
    packages: frozenset[str] = frozenset()


def reach(*paths: Path) -> Reach:
    """All files and packages that the imports of files lead to, directly or through others."""
    files: set[Path] = set()
    packages: set[str] = set()
    folders = plugin_folders()
    waiting = [*paths]
    while waiting:
        at = waiting.pop()
        if at in files:
            continue
        files.add(at)
        source = source_of(at)
        for target in _direct(source, folders) if source else ():
            if isinstance(target, Path):
                waiting.append(target)
            else:
                packages.add(target)
    return Reach(frozenset(files), frozenset(packages))


def source_of(path: Path) -> Source | None:
    """The source of a file; None where it is no Python, or broken."""
    try:
        return read(path)
    except (OSError, ValueError, SyntaxError):  # ValueError: its bytes are no text
        return None


def module_file(module: str) -> Path | None:
    """The file of a module by its full name, found without importing it; None where it has none."""
    top, *rest = module.split(".")
    home = _home(top)
    if home is None:
        return None
    base = home.joinpath(top, *rest)
    candidates = (base.with_name(f"{base.name}.py"), base / "__init__.py")
    return next((file for file in candidates if file.is_file()), None)


def class_file(module: str, name: str) -> Path | None:
    """The file that defines a class which a module may only pass on."""
    file = module_file(module)
    if file is None:
        return None
    found = next(_named(file, name), None)
    return found if isinstance(found, Path) else file


def is_installed(path: Path) -> bool:
    """Whether a file belongs to an installed package, whose version stands for it."""
    return bool({"site-packages", "dist-packages"} & set(path.parts))


# -- inside ----------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=1024)
def _direct(source: Source, folders: tuple[Path, ...]) -> tuple[Path | str, ...]:
    """The files and packages that a file imports itself, with plugins in these folders."""
    found = (
        target
        for wanted in source.imports
        for target in _targets(wanted, source.path)
    )
    counting = (
        target
        for target in found
        if isinstance(target, str) or not _is_silent(target)
    )
    return tuple(dict.fromkeys(counting))


def _targets(wanted: Import, at: Path) -> Iterator[Path | str]:
    """The files, or the package, that an import in the file `at` names."""
    parts = wanted.module.split(".") if wanted.module else []
    if wanted.level:
        yield from _relative_targets(
            at.parents[wanted.level - 1], parts, wanted.names
        )
        return
    top = parts[0]
    if top in sys.stdlib_module_names:
        return
    if top in _NEEDED:
        if _is_algorithm(wanted):
            yield top
        return
    if top == PACKAGE:
        for folder in plugin_folders():
            yield from _inside(folder, parts[1:], wanted.names)
        return
    home = _home(top)
    if home is None:
        return
    is_own = at.is_relative_to(home / top)
    if is_own or top == HERE.name or not is_installed(home / top):
        yield from _inside(home, parts, wanted.names)
    else:
        yield top


def _relative_targets(
    base: Path, parts: Sequence[str], names: Sequence[str]
) -> Iterator[Path | str]:
    """The module that a relative import names: all folders of plugins are one package."""
    folders = () if _is_shipped(base) else plugin_folders()
    root = next((folder for folder in folders if base.is_relative_to(folder)), None)
    if root:
        bases = [folder / base.relative_to(root) for folder in folders]
    else:
        bases = [base]
    for each in bases:
        if found := list(_inside(each, parts, names)):
            yield from found
            return


def _inside(
    base: Path, parts: Sequence[str], names: Sequence[str]
) -> Iterator[Path | str]:
    """The files of a module below a folder, and of names in it."""
    folder = base.joinpath(*parts)
    if parts:
        file = folder.with_name(f"{parts[-1]}.py")
        if file.is_file():
            yield file
            return
    init = folder / "__init__.py"
    for name in names or ("*",):  # the package itself
        module = folder / f"{name}.py"
        package = folder / name / "__init__.py"
        if module.is_file():
            yield module
        elif package.is_file():
            yield package
        elif init.is_file():
            yield from _named(init, name)


def _named(file: Path, name: str) -> Iterator[Path | str]:
    """The file that a name in this file comes from: this one, unless it only passes it on."""
    found = list(_origins(file, name))
    yield from found or [file]


def _origins(file: Path, name: str) -> Iterator[Path | str]:
    """The file itself where it defines a name, or those that it has it from; else nothing."""
    source = source_of(file)
    for node in ast.walk(source.tree) if source else ():
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            yield file
            return
        if not isinstance(node, ast.ImportFrom):
            continue
        for alias in node.names:
            wanted = Import(node.level, node.module or "", (alias.name,))
            if (alias.asname or alias.name) == name:
                yield from _targets(wanted, file)
                return
            if alias.name == "*":
                stars = [
                    t
                    for t in _targets(wanted, file)
                    if isinstance(t, Path) and t != file
                ]
                if origins := [
                    each for star in stars for each in _origins(star, name)
                ]:
                    yield from origins
                    return


def is_there(top: str) -> bool:
    """Whether a package or module of that name can be found; nothing is imported."""
    if top in _there or top in sys.modules or top in sys.stdlib_module_names:
        return True
    found = importlib.util.find_spec(top) is not None
    if found:
        _there.add(top)
    return found


def is_absence(error: BaseException) -> bool:
    """Whether an import failed for want of a package, and not of a module inside one."""
    return (
        isinstance(error, ModuleNotFoundError)
        and error.name is not None
        and not is_there(error.name.partition(".")[0])
    )


def _home(top: str) -> Path | None:
    """The folder in which a module or package of that name lies, None where there is none."""
    if top == HERE.name:
        return HERE.parent
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):  # a module in sys.modules without a spec
        return None
    if spec is None:
        return None
    for folder in spec.submodule_search_locations or ():
        return Path(folder).parent
    if spec.has_location and spec.origin:
        return Path(spec.origin).parent
    return None


def _is_algorithm(wanted: Import) -> bool:
    full = [f"{wanted.module}.{name}" for name in wanted.names] or [wanted.module]
    return any(
        f"{name}.".startswith(f"{each}.") for name in full for each in _ALGORITHMS
    )


def _is_silent(path: Path) -> bool:
    return (
        path.is_relative_to(HERE) and path.relative_to(HERE).parts[0] in _LEFT_OUT
    )


def _is_shipped(path: Path) -> bool:
    """Whether a path lies in sfnbench itself; in a wheel its ``share`` holds plugins."""
    return path.is_relative_to(HERE) and not path.is_relative_to(HERE / "share")
