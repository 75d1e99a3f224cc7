"""The lines of all methods, and their table."""

import contextlib
import importlib
import inspect
import io
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import fields

import torch

from sfnbench.trajectories import scipy_stock
from sfnbench.trajectories.chance import lent_generators

from .by_hand import CPU
from .classes import line_of
from .line import Line
from .scipys import scipy_line

PACKAGES = ("torch.optim", "pytorch_optimizer", "scipy.optimize")


def names_in(package: str) -> list[str]:
    """Every optimizer that a package offers."""
    if package == "scipy.optimize":
        return [f"{package}.{method}" for method in sorted(scipy_stock.METHODS)]
    found = vars(importlib.import_module(package))
    return [
        f"{package}.{name}" for name in sorted(found) if _is_offered(found[name])
    ]


def _is_offered(value: object) -> bool:
    is_optimizer = inspect.isclass(value) and issubclass(
        value, torch.optim.Optimizer
    )
    return is_optimizer and value is not torch.optim.Optimizer


def measured(names: Iterable[str]) -> Iterator[Line]:
    """The lines of these methods, one after another."""
    for name in names:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            line = _measured(name)
        yield line


def _measured(name: str) -> Line:
    try:
        with lent_generators(CPU):
            if name.startswith("scipy.optimize."):
                return scipy_line(name)
            return line_of(name)
    except Exception as error:
        return Line(name, runs=f"{type(error).__name__}: {error}".splitlines()[0])


def table(names: Iterable[str]) -> Iterator[str]:
    """The rows of a table, as they are known, and the count of those that are right."""
    heads = [each.name.replace("_", " ") for each in fields(Line)[:-1]]
    yield "| " + " | ".join([*heads, "reason"]) + " |"
    yield "|---" * (len(heads) + 1) + "|"
    lines = []
    for line in measured(names):
        lines.append(line)
        yield line.written
    yield f"\n{sum(line.is_right for line in lines)} of {len(lines)} are right."
