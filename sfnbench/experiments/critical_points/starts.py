"""Where searches for critical points start.

Along an optimizer's path, at the problem's own starts, in a cube.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ...core.problem import CoordinateSubspace, Problem
from ...records import Run, Spec
from ..race.execute import Draws, Entrant, generator


class Start(NamedTuple):
    """A start, and where it is from."""

    point: Tensor  # (d,)
    facts: dict[str, Any]  # seed, start (path, random or cube), path, path_step and noise


@dataclass(frozen=True)
class Seen(Problem):
    """A problem seen in another way; its examples are its own."""

    problem: Problem

    @property
    def dim(self) -> int:
        """As many as the problem has."""
        return self.problem.dim

    @property
    def population(self) -> int | None:
        """The problem's own."""
        return self.problem.population

    def start(self, rng: torch.Generator) -> Tensor:
        """The problem's own."""
        return self.problem.start(rng)

    def draw(self, rng: torch.Generator, size: int) -> Any:
        """The problem's own."""
        return self.problem.draw(rng, size)

    def share(self, batch: Any) -> float:
        """The problem's own."""
        return self.problem.share(batch)


@dataclass(frozen=True)
class UpsideDown(Seen):
    """A problem turned over: an optimizer climbs on it."""

    def loss(self, theta: Tensor, batch: Any) -> Tensor:
        """Minus the problem's loss."""
        return -self.problem.loss(theta, batch)


@dataclass(frozen=True)
class Restricted(Seen):
    """A problem on the coordinates of one of its subspaces."""

    subspace: CoordinateSubspace

    @property
    def dim(self) -> int:
        """As many as the subspace has."""
        return len(self.subspace.places)

    def start(self, rng: torch.Generator) -> Tensor:
        """The problem's own, its other coordinates dropped."""
        return self.problem.start(rng)[self.subspace.places]

    def loss(self, theta: Tensor, batch: Any) -> Tensor:
        """The problem's loss at `embedded`."""
        if self.subspace.narrower is not None:
            return self.subspace.narrower.loss(theta, batch)
        return self.problem.loss(self.embedded(theta), batch)

    def hessian(self, theta: Tensor, batch: Any) -> Tensor:
        """The problem's own, other rows and columns dropped."""
        if self.subspace.narrower is not None:
            return self.subspace.narrower.hessian(theta, batch)
        places = self.subspace.places.to(theta.device)
        return self.problem.hessian(self.embedded(theta), batch)[places[:, None], places]

    def embedded(self, theta: Tensor) -> Tensor:
        """The point (d,) of the whole, zero in all other coordinates.

        For theta (n,), or (S, n) to (S, d).
        """
        whole = theta.new_zeros(*theta.shape[:-1], self.problem.dim)
        return whole.index_copy(-1, self.subspace.places.to(theta.device), theta)


def starts(run: Run, problem: Problem) -> Iterator[Start]:
    """Every start that a run asks for, seed by seed the same draws for every finder."""
    settings = run.settings
    for number, path in enumerate(settings["paths"]):
        points = _path(run, problem, path)
        for i, seed in enumerate(run.seeds):
            rng = generator(seed, f"starts of path {number}")
            for _ in range(path["count"]):
                k = int(torch.randint(len(points), (), generator=rng))
                amplitude = path["noise"][int(torch.randint(len(path["noise"]), (), generator=rng))]
                noise = amplitude * _cube(problem.dim, rng)
                facts = {
                    "start": "path",
                    "path": number,
                    "path_step": k * path["every"],
                    "noise": amplitude,
                }
                yield Start(points[k][i].cpu() + noise, {"seed": seed, **facts})
    for seed in run.seeds:
        rng = generator(seed, "random starts")
        for _ in range(settings["random"]):
            yield Start(problem.start(rng), {"seed": seed, "start": "random"})
        cube = settings["cube"]
        for _ in range(cube["count"]):
            point = cube["amplitude"] * _cube(problem.dim, rng)
            yield Start(point, {"seed": seed, "start": "cube", "noise": cube["amplitude"]})


def _cube(dim: int, rng: torch.Generator) -> Tensor:
    return 2 * torch.rand(dim, generator=rng, dtype=torch.float64) - 1


def _path(run: Run, problem: Problem, path: dict[str, Any]) -> list[Tensor]:
    """The points (S, d) of all seeds at steps 0, every, 2 every, ...

    of an optimizer's path; what diverged is left out.
    """
    entrant = Entrant(replace(run, experiment="race", method=Spec(**path["optimizer"])))
    entrant.problem = UpsideDown(problem) if path["up"] else problem
    width = max(1, min(entrant.width, len(run.seeds)))
    chunks = [run.seeds[i : i + width] for i in range(0, len(run.seeds), width)]
    columns = [list(_followed(entrant, seeds, path["steps"], path["every"])) for seeds in chunks]
    return [torch.cat(points) for points in zip(*columns, strict=True)]


def _followed(entrant: Entrant, seeds: tuple[int, ...], steps: int, every: int) -> Iterator[Tensor]:
    points = entrant.starts(seeds)
    trajectories, draws = entrant.lift(points), Draws(entrant, seeds)
    kept = points
    yield kept
    try:
        for k in range(1, steps + 1):
            trajectories.step(*draws.next())
            if k % every == 0:
                finite = torch.isfinite(trajectories.theta).all(1, keepdim=True)
                kept = torch.where(finite, trajectories.theta, kept)
                yield kept
    finally:
        trajectories.close()
