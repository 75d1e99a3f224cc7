"""One run by several processes: each takes a part of every batch, and answers are summed.

A loss is a mean over examples, so loss, gradient, Hessian and its products are sums over parts of
the examples (`Problem.parts`). All processes hold the same point and make the same steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from .problem import Problem

_current: ContextVar[Ranks | None] = ContextVar("_current", default=None)


@dataclass
class Ranks:
    """The processes of a run, n of them, and this one's rank among them, counted from 0."""

    n: int
    rank: int
    n_bytes: int = 0  # that each process has handed in so far

    def own(self, problem: Problem, batch: Any) -> tuple[float, Any]:
        """The part of a batch that is this one's, and its weight: 0 where there are fewer parts."""
        parts = problem.parts(batch, self.n)
        if self.rank < len(parts):
            return parts[self.rank]
        return 0.0, parts[0][1]

    def sum(self, weight: float, terms: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The weighted sums of all processes' terms, in one message."""
        message = torch.cat([weight * term.reshape(-1) for term in terms])
        dist.all_reduce(message)
        self.n_bytes += message.numel() * message.element_size()
        pieces = message.split([term.numel() for term in terms])
        return tuple(
            piece.view(term.shape)
            for piece, term in zip(pieces, terms, strict=True)
        )


@contextmanager
def shared_by(ranks: Ranks) -> Iterator[None]:
    """What oracles are asked in this block is summed over these processes."""
    before = _current.set(ranks)
    try:
        yield
    finally:
        _current.reset(before)


def current_ranks() -> Ranks | None:
    """The processes that share the run that is being executed; None: it is one process's own."""
    return _current.get()
