"""The loss around the saddle of a problem in the plane: what trajectories are drawn over."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from ...core.problem import Problem
from ...metrics import measuring as metrics

N_SIDE = 41  # points along each side of the grid; odd, so that the saddle is one of them
MOST_DOUBLINGS = 40  # of the frame, for a way down to come into it


def landscape(problem: Problem, starts: Tensor) -> dict[str, np.ndarray]:
    """The loss of a problem with two parameters on a square grid, asked outside clock and counters; two series.

    ``landscape`` (N_SIDE, N_SIDE) has a row for each second coordinate, a column for each first.
    ``landscape.frame`` (1, 4) holds the centre c, a unit u and a reach r: along either axis the
    grid's coordinates are c + u sinh(r t), t evenly from -1 to 1. So it is even within the unit,
    the distance of the starts, and logarithmic beyond: escapes grow by a factor.

    The frame depends on the problem and the starts (S, 2) alone, so all optimizers share it. Its
    centre is the saddle, or the middle of starts and known critical points where there is none. It
    ends at twice the distance at which some point of the grid counts as escaped.
    """
    saddle = problem.saddle
    known = torch.stack([*starts, *(point.point.to(starts) for point in problem.critical_points)])
    centre = (known.amax(0) + known.amin(0)) / 2 if saddle is None else saddle.point.to(starts)
    unit = float((known - centre).abs().max()) or 1.0
    end = unit
    if saddle is not None:
        ends = (unit * 2.0**i for i in range(MOST_DOUBLINGS))
        end = next(
            (
                end
                for end in ends
                if _leads_out(problem, _grid(centre, unit, math.asinh(end / unit)))
            ),
            unit,
        )
    reach = math.asinh(2 * end / unit)
    losses = metrics.measure(problem, "loss", _grid(centre, unit, reach))["loss"].reshape(
        N_SIDE, N_SIDE
    )
    frame = np.array([[*centre.tolist(), unit, reach]])
    return {"landscape": losses.double().cpu().numpy(), "landscape.frame": frame}


def _grid(centre: Tensor, unit: float, reach: float) -> Tensor:
    """Its points (N_SIDE^2, 2), the first coordinate running fastest."""
    line = unit * torch.sinh(reach * (torch.arange(N_SIDE).to(centre) / (N_SIDE // 2) - 1))
    return centre + torch.cartesian_prod(line, line).flip(1)


def _leads_out(problem: Problem, points: Tensor) -> bool:
    """Whether one of the points (n, 2) counts as escaped."""
    losses = metrics.measure(problem, "loss", points)["loss"]
    return bool(torch.func.vmap(problem.escaped)(points, losses).any())
