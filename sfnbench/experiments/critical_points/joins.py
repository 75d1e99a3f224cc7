"""Which minima a saddle of index 1 joins: the ends of the gradient flow to either side of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

from ...arrays import Floats
from ...core.problem import Problem
from ...core.symmetry import ZERO_EIGENVALUE, counted_directions
from ...members import registry
from .search import search

SIDE = 1e-3  # so far from a saddle the flow begins, for coordinates of size 1
FLAT = 1e-7  # the flow ends at a gradient of this, for a largest curvature of 1
LONGEST_FLOW = 1e6  # for a largest curvature of 1
FAR_AWAY = 1e4  # a point so many times larger than the saddle, or than 1, runs away
ACCURACY = 1e-5  # of a path whose end alone counts


def joined(
    rows: list[dict[str, Any]], points: list[np.ndarray], problem: Problem
) -> Floats:
    """The losses of the minima to both sides of each saddle of index 1, the lower first (n, 2).

    NaN for all other rows, and where the flow has no such end.
    """
    losses = np.full((len(rows), 2), np.nan)
    for i, row in enumerate(rows):
        if row["distinct"] and row["index"] == 1:
            losses[i] = _sides(problem, torch.as_tensor(points[i]).double())
    return losses


# -- inside ----------------------------------------------------------------------------------------


def _sides(problem: Problem, saddle: Tensor) -> Floats:
    L, Q = _counted(problem, saddle)
    length = SIDE * (1 + float(saddle.square().mean().sqrt()))
    largest = float(L.abs().amax())
    sides = [saddle + sign * length * Q[:, 0] for sign in (1, -1)]
    ends = torch.stack([_end_of_flow(problem, side, largest) for side in sides])
    finder = registry.build("finder", "sfn_k", {"index": 0})
    found = search(problem, finder, ends, batched=True).theta
    return np.sort([_loss_of_minimum(problem, theta) for theta in found])


def _counted(problem: Problem, theta: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues (m,), ascending, and eigenvectors (d, m), without zero modes."""
    H = problem.hessian(theta, None)
    basis = counted_directions(problem, theta, H)
    if basis is None:
        basis = torch.eye(len(theta), dtype=theta.dtype)
    L, Q = torch.linalg.eigh(basis.mT @ H @ basis)
    return L, basis @ Q


def _end_of_flow(problem: Problem, start: Tensor, largest: float) -> Tensor:
    """Where the gradient flow arrives."""
    gradient = torch.func.grad(lambda at: problem.loss(at, None))

    def slope(t: float, x: Floats) -> Floats:
        point = torch.from_numpy(x)
        g: Tensor = gradient(point)
        return -g.numpy()

    def bend(t: float, x: Floats) -> Floats:
        return -problem.hessian(torch.from_numpy(x), None).numpy()

    def excess(t: float, x: Floats) -> float:
        return float(np.linalg.norm(slope(t, x))) - FLAT * largest

    def room(t: float, x: Floats) -> float:
        return FAR_AWAY * (1 + float(start.abs().amax())) - float(np.abs(x).max())

    arrived: Any = excess
    arrived.terminal, arrived.direction = True, -1
    away: Any = room
    away.terminal = True
    flow = solve_ivp(
        slope,
        (0, LONGEST_FLOW / largest),
        start.numpy(),
        method="LSODA",
        jac=bend,
        events=[arrived, away],
        rtol=ACCURACY,
        atol=ACCURACY * SIDE,
    )
    return torch.from_numpy(flow.y[:, -1].copy())


def _loss_of_minimum(problem: Problem, theta: Tensor) -> float:
    """The loss there; NaN where it is no minimum."""
    if not theta.isfinite().all():
        return np.nan
    L, _ = _counted(problem, theta)
    g = torch.func.grad(lambda at: problem.loss(at, None))(theta)
    largest = float(L.abs().amax())
    is_flat = float(g.norm()) < FLAT * largest
    if not is_flat or float(L[0]) <= ZERO_EIGENVALUE * largest:
        return np.nan
    return float(problem.loss(theta, None))
