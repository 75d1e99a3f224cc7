"""Eigenvalues of the whole loss's Hessian: all of them where it fits, else its two ends."""

from __future__ import annotations

import math

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

# In units of the largest |eigenvalue|: smaller ones count as zero, and so do smaller ones in
# absolute terms, where all of the Hessian vanishes.
ZERO_EIGENVALUE = 1e-6
FLAT_EIGENVALUE = 1e-9


def is_dense(problem: Problem) -> bool:
    """Whether all of the Hessian is taken."""
    return problem.dim <= DENSE_LIMIT


def eigenvalues(oracle: Oracle, theta: Tensor) -> Tensor:
    """All eigenvalues (d,), ascending; one NaN (1,) beyond `DENSE_LIMIT` parameters.

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
    """The lowest and the highest Ritz value, from the same start for every point."""
    draws = np.random.default_rng(0).standard_normal(
        oracle.problem.dim
    )  # torch's: not under vmap
    start = torch.from_numpy(draws).to(theta)
    return extreme_eigenvalues(oracle.curvature(theta).hvp, start, N_LANCZOS)
