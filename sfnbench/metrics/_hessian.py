"""Eigenvalues of the whole loss's Hessian: all of them where it fits, else its two ends."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from ..core.oracle import Oracle
from ..core.problem import Problem
from ..core.symmetry import ZERO_EIGENVALUE
from ..linalg.lanczos import Extremes, extreme_eigenvalues

# Parameters up to which a dense Hessian (134 MB in float64) is taken, and products that stand in
# for it beyond.
DENSE_LIMIT = 4096
N_LANCZOS = 60
# Products end before that where the lowest Ritz value's residual is at most this share of its size.
# Along the paths of `autoencoder` and `rnn` some thirty do, and the value changes in its fourth
# digit.
RESIDUAL_TOLERANCE = 0.01
# what a problem remembers under this name: its last points, with the ends of the spectrum there.
# A step that the budget cannot pay comes after the point that is then certified.
LAST = "_last_extremes"
N_LAST = 2

# Where the whole Hessian has shrunk so much since the start, it vanishes: eigenvalues below this
# count as zero, in units of the largest at the start.
VANISHED = 1e-12


def is_dense(problem: Problem) -> bool:
    """Whether all of the Hessian is taken."""
    return problem.dim <= DENSE_LIMIT and problem.has_cheap_hessian


def eigenvalues(oracle: Oracle, theta: Tensor) -> Tensor:
    """All eigenvalues (d,), ascending; one NaN (1,) where they are not taken.

    NaN where the Hessian is not finite, since eigvalsh refuses those.
    """
    if not is_dense(oracle.problem):
        return theta.new_full((1,), math.nan)
    H = oracle.hessian(theta)
    finite = torch.isfinite(H).all()
    found = torch.linalg.eigvalsh(torch.where(finite, H, torch.zeros_like(H)))
    return torch.where(finite, found, torch.nan)


def zero_size(largest: float, largest_at_start: float = 0.0) -> float:
    """The size up to which eigenvalues count as zero, at every number of parameters.

    By the largest |eigenvalue| there, and at the start, where there is one. The rule is the same in
    any units of loss and parameters.

    >>> round(zero_size(100.0), 9), zero_size(1e-9, largest_at_start=100.0)
    (0.0001, 1e-10)
    """
    return max(ZERO_EIGENVALUE * largest, VANISHED * largest_at_start)


def extremes(oracle: Oracle, theta: Tensor) -> Extremes:
    """The lowest and the highest Ritz value, from the same start for every point.

    Those of the last points are remembered: an end point is measured first and certified then.
    Inside a transform there is neither a memory nor a tolerance.
    """
    inside = torch.func.debug_unwrap(theta) is not theta
    remembered = {} if inside else oracle.problem.__dict__
    last: list[tuple[Tensor, Extremes]] = remembered.get(LAST, [])
    for point, known in last:
        if same_points(point, theta):
            return known
    start = random_vector(oracle.problem.dim, theta)
    product = oracle.curvature(theta).hvp
    tolerance = None if inside else RESIDUAL_TOLERANCE
    found = extreme_eigenvalues(product, start, N_LANCZOS, tolerance)
    remembered[LAST] = [*last, (theta.clone(), found)][-N_LAST:]
    return found


def random_vector(n: int, like: Tensor) -> Tensor:
    """The same standard normal numbers (n,) every time."""
    draws = np.random.default_rng(0).standard_normal(n)  # torch's: not under vmap
    return torch.from_numpy(draws).to(like)


def same_points(a: Tensor, b: Tensor) -> bool:
    """Whether two points are the same numbers in the same place."""
    return a.dtype == b.dtype and a.device == b.device and torch.equal(a, b)
