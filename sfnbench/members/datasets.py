"""Datasets as their files lie: found by being there, and never run.

A dataset is one file that assigns ``DATASET``; its name is the file's. Looked for in sfnbench
itself, in the folders of plugins, and in the entry points ``sfnbench.datasets``, whose value is a
module or ``module:NAME``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ..errors import DataError
from .discovery import entries
from .imports import module_file
from .outlines import Outline, outline
from .plugins import PACKAGE, plugin_paths
from .reading import HERE

ATTRIBUTE = "DATASET"


class DatasetFile(NamedTuple):
    """Where a dataset is described: ``module.attribute``."""

    path: Path
    module: str
    attribute: str = ATTRIBUTE

    @property
    def summary(self) -> str:
        """The first line of the file's docstring, or that it is broken."""
        file = _outline(self.path)
        if file is None:
            return f"BROKEN: {self.path} cannot be read as Python"
        return file.summary


def dataset_files() -> dict[str, DatasetFile]:
    """Every dataset by name, broken ones included.

    Two different files under one name are a DataError.
    """
    found: dict[str, DatasetFile] = {}
    for name, file in _everywhere():
        other = found.setdefault(name, file)
        if other.path.resolve() != file.path.resolve():
            raise DataError(
                f"two datasets are called {name!r}: {other.path} and {file.path}"
            )
    return dict(sorted(found.items()))


def _everywhere() -> Iterator[tuple[str, DatasetFile]]:
    for path in sorted((HERE / "datasets").glob("[!_]*.py")):
        yield path.stem, DatasetFile(path, f"sfnbench.datasets.{path.stem}")
    for root in plugin_paths():
        for path in sorted((root / "datasets").glob("[!_]*.py")):
            yield path.stem, DatasetFile(path, f"{PACKAGE}.datasets.{path.stem}")
        if root.is_file():
            lone = [root]
        else:
            lone = sorted(root.glob("[!_]*.py"))
        for path in lone:
            if _assigns_dataset(path):
                yield path.stem, DatasetFile(path, f"{PACKAGE}.{path.stem}")
    for entry in entries("datasets"):
        path = module_file(entry.module) or Path(entry.module)
        yield entry.name, DatasetFile(path, entry.module, entry.attr or ATTRIBUTE)


def _assigns_dataset(path: Path) -> bool:
    file = _outline(path)
    return file is not None and ATTRIBUTE in file.names


def _outline(path: Path) -> Outline | None:
    """The outline of a file; None where it is no Python, or broken."""
    try:
        return outline(path)
    except (OSError, ValueError, SyntaxError):  # ValueError: its bytes are no text
        return None
