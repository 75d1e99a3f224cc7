"""Batches in parts, for devices without the memory to hold them whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .out_of_memory import is_out_of_memory
from .problem import Problem
from .ranks import current_ranks


@dataclass
class Parts:
    """The number of parts that a batch is taken in.

    It is doubled whenever the device has no memory for parts of that size.
    """

    n: int = 1

    def sum(
        self, problem: Problem, batch: Any, ask: Callable[[Any], tuple[Tensor, ...]]
    ) -> tuple[Tensor, ...]:
        """The answers of `ask` on the whole batch: the weighted sum of its answers on the parts.

        Each of the processes that share a run takes its own part of the batch, in parts again.
        """
        ranks = current_ranks()
        if ranks is None:
            return self._of_own(problem, batch, ask)
        weight, own = ranks.own(problem, batch)
        return ranks.sum(weight, self._of_own(problem, own, ask))

    def _of_own(
        self, problem: Problem, batch: Any, ask: Callable[[Any], tuple[Tensor, ...]]
    ) -> tuple[Tensor, ...]:
        while True:
            try:
                if self.n == 1:
                    return ask(batch)
                return self._sum(problem.parts(batch, self.n), ask)
            except (MemoryError, RuntimeError) as error:
                if not self.halve(problem, batch, error):
                    raise

    def halve(self, problem: Problem, batch: Any, error: BaseException) -> bool:
        """Take the batch in twice as many parts from now on, after memory ran out.

        False where the error is another one, or where the batch has no more parts.
        """
        if (
            not is_out_of_memory(error)
            or len(problem.parts(batch, 2 * self.n)) <= self.n
        ):
            return False
        self.n *= 2
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return True

    @staticmethod
    def _sum(
        parts: list[tuple[float, Any]], ask: Callable[[Any], tuple[Tensor, ...]]
    ) -> tuple[Tensor, ...]:
        if len(parts) == 1:
            return ask(parts[0][1])
        total: tuple[Tensor, ...] = ()
        for weight, part in parts:
            terms = tuple(weight * term for term in ask(part))
            if total:
                total = tuple(map(torch.add, total, terms))
            else:
                total = terms
        return total
