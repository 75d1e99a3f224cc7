"""Critical points: searched from many starts, each end measured, and none left out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
import torch

from ...core.finder import Finder
from ...core.problem import Problem
from ...errors import SuiteError
from ...members import registry
from ...records import PointRow, Result, Run, Status
from ..checkpoints import Checkpoint, Kept
from ..progress import Progress, part_of
from ..setup import VMAP_DIM, n_fitting
from ..zero_modes import check_zero_modes
from .joins import joined
from .rows import Measured, mark_distinct, measured
from .search import search
from .starts import Start, starts
from .views import Restricted


def execute(run: Run, progress: Progress) -> Result:
    """Search with one finder from every start: a row for each, with end point and spectrum.

    Where the suite asks for subspaces, the same starts are searched in each of them too, and the
    ends are measured in the whole problem.
    """
    problem = _problem_of(run)
    finder: Finder = registry.build("finder", run.method.use, run.method.params)
    spaces: list[Problem] = [problem]
    if run.settings["subspaces"]:
        spaces += [Restricted(problem, subspace) for subspace in problem.subspaces]
    checkpoint = Checkpoint()
    found: list[Measured] = []
    for i, space in enumerate(spaces):
        searches = _Searching(run, space, finder, checkpoint, f"space {i}")
        found += searches.ends(part_of(progress, i, len(spaces)))
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
    if run.settings.get("joins"):
        arrays["joined"] = joined(rows, points, problem)
    facts = {
        "n_parameters": problem.dim,
        "measures": list(problem.measures),
        "weight_decay": run.problem.params.get("weight_decay"),
    }
    made = cast("list[PointRow]", rows)
    return Result(run, status, tuple(made), arrays, {"problem": facts})


def _problem_of(run: Run) -> Problem:
    problem: Problem = registry.build(
        "problem", run.problem.use, run.problem.params
    )
    check_zero_modes(run, problem)
    return problem


@dataclass(frozen=True)
class _Searching:
    """The searches of one finder in a space, as many at once as memory holds."""

    run: Run
    space: Problem
    finder: Finder
    checkpoint: Checkpoint
    name: str  # of the space, in the checkpoint

    def ends(self, progress: Progress) -> list[Measured]:
        """The end of each search."""
        begun = list(starts(self.run, self.space, self.checkpoint, self.name))
        if not begun:
            raise SuiteError("no starts: give paths, random or cube")
        n_at_once = 1
        if self._is_batched:
            n_at_once = min(len(begun), n_fitting(self.space.dim))
        found = []
        for first in range(0, len(begun), n_at_once):
            some = begun[first : first + n_at_once]

            def report(
                fraction: float, first: int = first, n: int = len(some)
            ) -> None:
                progress((first + fraction * n) / len(begun))

            found += self._ends_of(some, f"{self.name} from start {first}", report)
        return found

    @property
    def _is_batched(self) -> bool:
        return self.space.dim <= VMAP_DIM

    def _ends_of(
        self, some: list[Start], part: str, progress: Progress
    ) -> list[Measured]:
        """The ends of these searches, which go at once."""
        run = self.run
        points = torch.stack([start.point for start in some])
        points = points.to(run.device, getattr(torch, run.dtype))
        ends = search(
            self.space,
            self.finder,
            points,
            self._is_batched,
            progress,
            self.checkpoint,
            part,
        )
        part = f"{part}, measured"
        kept = self.checkpoint.part(part) or {"ends": []}
        found = [Measured.of(each) for each in kept["ends"]]

        def state() -> Kept:
            return {"ends": [each.kept() for each in found]}

        for i in range(len(found), len(some)):
            found.append(measured(run, self.space, some[i], ends, i))
            self.checkpoint.offer(part, state)
        self.checkpoint.offer(part, state, is_done=True)
        return found
