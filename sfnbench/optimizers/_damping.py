"""The choice of the damping, for damped and saddle-free Newton, dense and in a Krylov subspace."""

from typing import Literal

import torch
from torch import Tensor

from ..core.fields import NonNegative
from ..core.oracle import Oracle

Damping = NonNegative | Literal["paper"] | tuple[NonNegative, ...]
# Dauphin et al. 2014, appendix F.1
PAPER_DAMPINGS = (
    1.0,
    1e-1,
    1e-2,
    1e-3,
    1e-4,
    1e-5,
)


def lowest(oracle: Oracle, candidates: list[Tensor]) -> Tensor:
    """The candidate point (d,) with the lowest loss; a loss that is not a number counts as inf.

    A single candidate costs no loss.
    """
    if len(candidates) == 1:
        return candidates[0]
    losses = torch.stack([oracle.loss(theta) for theta in candidates])
    best = torch.nan_to_num(losses, nan=torch.inf).argmin()
    return torch.stack(candidates).index_select(0, best.reshape(1)).squeeze(0)


def dampings(damping: Damping) -> tuple[float, ...]:
    """The dampings to try: the paper's six, or what was given."""
    if isinstance(damping, tuple):
        return damping
    if isinstance(damping, str):
        return PAPER_DAMPINGS
    return (damping,)
