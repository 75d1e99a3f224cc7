"""Experiments by name: a folder each, found by being there.

A folder holds ``keys.py`` (the class `Keys`: what a suite may say) and ``execute.py`` (the function
`execute`: a run in, a result out). It may hold ``table.py``, ``compare.py`` and a folder
``figures/`` with a file for each kind of figure: its function `extract` takes what it needs of one
result, and its function `figures` draws all of them.
Nothing is imported before it is used, so that reading a suite or a table imports no torch.

>>> names()
('critical_points', 'race', 'throughput')
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from dataclasses import dataclass
from functools import cache
from types import ModuleType

from ..errors import SuiteError
from ..words import did_you_mean

__all__ = ["Experiment", "find", "names"]


@dataclass(frozen=True)
class Experiment:
    """One experiment; each attribute imports the module of that name from its folder."""

    name: str

    @property
    def keys(self) -> ModuleType:
        """The keys that a suite may have, in the class `Keys`."""
        return importlib.import_module(f"{__name__}.{self.name}.keys")

    @property
    def execute(self) -> ModuleType:
        """Its function `execute(run, progress)` gives the result; imports torch."""
        return importlib.import_module(f"{__name__}.{self.name}.execute")

    @property
    def table(self) -> ModuleType | None:
        """How its results read as a table."""
        return self._optional("table")

    @property
    def figures(self) -> tuple[ModuleType, ...]:
        """The kinds of figures that its results have, in alphabetical order."""
        return _figures(self.name)

    @property
    def compare(self) -> ModuleType | None:
        """How two of its results are compared."""
        return self._optional("compare")

    def _optional(self, part: str) -> ModuleType | None:
        module = f"{__name__}.{self.name}.{part}"
        if importlib.util.find_spec(module):
            return importlib.import_module(module)
        return None


@cache
def _figures(experiment: str) -> tuple[ModuleType, ...]:
    folder = f"{__name__}.{experiment}.figures"
    if not importlib.util.find_spec(folder):
        return ()
    paths = importlib.import_module(folder).__path__
    found = sorted(each.name for each in pkgutil.iter_modules(paths))
    return tuple(importlib.import_module(f"{folder}.{name}") for name in found)


@cache
def names() -> tuple[str, ...]:
    """Every experiment, in alphabetical order."""
    return tuple(
        sorted(each.name for each in pkgutil.iter_modules(__path__) if each.ispkg)
    )


def find(name: str) -> Experiment:
    """The experiment of that name; SuiteError with the nearest name where there is none."""
    if name not in names():
        raise SuiteError(
            f"unknown experiment {name!r}{did_you_mean(name, names())}"
        )
    return Experiment(name)
