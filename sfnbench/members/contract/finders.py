"""The clauses of the contract that finders keep."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from ...core.finder import Equations, Finder, Iterate
from ...core.problem import Problem
from .shared import DEVICE, N_CONTRACT_STARTS, Waves, require, same, starts_of

MOST_FINDER_STEPS = 100  # by which a finder has to be there


class Pass(Problem):
    """x^2 - 3 y^2."""

    dim = 2

    def start(self, rng: torch.Generator) -> Tensor:
        """The saddle."""
        return torch.zeros(2, dtype=torch.float64)

    def loss(self, theta: Tensor, batch: Any) -> Tensor:
        """The quadratic saddle."""
        return theta[0] ** 2 - 3 * theta[1] ** 2


def finds_a_saddle(finder: Finder) -> None:
    """From near a quadratic saddle it finds the saddle."""
    start = torch.tensor([[0.3, -0.2]], dtype=torch.float64, device=DEVICE.get())
    equations = Equations(Pass(), 1)
    at = Iterate(start, equations.grad(start), finder.init(start))
    for _ in range(min(finder.steps, MOST_FINDER_STEPS)):
        if float(at.grad.norm()) > 1e-12:
            at = finder.step(equations, at)
    far = float(at.theta.norm())
    require(
        far < 1e-6,
        f"after {min(finder.steps, MOST_FINDER_STEPS)} steps from (0.3, -0.2) it was {far:g} "
        "away from the saddle 0",
    )
    require(
        torch.allclose(equations.grad(at.theta), at.grad, rtol=1e-9, atol=1e-12),
        "the gradient it gives is not that of its point",
    )


def search_is_pure(finder: Finder) -> None:
    """A step changes nothing in place, draws nothing and asks the equations, which count."""
    problem = Waves()
    starts = starts_of(problem)
    equations = Equations(problem, N_CONTRACT_STARTS)
    at = Iterate(starts, equations.grad(starts), finder.init(starts))
    kept = tree_map(torch.clone, at)
    before = equations.calls.copy()
    torch.manual_seed(1)
    first = finder.step(equations, at)
    require(same(kept, at), "the iterate was changed in place")
    require(
        bool((equations.calls != before).any(1).all()),
        "nothing was asked of the equations",
    )
    torch.manual_seed(2)
    require(same(first, finder.step(equations, at)), "two equal steps differ")


def searches_run_together(finder: Finder) -> None:
    """Searches in one batch do in a step what each does alone, and count the same questions."""
    problem = Waves()
    starts = starts_of(problem)
    together = Equations(problem, N_CONTRACT_STARTS)
    after = finder.step(
        together, Iterate(starts, together.grad(starts), finder.init(starts))
    )
    for i in range(N_CONTRACT_STARTS):
        alone = Equations(problem, 1)
        here = starts[i : i + 1]
        single = finder.step(
            alone, Iterate(here, alone.grad(here), finder.init(here))
        )
        apart = float((single.theta[0] - after.theta[i]).abs().max())
        require(
            apart <= 1e-6 * (1 + float(single.theta.abs().max())),
            f"search {i} is {apart:g} away from its batch",
        )


FINDER_CHECKS = (finds_a_saddle, search_is_pure, searches_run_together)
