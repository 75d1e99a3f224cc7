"""Whether zero modes are what a problem says: directions in which its loss stays as it is."""

from __future__ import annotations

import torch
from torch import Tensor

from .oracle import Oracle
from .problem import Problem

MOST_SLOPE = 1e-8  # of the steepest slope: so much along a zero mode is rounding
VANISHING = 1e-300  # lengths below it are zero


def fault_of_zero_modes(problem: Problem, theta: Tensor) -> str:
    """Why the zero modes at theta (d,) generate no symmetries; empty where they do.

    Empty, too, where the problem states none.
    """
    modes = problem.zero_modes(theta)
    if modes is None:
        return ""
    if modes.ndim != 2 or modes.shape[1] != problem.dim:
        return f"zero modes have shape {tuple(modes.shape)}, not (n, {problem.dim})"
    if not modes.isfinite().all():
        return "a zero mode is not finite"
    n = problem.n_zero_modes
    if n not in (0, len(modes)):
        return f"{len(modes)} zero modes, n_zero_modes is {n}"
    g = Oracle(problem, eager=True).grad(theta)
    lengths = torch.linalg.vector_norm(modes, dim=1) * g.norm()
    slopes = (modes @ g).abs() / lengths.clamp_min(VANISHING)
    for i, slope in enumerate(slopes.tolist()):
        if slope >= MOST_SLOPE:
            return (
                f"along zero mode {i} the loss has {slope:.2g} of its steepest slope,"
                " where a symmetry would leave it as it is"
            )
    return ""
