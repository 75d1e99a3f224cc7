"""What damped and saddle-free Newton share: a step in the eigenbasis of the Hessian, and the choice of its damping."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from ..core import NonNegative, Oracle

Damping = NonNegative | Literal["paper"] | tuple[NonNegative, ...]
PAPER_DAMPINGS = (1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5)  # Dauphin et al. 2014, appendix F.1


def directions(g: Tensor, H: Tensor, spectrum: Callable[[Tensor], Tensor]) -> Callable[[float], Tensor]:
    """The map damping -> -(s(H) + damping I)^-1 g (d,), s acting on eigenvalues; one eigendecomposition serves them all.

    Directions in which s(H) + damping I vanishes to rounding are left out (a pseudo-inverse), for g has no say there.
    """
    eigenvalues, Q = torch.linalg.eigh(H)  # (d,), (d, d)
    curvature, in_basis = spectrum(eigenvalues), Q.mT @ g
    floor = torch.finfo(H.dtype).eps * eigenvalues.abs().amax(-1)

    def direction(damping: float) -> Tensor:
        damped = curvature + damping
        solvable = damped.abs() > floor
        scaled = torch.where(solvable, in_basis / torch.where(solvable, damped, 1.0), 0.0)
        return -(Q @ scaled)

    return direction


def lowest(oracle: Oracle, candidates: list[Tensor]) -> Tensor:
    """The candidate point (d,) with the lowest loss; one whose loss is not a number is never chosen before one whose is."""
    losses = torch.stack([oracle.loss(theta) for theta in candidates])
    best = torch.nan_to_num(losses, nan=torch.inf).argmin()
    return torch.stack(candidates).index_select(0, best.reshape(1)).squeeze(0)


def dampings(damping: Damping) -> tuple[float, ...]:
    """The dampings to try: the paper's six, or what was given."""
    if isinstance(damping, tuple):
        return damping
    return PAPER_DAMPINGS if isinstance(damping, str) else (damping,)
