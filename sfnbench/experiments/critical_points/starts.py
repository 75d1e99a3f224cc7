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
from ..draws import Draws
from ..randomness import generator
from ..setup import Setup
from .views import UpsideDown


class Start(NamedTuple):
    """A start, and where it comes from."""

    point: Tensor  # (d,)
    facts: dict[
        str, Any
    ]  # seed, start (path, random or cube), path, path_step and noise


def starts(run: Run, problem: Problem) -> Iterator[Start]:
    """Every start that a run asks for, seed by seed the same draws for every finder."""
    for number, path in enumerate(run.settings["paths"]):
        yield from _starts_on_path(run, problem, number, path)
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
    run: Run, problem: Problem, number: int, path: dict[str, Any]
) -> Iterator[Start]:
    """The starts drawn from one path: a step, and noise of an amplitude, both at random."""
    points = _points_on_path(run, problem, path)
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
            yield Start(
                points[k][i].cpu() + amplitude * _in_cube(problem.dim, rng), facts
            )


def _index(n: int, rng: torch.Generator) -> int:
    return int(torch.randint(n, (), generator=rng))


def _in_cube(dim: int, rng: torch.Generator) -> Tensor:
    """A point (d,), uniform in [-1, 1]^d."""
    return 2 * torch.rand(dim, generator=rng, dtype=torch.float64) - 1


def _points_on_path(run: Run, problem: Problem, path: dict[str, Any]) -> list[Tensor]:
    """The points (S, d) of all seeds at steps 0, every, 2 every, ... of an optimizer's path."""
    race = replace(run, experiment="race", method=Spec(**path["optimizer"]))
    setup = Setup(race, UpsideDown(problem) if path["up"] else problem)
    n = min(setup.seeds_at_once, len(run.seeds))
    chunks = [run.seeds[i : i + n] for i in range(0, len(run.seeds), n)]
    columns = [
        list(_points_of_seeds(setup, seeds, path["steps"], path["every"]))
        for seeds in chunks
    ]
    return [torch.cat(points) for points in zip(*columns, strict=True)]


def _points_of_seeds(
    setup: Setup, seeds: tuple[int, ...], steps: int, every: int
) -> Iterator[Tensor]:
    """The points (S, d) of some seeds; one that has diverged stays at its last finite point."""
    kept = setup.starts(seeds)
    trajectories = setup.trajectories(kept, seeds)
    draws = Draws(setup, seeds)
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
