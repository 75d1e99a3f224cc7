"""Stock optimizers by name: ``torch.optim.X``, any class like it, ``scipy.optimize.METHOD``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from ..core.problem import Problem
from . import scipy_stock
from .scipy_stock import SCIPY, ScipyMinimizer
from .torch_entries import BATCH_SIZE, read_entry
from .torch_entry import EntryError, Fault
from .torch_stock import Asking, Need, Separate, Stacked
from .trajectories import Trajectories
from .trial import Tiny, need_of, tried

TAKES_GRADIENTS = Need(gradient=True)


def find_faults(
    use: str,
    params: Mapping[str, Any],
    problems: Mapping[str, Problem] = MappingProxyType({}),
    dtypes: Sequence[str] = ("float64",),
    n_steps: int | None = None,
) -> list[Fault]:
    """Everything wrong with a stock optimizer's name and parameters.

    On the problems it makes the steps that a run would make, with tensors like theirs; where none
    are known, on a matrix and a vector. `n_steps` are those of the budget, where it has them.
    """
    if use.startswith(SCIPY):
        return scipy_stock.faults_of_method(use.removeprefix(SCIPY), params)
    try:
        entry = read_entry(use, params, n_steps)
    except EntryError as error:
        return error.faults
    size = batch_size(params)
    if not (size is None or (type(size) is int and size >= 1)):
        message = f"{BATCH_SIZE} must be a whole number of at least 1, not {size!r}"
        return [Fault((BATCH_SIZE,), message)]
    if not (problems or entry.groups):
        problems = {"": Tiny((("weight", (3, 2)), ("bias", (3,))))}
    found = {
        (label, dtype): tried(use, params, problem, getattr(torch, dtype), n_steps)
        for label, problem in problems.items()
        for dtype in dtypes
    }
    faults = {
        where: each for where, each in found.items() if isinstance(each, Fault)
    }
    if len(faults) == len(found):
        return list(dict.fromkeys(faults.values()))
    return [
        Fault(path, f"{message} (on {label}, {dtype})")
        for (label, dtype), (path, message) in faults.items()
    ]


def completed(
    use: str, params: Mapping[str, Any], n_steps: int | None = None
) -> dict[str, Any]:
    """All parameters, with the class's own defaults; one form for all that means the same.

    Those of scipy's methods stay as given.
    """
    if use.startswith(SCIPY):
        return dict(params)
    size = batch_size(params)
    batch = {} if size is None else {BATCH_SIZE: size}
    return {**read_entry(use, params, n_steps).written, **batch}


def batch_size(params: Mapping[str, Any]) -> int | None:
    """How many examples its minibatches have; a parameter of the race, not of the optimizer."""
    return params.get(BATCH_SIZE)


def shares_batches(
    problem: Problem,
    use: str,
    params: Mapping[str, Any],
    dtype: torch.dtype,
    n_steps: int | None = None,
) -> bool:
    """Whether seeds can advance together: not where a method evaluates as often as it likes."""
    if use.startswith(SCIPY):
        return False
    return need_of(use, params, problem, dtype, n_steps) == TAKES_GRADIENTS


def lift_stock(
    problem: Problem,
    use: str,
    params: Mapping[str, Any],
    starts: Tensor,
    seeds: Sequence[int],
    n_steps: int | None = None,
) -> Trajectories:
    """Trajectories of a stock optimizer from starts (S, d), one for each of the seeds.

    S is 1 unless it `shares_batches`. `n_steps` are those of the budget, for its schedule.
    """
    if use.startswith(SCIPY):
        return ScipyMinimizer(problem, use.removeprefix(SCIPY), params, starts)
    entry = read_entry(use, params, n_steps)
    need = need_of(use, params, problem, starts.dtype, n_steps)
    if need != TAKES_GRADIENTS:
        return Asking(problem, starts, entry, seeds, need)
    if entry.is_elementwise:
        return Stacked(problem, starts, entry)
    return Separate(problem, starts, entry, seeds)
