"""The bottom of the spectrum at end points: the lowest eigenvalue, and how many are negative."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from ..arrays import Floats
from ..core.problem import Problem
from ..core.symmetry import counted_directions
from ..trajectories.vmapped import map_points
from ._hessian import eigenvalues, extremes, is_dense, zero_size
from .measuring import map_finite, oracle, points_together


def bottoms(
    problem: Problem, points: Tensor, start_sizes: Floats
) -> list[tuple[float, float, float | None]]:
    """Lowest eigenvalue, its residual, and alpha at points (n, d), all finite.

    Alpha is None where the Hessian is not taken whole. `start_sizes` (n,) are the largest
    |eigenvalues| at the starts, where they are known.
    """
    if not len(points):
        return []
    if not is_dense(problem):
        found = map_finite(problem, lambda theta: _bottom(problem, theta), points)
        lowest, residuals = (values.tolist() for values in found.values())
        return [(*pair, None) for pair in zip(lowest, residuals, strict=True)]

    spectra = map_points(
        lambda theta: eigenvalues(oracle(problem), theta),
        points,
        points_together(problem),
    )
    counted = list(spectra.double().cpu().numpy())
    if problem.n_zero_modes or problem.zero_modes(points[0]) is not None:
        counted = [_counted_spectrum(problem, theta) for theta in points]
    alphas = map(_alpha, counted, start_sizes)
    return [
        (low, 0.0, alpha)
        for low, alpha in zip(spectra[:, 0].tolist(), alphas, strict=True)
    ]


def _bottom(problem: Problem, theta: Tensor) -> dict[str, Tensor]:
    ends = extremes(oracle(problem), theta)
    return {"lowest": ends.lowest, "residual": ends.lowest_residual}


def _counted_spectrum(problem: Problem, theta: Tensor) -> Floats:
    """The eigenvalues that count at theta (d,); one NaN where the Hessian is not finite."""
    H = problem.hessian(theta, None)
    if not H.isfinite().all():
        return np.array([math.nan])
    basis = counted_directions(problem, theta, H)
    assert basis is not None
    L = torch.linalg.eigvalsh(basis.mT @ H @ basis)
    return np.asarray(L.double().cpu().numpy())


def _alpha(L: Floats, start_size: float) -> float:
    """The share of eigenvalues (m,) that are negative."""
    if np.isnan(L).any():
        return math.nan
    return float((-zero_size(np.abs(L).max(), start_size) > L).mean())
