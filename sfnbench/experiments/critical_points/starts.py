"""Where searches for critical points start.

Along an optimizer's path, at the problem's own starts, and in a cube.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ...core.problem import Problem
from ...records import Run, Spec
from ..checkpoints import Checkpoint, Kept
from ..draws import Draws
from ..randomness import generator
from ..setup import Setup
from .views import UpsideDown


class Start(NamedTuple):
    """A start, and where it comes from."""

    point: Tensor  # (d,)
    # seed, start (path, random or cube), path, path_step and noise
    facts: dict[str, Any]


def starts(
    run: Run, problem: Problem, checkpoint: Checkpoint | None = None, part: str = ""
) -> Iterator[Start]:
    """Every start that a run asks for, seed by seed the same draws for every finder.

    Paths go on from where `checkpoint` has them, by names that begin with `part`.
    """
    checkpoint = checkpoint or Checkpoint()
    for number, path in enumerate(run.settings["paths"]):
        points = _points_on_path(
            run, problem, path, checkpoint, f"{part} path {number}"
        )
        yield from _starts_on_path(run, points, number, path)
    for seed in run.seeds:
        rng = generator(seed, "random starts")
        for _ in range(run.settings["random"]):
            yield Start(problem.start(rng), {"seed": seed, "start": "random"})
        cube = run.settings["cube"]
        for _ in range(cube["count"]):
            point = cube["amplitude"] * _in_cube(problem.dim, rng)
            yield Start(
                point, {"seed": seed, "start": "cube", "noise": cube["amplitude"]}
            )


def _starts_on_path(
    run: Run, points: list[Tensor], number: int, path: dict[str, Any]
) -> Iterator[Start]:
    """The starts drawn from a path's points (S, d): a step and noise of an amplitude, at random."""
    dim = points[0].shape[1]
    for i, seed in enumerate(run.seeds):
        rng = generator(seed, f"starts of path {number}")
        for _ in range(path["count"]):
            k = _index(len(points), rng)
            amplitude = path["noise"][_index(len(path["noise"]), rng)]
            facts = {
                "seed": seed,
                "start": "path",
                "path": number,
                "path_step": k * path["every"],
                "noise": amplitude,
            }
            yield Start(points[k][i].cpu() + amplitude * _in_cube(dim, rng), facts)


def _index(n: int, rng: torch.Generator) -> int:
    return int(torch.randint(n, (), generator=rng))


def _in_cube(dim: int, rng: torch.Generator) -> Tensor:
    """A point (d,), uniform in [-1, 1]^d."""
    return 2 * torch.rand(dim, generator=rng, dtype=torch.float64) - 1


def _points_on_path(
    run: Run,
    problem: Problem,
    path: dict[str, Any],
    checkpoint: Checkpoint,
    part: str,
) -> list[Tensor]:
    """The points (S, d) of all seeds at steps 0, every, 2 every, ... of an optimizer's path."""
    race = replace(run, experiment="race", method=Spec(**path["optimizer"]))
    setup = Setup(race, UpsideDown(problem) if path["up"] else problem)
    n = min(setup.seeds_at_once, len(run.seeds))
    columns = []
    for i in range(0, len(run.seeds), n):
        walk = _Walk(setup, run.seeds[i : i + n], path["every"])
        walk.go_to(path["steps"], checkpoint, f"{part} from seed {run.seeds[i]}")
        columns.append(walk.points)
    return [torch.cat(points) for points in zip(*columns, strict=True)]


class _Walk:
    """Some seeds on an optimizer's path; one that has diverged stays at its last finite point."""

    def __init__(self, setup: Setup, seeds: tuple[int, ...], every: int) -> None:
        self.points = [setup.starts(seeds)]  # (S, d) at every so many steps
        self._trajectories = setup.trajectories(self.points[0], seeds)
        self._draws = Draws(setup, seeds)
        self._every = every
        self._n_steps = 0

    def go_to(self, steps: int, checkpoint: Checkpoint, part: str) -> None:
        """Walk up to that step, from where `checkpoint` has it."""
        try:
            self._restore(checkpoint.part(part))
            while self._n_steps < steps:
                self._step()
                checkpoint.offer(part, self._kept)
        finally:
            self._trajectories.close()
        checkpoint.offer(part, self._kept, is_done=True)

    def _step(self) -> None:
        self._trajectories.step(*self._draws.next())
        self._n_steps += 1
        if self._n_steps % self._every == 0:
            theta = self._trajectories.theta
            finite = torch.isfinite(theta).all(1, keepdim=True)
            self.points.append(torch.where(finite, theta, self.points[-1]))

    def _kept(self) -> Kept | None:
        memory = self._trajectories.memory()
        if memory is None:
            return None
        draws = self._draws.positions()
        kept = {"points": [*self.points], "n_steps": self._n_steps}
        return {**kept, "memory": memory, "draws": draws}

    def _restore(self, kept: Kept | None) -> None:
        if kept is not None:
            self.points = [point.to(self.points[0]) for point in kept["points"]]
            self._n_steps = kept["n_steps"]
            self._trajectories.recall(kept["memory"])
            self._draws.move_to(kept["draws"])
