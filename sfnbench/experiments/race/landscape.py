"""The loss around the saddle of a problem in the plane, to draw trajectories on."""

from __future__ import annotations

import functools
import math

import numpy as np
import torch
from torch import Tensor

from ...core.problem import Problem
from ...metrics.loss import Loss
from ...metrics.measuring import measure

# points along each side of the grid; odd, so that the saddle is one of them
N_SIDE = 41
MOST_DOUBLINGS = 40  # of the frame, until a way down comes into it


def landscape(problem: Problem, starts: Tensor) -> dict[str, np.ndarray]:
    """The loss of a problem with two parameters on a square grid, neither timed nor counted.

    ``landscape`` (N_SIDE, N_SIDE) has a row for each second coordinate, a column for each first.
    ``landscape.frame`` (1, 4) holds the centre c, a unit u and a reach r: along either axis the
    grid's coordinates are c + u sinh(r t), with t evenly from -1 to 1. So the grid is even within
    the unit, the distance of the starts, and logarithmic beyond, because escapes grow by a factor.

    The frame depends on the problem and the starts (S, 2) alone, so all optimizers share it. Its
    centre is the saddle, or the middle of starts and known critical points where there is none. It
    ends at twice the distance at which some point of the grid counts as escaped.
    """
    points = tuple(map(tuple, starts.tolist()))
    try:
        drawn = _drawn(problem, points, starts.dtype, starts.device)
    except TypeError:  # a field of the problem has no hash
        drawn = _drawn.__wrapped__(problem, points, starts.dtype, starts.device)
    return {name: array.copy() for name, array in drawn.items()}


@functools.lru_cache(maxsize=4)  # the optimizers of a suite take turns on a problem
def _drawn(
    problem: Problem,
    points: tuple[tuple[float, ...], ...],
    dtype: torch.dtype,
    device: torch.device,
) -> dict[str, np.ndarray]:
    starts = torch.tensor(points, dtype=dtype, device=device)
    criticals = [critical.point.to(starts) for critical in problem.critical_points]
    known = torch.stack([*starts, *criticals])
    centre = (known.amax(0) + known.amin(0)) / 2
    if problem.saddle is not None:
        centre = problem.saddle.point.to(starts)
    unit = float((known - centre).abs().max()) or 1.0
    reach = math.asinh(2 * _escape_distance(problem, centre, unit) / unit)
    losses = _losses(problem, _grid(centre, unit, reach)).reshape(N_SIDE, N_SIDE)
    frame = np.array([[*centre.tolist(), unit, reach]])
    return {"landscape": losses.double().cpu().numpy(), "landscape.frame": frame}


def _escape_distance(problem: Problem, centre: Tensor, unit: float) -> float:
    """The distance at which some point of the grid counts as escaped; the unit where none does."""
    if problem.saddle is None:
        return unit
    for i in range(MOST_DOUBLINGS):
        distance = unit * 2.0**i
        points = _grid(centre, unit, math.asinh(distance / unit))
        escaped = torch.func.vmap(problem.escaped)(points, _losses(problem, points))
        if escaped.any():
            return distance
    return unit


def _grid(centre: Tensor, unit: float, reach: float) -> Tensor:
    """The points (N_SIDE^2, 2) of the grid, the first coordinate running fastest."""
    t = torch.arange(N_SIDE).to(centre) / (N_SIDE // 2) - 1
    line = unit * torch.sinh(reach * t)
    return centre + torch.cartesian_prod(line, line).flip(1)


def _losses(problem: Problem, points: Tensor) -> Tensor:
    return measure(problem, Loss(), points)["loss"]
