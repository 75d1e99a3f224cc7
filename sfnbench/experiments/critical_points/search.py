"""The loop over a finder's steps: from starts to where each search ends, and what it cost."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from ...core.finder import Equations, Finder, Iterate
from ...core.problem import Problem
from ...trajectories.vmapped import unflattened
from ..checkpoints import Checkpoint, Kept
from ..progress import Progress

# squared gradient norm at which a search is done: quadratic convergence ends at rounding, not
# before
DONE_BELOW = 1e-26
# a search has stalled where |g|^2 fell by less than a tenth in eight steps
PATIENCE, FALL = 8, 0.9
# of the ends, what steps change
_MOVING = ("theta", "grad", "steps", "calls", "seconds")


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
    checkpoint: Checkpoint | None = None,
    part: str = "search",
) -> Ends:
    """Search from all starts (S, d) at once, or from where `checkpoint` has them.

    A search ends where its squared gradient norm is 1e-26, where that is no longer finite, where it
    has stalled, or after the finder's steps. Searches that have ended leave the batch.
    """
    checkpoint = checkpoint or Checkpoint()
    searches = _Searches(problem, finder, starts, batched)
    searches.restore(checkpoint.part(part))
    while searches.go_on():
        searches.advance()
        checkpoint.offer(part, searches.kept)
        progress(searches.done)
    checkpoint.offer(part, searches.kept, is_done=True)
    return searches.ends


class _Searches:
    """S searches of one finder: where they stand, and where each has ended."""

    def __init__(
        self, problem: Problem, finder: Finder, starts: Tensor, batched: bool
    ) -> None:
        n = len(starts)
        self._finder = finder
        self._equations = Equations(problem, n, batched)
        grad = self._equations.grad(starts)
        self._at = Iterate(starts, grad, finder.init(starts))  # those that go on
        self._places = torch.arange(n, device=starts.device)  # of those that go on
        # their squared gradient norms, step by step
        self._history = [grad.square().sum(1)]
        self._n_steps = 0
        self.ends = Ends(
            starts,
            theta=starts.clone(),
            grad=grad.clone(),
            steps=np.zeros(n, dtype=np.int64),
            calls=self._equations.calls,
            seconds=np.zeros(n),
        )

    def go_on(self) -> bool:
        """Let go of those that have ended; whether any is left, with steps to make."""
        going = _going(self._history, self._finder.descends_gradient)
        if not going.all():
            self._at = tree_map(lambda t: t[going], self._at)
            self._places = self._places[going]
            self._history = [norms[going] for norms in self._history[-PATIENCE:]]
        return self._n_steps < self._finder.steps and len(self._places) > 0

    def advance(self) -> None:
        """One step of the finder."""
        places = self._places
        ends = self.ends
        began = perf_counter()
        self._at = at = self._finder.step(self._equations.of(places), self._at)
        here = places.cpu().numpy()
        ends.seconds[here] += (perf_counter() - began) / len(here)
        ends.steps[here] += 1
        ends.theta[places] = at.theta
        ends.grad[places] = at.grad
        self._history.append(at.grad.square().sum(1))
        self._n_steps += 1

    @property
    def done(self) -> float:
        """The share of the budget that is used."""
        left = 1 - self._n_steps / self._finder.steps
        return 1 - len(self._places) / len(self.ends.starts) * left

    def kept(self) -> Kept | None:
        """Its state; None where the finder's memory is no tree of tensors."""
        memory = tree_leaves(self._at.memory)
        if not all(isinstance(leaf, Tensor) for leaf in memory):
            return None
        ends = {name: getattr(self.ends, name) for name in _MOVING}
        return {
            "ends": ends,
            "at": [self._at.theta, self._at.grad],
            "memory": memory,
            "places": self._places,
            "history": self._history[-1 - PATIENCE :],
            "n_steps": self._n_steps,
        }

    def restore(self, kept: Kept | None) -> None:
        """Go on from there; None: from the starts."""
        if kept is None:
            return
        for name, value in kept["ends"].items():
            getattr(self.ends, name)[:] = value
        theta, grad = kept["at"]
        memory = unflattened(kept["memory"], self._at.memory)
        self._at = Iterate(theta.to(self._at.theta), grad.to(self._at.grad), memory)
        self._places = kept["places"].to(self._places)
        self._history = [norms.to(self._at.grad) for norms in kept["history"]]
        self._n_steps = kept["n_steps"]


def _going(history: list[Tensor], may_stall: bool) -> Tensor:
    """Whether each search (S,) goes on, by its squared gradient norms (S,) so far."""
    norms = history[-1]
    going = torch.isfinite(norms) & (norms > DONE_BELOW)
    if may_stall and len(history) > PATIENCE:
        going &= norms < FALL * history[-1 - PATIENCE]
    return going
