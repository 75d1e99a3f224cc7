"""The loss around the saddle of a problem in the plane: what trajectories are drawn over."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .. import metrics
from ..core import Problem

N_SIDE = 41  # points along each side of the grid; odd, so that the saddle is one of them
MOST_DOUBLINGS = 40  # of the frame, for a way down to come into it


def landscape(problem: Problem, starts: Tensor) -> dict[str, np.ndarray]:
    """The loss of a problem with two parameters on a square grid, asked outside clock and counters; two series.

    ``landscape`` (N_SIDE, N_SIDE) has a row for each second coordinate, a column for each first; ``landscape.at``
    (2, N_SIDE) are the coordinates. The frame depends on the problem and the starts (S, 2) alone, so all optimizers share
    it: the starts and known critical points lie in its inner half, the saddle, if there is one, in its centre, and it is
    doubled until some point of the inner half counts as escaped.
    """
    saddle = problem.saddle
    known = torch.stack([*starts, *(point.point.to(starts) for point in problem.critical_points)])
    centre = (known.amax(0) + known.amin(0)) / 2 if saddle is None else saddle.point.to(starts)
    half = float((known - centre).abs().max()) or 1.0
    widths = half * 2.0 ** np.arange(MOST_DOUBLINGS) if saddle else [half]
    half = next((width for width in widths if _leads_out(problem, _square(centre, width))), half)
    points = _square(centre, 2 * half)
    losses = metrics.measure(problem, "loss", points)["loss"].reshape(N_SIDE, N_SIDE)
    at = points.reshape(N_SIDE, N_SIDE, 2)
    return {
        "landscape": losses.double().cpu().numpy(),
        "landscape.at": torch.stack([at[0, :, 0], at[:, 0, 1]]).double().cpu().numpy(),
    }


def _square(centre: Tensor, half: float) -> Tensor:
    """The points (N_SIDE^2, 2) of a grid, the first coordinate running fastest."""
    line = half * (torch.arange(N_SIDE).to(centre) / (N_SIDE // 2) - 1)
    return centre + torch.cartesian_prod(line, line).flip(1)


def _leads_out(problem: Problem, points: Tensor) -> bool:
    """Whether one of the points (n, 2) counts as escaped."""
    losses = metrics.measure(problem, "loss", points)["loss"]
    return bool(torch.func.vmap(problem.escaped)(points, losses).any())
