"""A step of Newton's methods, backtracked until the gradient is shorter."""

from collections.abc import Iterator

import torch
from torch import Tensor

from ..core.finder import Equations, Iterate

ARMIJO, SHRINK, HALVINGS = 1e-4, 0.5, 30


def backtracked(
    equations: Equations, at: Iterate, direction: Tensor, slope: Tensor
) -> Iterate:
    """The longest of 1, 1/2, 1/4, ... directions (S, d) that shortens the gradient enough, or none.

    Enough is Armijo's rule for |g|^2, which begins to change by 2 slope = 2 g . H direction, (S,),
    at most 0.
    """
    before = at.grad.square().sum(1)
    theta = at.theta.clone()
    grad = at.grad.clone()
    trying = torch.arange(len(theta), device=theta.device)
    for length in _lengths():
        tried = at.theta[trying] + length * direction[trying]
        new = equations.of(trying).grad(tried)
        enough = (
            new.square().sum(1)
            <= before[trying] + 2 * ARMIJO * length * slope[trying]
        )
        theta[trying[enough]] = tried[enough]
        grad[trying[enough]] = new[enough]
        trying = trying[~enough]
        if not len(trying):
            break
    return at._replace(theta=theta, grad=grad)


def _lengths() -> Iterator[float]:
    return (SHRINK**k for k in range(HALVINGS))
