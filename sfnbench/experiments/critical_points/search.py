"""The loop over a finder's steps: from starts to where each search ends, and what it cost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from ...core.finder import Equations, Finder, Iterate
from ...core.problem import Problem

# squared gradient norm at which a search is done: quadratic convergence ends at rounding, not
# before
ENOUGH = 1e-26
PATIENCE, FALL = 8, 0.9  # a lane has stalled where |g|^2 fell by less than a tenth in eight steps


@dataclass(frozen=True)
class Ends:
    """Where S searches ended."""

    theta: Tensor  # (S, d)
    grad: Tensor  # (S, d)
    steps: np.ndarray  # (S,) of the finder
    calls: np.ndarray  # (S, 4) by kind
    seconds: np.ndarray  # (S,) each lane's share of the batch's


def search(
    problem: Problem,
    finder: Finder,
    starts: Tensor,
    batched: bool,
    progress: Callable[[float], None] = lambda _: None,
) -> Ends:
    """Search from all starts (S, d) at once.

    A lane ends where its squared gradient norm is 1e-26, where it is no number any more, where it
    has stalled, or after the finder's steps. Lanes that have ended leave the batch.
    """
    n_lanes = len(starts)
    equations = Equations(problem, n_lanes, batched)
    ends = starts.clone()
    at = Iterate(starts, equations.grad(starts), finder.init(starts))
    slopes = at.grad.clone()
    n_steps, seconds = np.zeros(n_lanes, dtype=np.int64), np.zeros(n_lanes)
    history = [at.grad.square().sum(1)]  # of the lanes that go on
    lanes = torch.arange(n_lanes, device=starts.device)
    for k in range(finder.steps + 1):
        going = torch.isfinite(history[-1]) & (history[-1] > ENOUGH)
        if k >= PATIENCE:
            going &= history[-1] < FALL * history[-1 - PATIENCE]
        if not going.all():
            at = tree_map(lambda t, going=going: t[going], at)
            lanes, history = lanes[going], [norms[going] for norms in history[-PATIENCE:]]
        if k == finder.steps or not len(lanes):
            break
        began = perf_counter()
        at = finder.step(equations.of(lanes), at)
        here = lanes.cpu().numpy()
        seconds[here] += (perf_counter() - began) / len(here)
        n_steps[here] += 1
        ends[lanes], slopes[lanes] = at.theta, at.grad
        history.append(at.grad.square().sum(1))
        progress((k + 1 + (n_lanes - len(lanes)) / n_lanes * (finder.steps - k - 1)) / finder.steps)
    return Ends(ends, slopes, n_steps, equations.calls, seconds)
