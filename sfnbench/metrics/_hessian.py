"""Eigenvalues of the whole loss's Hessian: all of them where it fits, else its two ends."""

from __future__ import annotations

import math
from typing import cast

import numpy as np
import torch
from torch import Tensor

from ..core.oracle import Oracle
from ..core.problem import Problem
from ..linalg.lanczos import Extremes, extreme_eigenvalues

# Parameters up to which a dense Hessian (134 MB in float64) is taken, and products that stand in
# for it beyond.
DENSE_LIMIT = 4096
N_LANCZOS = 60
# Products end before that where the lowest Ritz value's residual is at most this share of its size.
# Along the paths of `autoencoder` and `rnn` some thirty do, and the value changes in its fourth
# digit.
RESIDUAL_TOLERANCE = 0.01
# what a problem remembers under this name: the last point, and the ends of the spectrum there
LAST = "_last_extremes"

# In units of the largest |eigenvalue|: smaller ones count as zero, and so do smaller ones in
# absolute terms, where all of the Hessian vanishes.
ZERO_EIGENVALUE = 1e-6
FLAT_EIGENVALUE = 1e-9


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


def zero(found: Tensor) -> Tensor:
    """The size () up to which eigenvalues (d,) count as zero."""
    return (ZERO_EIGENVALUE * found.abs().amax()).clamp_min(FLAT_EIGENVALUE)


def extremes(oracle: Oracle, theta: Tensor) -> Extremes:
    """The lowest and the highest Ritz value, from the same start for every point.

    Those of the last point are remembered: an end point is measured first and certified then.
    Inside a transform there is neither a memory nor a tolerance.
    """
    inside = torch.func.debug_unwrap(theta) is not theta
    remembered = {} if inside else oracle.problem.__dict__
    point, found = remembered.get(LAST, (None, None))
    if point is not None and same_points(point, theta):
        return cast(Extremes, found)
    draws = np.random.default_rng(0).standard_normal(
        oracle.problem.dim
    )  # torch's: not under vmap
    start = torch.from_numpy(draws).to(theta)
    product = oracle.curvature(theta).hvp
    tolerance = None if inside else RESIDUAL_TOLERANCE
    found = extreme_eigenvalues(product, start, N_LANCZOS, tolerance)
    remembered[LAST] = (theta.clone(), found)
    return found


def same_points(a: Tensor, b: Tensor) -> bool:
    """Whether two points are the same numbers in the same place."""
    return a.dtype == b.dtype and a.device == b.device and torch.equal(a, b)
