"""Plans of suites that were read before, so that to do nothing again takes no time.

A plan is kept in the user's cache under a hash of all that it rests on: the suite's text, what was
asked for, every source file of sfnbench, of plugins and beside the suite, the packages that are
installed, and the data files. It is believed where all of that is the same to the byte, and
otherwise made again. A plan that rests on anything else, or has ranges to tune, is not kept.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import platformdirs

from ..members import identity, registry
from ..members.imports import is_installed
from ..members.reading import HERE
from ..records import Run, Spec
from ..suite.asked import check_names
from ..suite.files import locate, read_suite
from ..suite.plan import full_plan, missing_data, to_download
from ..suite.reading import Suite, load_suite
from .device import device_kind

MOST_PLANS, MOST_FILES = 100, 5000
# whether one of these exists, before torch is asked
GPUS = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")


@dataclass(frozen=True)
class Planned:
    """A suite and its runs; whether every file of data that they need was there."""

    suite: Suite
    runs: tuple[Run, ...]
    has_data: bool = False
    # members that joined and cannot run everywhere, a line each
    left_out: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        suite: Suite,
        optimizers: Iterable[str] | None = None,
        problems: Iterable[str] | None = None,
        seeds: int | Sequence[int] | None = None,
        device: str = "auto",
    ) -> Planned:
        """The plan of a suite that is read already; arguments as of `sfnbench.plan`."""
        kind = device_kind(device)
        made = full_plan(
            suite,
            optimizers=optimizers,
            problems=problems,
            seeds=seeds,
            device=kind,
        )
        return cls(suite, made.runs, left_out=made.left_out)


@dataclass(frozen=True)
class Request:
    """What is asked for: a suite's name or path, and choices as `sfnbench.session` takes them."""

    name: str | Path
    profile: str | None = None
    optimizers: tuple[str, ...] | None = None
    problems: tuple[str, ...] | None = None
    seeds: int | tuple[int, ...] | None = None
    device: str = "auto"

    def check(self) -> None:
        """SuiteError for names that are not known, found without torch."""
        n_seeds = None
        if isinstance(self.seeds, int):
            n_seeds = self.seeds
        picked = self.optimizers or (), self.problems or ()
        check_names(self.name, self.profile, *picked, n_seeds)

    def recall(self) -> Planned | None:
        """The plan that was kept for this and for all that it rests on; None without one."""
        with suppress(OSError, ValueError, KeyError, TypeError):
            head, _, text = self._file.read_text("utf-8").partition("\n")
            if head == hashlib.sha256(text.encode()).hexdigest():
                return _planned_from(json.loads(text))
        return None

    def make(self) -> Planned:
        """The plan, made and kept."""
        before = None
        with suppress(OSError, ValueError):
            before = self._before
        suite = load_suite(self.name, self.profile)
        choices = self.optimizers, self.problems, self.seeds, self.device
        made = Planned.of(suite, *choices)
        if (
            before is None
            or suite.tune
            or not _is_all_known_code(made, self._roots)
        ):
            return made
        is_there = not missing_data(made.runs) and not to_download(made.runs)
        made = replace(made, has_data=is_there)
        # What changed meanwhile is not for the next time.
        with suppress(OSError, ValueError):
            if made.has_data and self._key() == before:
                _keep(self._file, made)
        return made

    @cached_property
    def _before(self) -> str:
        return self._key()

    @property
    def _file(self) -> Path:
        return plans_folder() / f"{self._before}.json"

    @property
    def _roots(self) -> tuple[Path, ...]:
        return (HERE, *registry.plugin_paths())

    def _key(self) -> str:
        """A hash of all that the plan rests on; ValueError for more than is looked through."""
        path = locate(self.name)
        asked = asdict(self)
        asked["name"] = str(path.resolve())
        said = {
            "asked": asked,
            "text": read_suite(path),
            "here": os.getcwd(),
            "python": sys.version,
            "path": _paths(path.parent),
            "gpu": [each for each in GPUS if Path(each).exists()],
            "visible": os.environ.get("CUDA_VISIBLE_DEVICES"),
            "installed": sorted(_installed(_paths(path.parent))),
            "data": sorted(_data()),
        }
        found = hashlib.sha256(json.dumps(said, sort_keys=True).encode())
        for file in _source_files(self._roots, path.parent):
            found.update(f"{file}\0".encode() + file.read_bytes() + b"\0")
        return found.hexdigest()


def plans_folder() -> Path:
    """Where plans are kept."""
    return Path(platformdirs.user_cache_dir("sfnbench")) / "plans"


# -- inside ----------------------------------------------------------------------------------------


def _source_files(roots: Iterable[Path], beside: Path) -> Iterator[Path]:
    """Every Python file below the roots, and those beside a suite and in the current folder."""
    for root in roots:
        if root.is_file():
            yield root
        else:
            yield from sorted(root.rglob("*.py"))
    for folder in dict.fromkeys((beside.resolve(), Path.cwd())):
        yield from sorted(folder.glob("*.py"))


def _paths(beside: Path) -> list[str]:
    """Where packages are found; a suite's own folder and the current one join while it is read."""
    own = {str(beside.resolve()), str(Path.cwd()), ""}
    return [folder for folder in sys.path if folder not in own]


def _installed(paths: Iterable[str]) -> Iterator[str]:
    """The packages there: each has a folder named after it and its version."""
    for folder in paths:
        with suppress(OSError), os.scandir(folder) as entries:
            for each in entries:
                if each.name.endswith((".dist-info", ".egg-info", ".pth")):
                    yield f"{folder} {each.name} {each.stat().st_mtime_ns}"


def _data() -> Iterator[str]:
    """The files of data, by their size and time; ValueError where there are too many."""
    given = os.environ.get("SFNBENCH_DATA")
    if given:
        root = Path(given).expanduser()
    else:
        root = plans_folder().parent
    n = 0
    for folder, _, names in os.walk(root):
        if Path(folder) == plans_folder():
            continue
        n += len(names)
        if n > MOST_FILES:
            raise ValueError(f"more than {MOST_FILES} files in {root}")
        for name in names:
            state = os.stat(os.path.join(folder, name))
            yield f"{folder}/{name} {state.st_size} {state.st_mtime_ns}"


def _is_all_known_code(made: Planned, roots: Iterable[Path]) -> bool:
    """Whether all code of these runs is that of installed packages, or lies below the roots."""
    roots = tuple(root.resolve() for root in roots)
    files: set[Path] = set()
    with identity.unchanging():
        for run in made.runs:
            files |= identity.files_of(run, made.suite.method)
    return all(
        is_installed(file)
        or any(file.resolve().is_relative_to(root) for root in roots)
        for file in files
    )


def _keep(file: Path, made: Planned) -> None:
    """Write a plan, whole or not at all, and drop the oldest of many."""
    suite = {name: getattr(made.suite, name) for name in _names_of_fields(Suite)}
    del suite["absent"]
    data = {
        "suite": {**suite, "path": str(made.suite.path)},
        "runs": {
            name: _stored_column([getattr(run, name) for run in made.runs])
            for name in _names_of_fields(Run)
        },
        "left_out": made.left_out,
    }
    text = json.dumps(data, default=Spec.__getstate__)
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor, partial = tempfile.mkstemp(dir=file.parent, suffix=".part")
    with os.fdopen(descriptor, "w", encoding="utf-8") as written:
        written.write(f"{hashlib.sha256(text.encode()).hexdigest()}\n{text}")
    os.replace(partial, file)
    known = sorted(file.parent.iterdir(), key=lambda each: each.stat().st_mtime)
    for old in known[:-MOST_PLANS]:
        old.unlink()


def _planned_from(data: Mapping[str, Any]) -> Planned:
    given = dict(data["suite"])
    for name in ("problems", "optimizers", "inner"):
        given[name] = tuple(Spec(**spec) for spec in given[name])
    for name in ("seeds", "indices"):
        given[name] = tuple(given[name])
    given["path"] = Path(given["path"])
    given["absent"] = ()  # the plan needs none of them
    runs = map(
        Run, *(_values(name, data["runs"][name]) for name in _names_of_fields(Run))
    )
    return Planned(Suite(**given), tuple(runs), True, tuple(data["left_out"]))


def _names_of_fields(kind: type[Suite] | type[Run]) -> tuple[str, ...]:
    return tuple(kind.__dataclass_fields__)


def _stored_column(values: Sequence[Any]) -> dict[str, Any]:
    """A field of all runs, each value written once: thousands of runs share a few."""
    known: dict[str, int] = {}
    places: dict[int, int] = {}
    kept: list[Any] = []
    for value in values:
        if id(value) in places:
            continue
        text = json.dumps(value, default=Spec.__getstate__)
        if text not in known:
            known[text] = len(kept)
            kept.append(value)
        places[id(value)] = known[text]
    return {"values": kept, "places": [places[id(value)] for value in values]}


def _values(name: str, column: Mapping[str, Any]) -> list[Any]:
    """The field of that name of all runs, from a `_stored_column`."""
    values = column["values"]
    if name in ("problem", "method"):
        values = [Spec(**spec) for spec in values]
    if name == "seeds":
        values = [tuple(seeds) for seeds in values]
    return [values[place] for place in column["places"]]
