"""The loop over a finder's steps: from starts to where each search ends, and what it cost."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from ...core.finder import Equations, Finder, Iterate
from ...core.problem import Problem
from ..progress import Progress

# squared gradient norm at which a search is done: quadratic convergence ends at rounding, not
# before
DONE_BELOW = 1e-26
PATIENCE, FALL = (
    8,
    0.9,
)  # a search has stalled where |g|^2 fell by less than a tenth in eight steps


@dataclass(frozen=True)
class Ends:
    """Where S searches ended."""

    starts: Tensor  # (S, d)
    theta: Tensor  # (S, d)
    grad: Tensor  # (S, d)
    steps: np.ndarray  # (S,) of the finder
    calls: np.ndarray  # (S, 4) by kind
    seconds: np.ndarray  # (S,) each search's share of the batch's


def search(
    problem: Problem,
    finder: Finder,
    starts: Tensor,
    batched: bool,
    progress: Progress = lambda _: None,
) -> Ends:
    """Search from all starts (S, d) at once.

    A search ends where its squared gradient norm is 1e-26, where that is no longer finite, where it
    has stalled, or after the finder's steps. Searches that have ended leave the batch.
    """
    n = len(starts)
    equations = Equations(problem, n, batched)
    at = Iterate(starts, equations.grad(starts), finder.init(starts))
    theta = starts.clone()
    grad = at.grad.clone()
    steps = np.zeros(n, dtype=np.int64)
    seconds = np.zeros(n)
    places = torch.arange(n, device=starts.device)  # of the searches that go on
    history = [at.grad.square().sum(1)]  # their squared gradient norms, step by step
    for k in range(finder.steps + 1):
        going = _going(history, finder.descends_gradient)
        if not going.all():
            at = tree_map(lambda t, going=going: t[going], at)
            places = places[going]
            history = [norms[going] for norms in history[-PATIENCE:]]
        if k == finder.steps or not len(places):
            break
        began = perf_counter()
        at = finder.step(equations.of(places), at)
        here = places.cpu().numpy()
        seconds[here] += (perf_counter() - began) / len(here)
        steps[here] += 1
        theta[places] = at.theta
        grad[places] = at.grad
        history.append(at.grad.square().sum(1))
        left = len(places) / n * (1 - (k + 1) / finder.steps)
        progress(1 - left)
    return Ends(starts, theta, grad, steps, equations.calls, seconds)


def _going(history: list[Tensor], may_stall: bool) -> Tensor:
    """Whether each search (S,) goes on, by its squared gradient norms (S,) so far."""
    norms = history[-1]
    going = torch.isfinite(norms) & (norms > DONE_BELOW)
    if may_stall and len(history) > PATIENCE:
        going &= norms < FALL * history[-1 - PATIENCE]
    return going
