"""Measuring at points: on the whole loss, in batches where that is faster, outside all counters."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from ..core.denormals import flushed
from ..core.metric import Metric
from ..core.oracle import Oracle
from ..core.problem import Problem
from ..core.ranks import current_ranks
from ..errors import PluginError
from ..members import registry
from ..trajectories.vmapped import map_points

# Parameters up to which points are measured together: beyond, a batch gains nothing and costs
# memory.
BATCHED_DIM = 64
BATCH = 1024  # points

Scalars = Tensor | Mapping[str, Tensor]  # (), or several of them by name


def measure(
    problem: Problem, what: str | Metric, points: Tensor
) -> dict[str, Tensor]:
    """A metric, or one of the problem's own measures by its name, at points (n, d).

    Returns (n,) numbers by name: its own, and those of its companions. NaN where a point is not
    finite, and where the problem has no such measure.
    """
    if isinstance(what, str) and what in problem.measures:
        return _at(problem, points, (what,), getattr(problem, what))
    metric = what if isinstance(what, Metric) else _metric(what)
    if metric is None:
        return {str(what): points.new_full((len(points),), math.nan)}
    names = (metric.name, *metric.companions)
    return _at(
        problem, points, names, lambda theta: metric.measure(oracle(problem), theta)
    )


def map_finite(
    problem: Problem, ask: Callable[[Tensor], dict[str, Tensor]], points: Tensor
) -> dict[str, Tensor]:
    """Scalars () by name at each of the points (n, d), all finite: (n,) by name."""
    with flushed(points):
        return map_points(ask, points, points_together(problem))


def points_together(problem: Problem) -> int:
    """How many points are measured together."""
    if current_ranks() is not None:  # they meet at each point
        return 1
    if problem.dim <= BATCHED_DIM and problem.vmappable:
        return BATCH
    return 1


def by_name(name: str, answer: Scalars) -> dict[str, Tensor]:
    """An answer by name: its own, where it is one number."""
    if isinstance(answer, Mapping):
        return dict(answer)
    return {name: answer}


def oracle(problem: Problem) -> Oracle:
    """An oracle that counts for nothing; a small problem's is asked inside a transform."""
    return Oracle(problem, eager=points_together(problem) == 1)


def _at(
    problem: Problem,
    points: Tensor,
    names: tuple[str, ...],
    ask: Callable[[Tensor], Scalars],
) -> dict[str, Tensor]:
    """The answers at each finite point, NaN at the others.

    In a batch a finite point stands in for each of the others: a batch of another size, or a point
    at another place in it, may round otherwise.
    """
    nothing = points.new_full((len(points),), math.nan)
    finite = torch.isfinite(points).all(1)
    found = dict.fromkeys(names, nothing)
    if not finite.any():
        return found
    asked = points[finite]
    if points_together(problem) > 1:
        asked = torch.where(finite[:, None], points, asked[0])
    answers = map_finite(
        problem, lambda theta: by_name(names[0], ask(theta)), asked
    )
    for name, values in answers.items():
        known = values.to(points.dtype)
        if len(known) == len(points):
            found[name] = torch.where(finite, known, nothing)
        else:
            found[name] = nothing.index_put((finite,), known)
    return found


def _metric(name: str) -> Metric | None:
    """The metric of that name; None where it can only be a measure of other problems."""
    try:
        member = registry.find("metric", name)
    except PluginError:
        return None
    made: Metric = registry.load(member)()
    return made
