"""Critical points: searched from many starts, each end measured, and none left out."""

from __future__ import annotations

from typing import cast

import numpy as np
import torch

from ...core.finder import Finder
from ...core.problem import Problem
from ...errors import SuiteError
from ...members import registry
from ...records import PointRow, Result, Run, Status
from ..progress import Progress, part_of
from ..setup import VMAP_DIM, n_fitting
from .rows import Measured, mark_distinct, measured
from .search import search
from .starts import starts
from .views import Restricted


def execute(run: Run, progress: Progress) -> Result:
    """Search with one finder from every start: a row for each, with end point and spectrum.

    Where the suite asks for subspaces, the same starts are searched in each of them too, and the
    ends are measured in the whole problem.
    """
    problem: Problem = registry.build("problem", run.problem.use, run.problem.params)
    finder: Finder = registry.build("finder", run.method.use, run.method.params)
    spaces: list[Problem] = [problem]
    if run.settings["subspaces"]:
        spaces += [Restricted(problem, subspace) for subspace in problem.subspaces]
    found: list[Measured] = []
    for i, space in enumerate(spaces):
        found += _searched(run, space, finder, part_of(progress, i, len(spaces)))
    rows = [each.row for each in found]
    points = [each.point for each in found]
    mark_distinct(rows, points, problem, run.settings["same"])
    if any(row["converged"] for row in rows):
        status = Status.OK
    else:
        status = Status.STUCK
    arrays = {
        "points": np.stack(points),
        "eigenvalues": np.stack([each.spectrum.values for each in found]),
    }
    if run.settings["spectrum"] == "density":
        arrays["weights"] = np.stack([each.spectrum.weights for each in found])
    facts = {
        "n_parameters": problem.dim,
        "measures": list(problem.measures),
        "weight_decay": run.problem.params.get("weight_decay"),
    }
    made = cast("list[PointRow]", rows)
    return Result(run, status, tuple(made), arrays, {"problem": facts})


def _searched(
    run: Run, space: Problem, finder: Finder, progress: Progress
) -> list[Measured]:
    """The end of each search in a space, as many at once as memory holds."""
    begun = list(starts(run, space))
    if not begun:
        raise SuiteError("no starts: give paths, random or cube")
    batched = space.dim <= VMAP_DIM
    n_at_once = 1
    if batched:
        n_at_once = min(len(begun), n_fitting(space.dim))
    found = []
    for first in range(0, len(begun), n_at_once):
        some = begun[first : first + n_at_once]
        points = torch.stack([start.point for start in some])
        points = points.to(run.device, getattr(torch, run.dtype))

        def report(fraction: float, first: int = first, n: int = len(some)) -> None:
            progress((first + fraction * n) / len(begun))

        ends = search(space, finder, points, batched, report)
        found += [measured(run, space, start, ends, i) for i, start in enumerate(some)]
    return found
