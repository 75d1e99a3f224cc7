"""Which directions count at a critical point: all but those of the loss's own symmetries."""

from __future__ import annotations

import torch
from torch import Tensor

from .problem import Problem

# Eigenvalues up to this count as zero, in units of the largest |eigenvalue|: at every size, and
# wherever eigenvalues are counted.
ZERO_EIGENVALUE = 1e-6
DEPENDENT = 1e-8  # of the longest: so little of a zero mode lies outside the others


def counted_directions(problem: Problem, theta: Tensor, H: Tensor) -> Tensor | None:
    """Orthonormal directions (d, m) whose curvatures count at theta (d,), with its Hessian (d, d).

    They are the problem's tangent without its zero modes. Modes that depend on each other, as the
    rotations of atoms in a line do, take away no more directions than they span. None stands for
    all directions.
    """
    basis = problem.tangent(theta)
    modes = problem.zero_modes(theta)
    if modes is None and not problem.n_zero_modes:
        return basis
    if basis is None:
        basis = torch.eye(len(theta), dtype=theta.dtype, device=theta.device)
    if modes is not None:
        return basis @ _complement(basis.mT @ modes.mT)
    L, Q = torch.linalg.eigh(basis.mT @ H @ basis)
    by_size = L.abs().argsort()
    n_zero = int((L.abs() <= ZERO_EIGENVALUE * L.abs().amax()).sum())
    return basis @ Q[:, by_size[min(n_zero, problem.n_zero_modes) :]]


def zero_mode_rank(modes: Tensor) -> int:
    """How many of zero modes (n, d) are independent."""
    if not len(modes):
        return 0
    lengths = torch.linalg.svdvals(modes)
    return int((lengths > DEPENDENT * lengths.amax()).sum())


def _complement(columns: Tensor) -> Tensor:
    """An orthonormal basis (k, k - r) of what columns (k, n) of rank r do not span."""
    U, _, _ = torch.linalg.svd(columns, full_matrices=True)
    return U[:, zero_mode_rank(columns.mT) :]
