"""Batches in parts, for devices without the memory to hold them whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .out_of_memory import is_want_of_memory
from .problem import Problem


@dataclass
class Parts:
    """In how many parts a batch is taken: doubled whenever the device has no memory for so few."""

    n: int = 1

    def sum(
        self, problem: Problem, batch: Any, ask: Callable[[Any], tuple[Tensor, ...]]
    ) -> tuple[Tensor, ...]:
        """What `ask` answers on the whole batch.

        The weighted sum of what it answers on the parts.
        """
        while True:
            parts = [(1.0, batch)] if self.n == 1 else problem.parts(batch, self.n)
            try:
                return self._sum(parts, ask)
            except (MemoryError, RuntimeError) as error:
                if not self.halve(problem, batch, error):
                    raise

    def halve(self, problem: Problem, batch: Any, error: BaseException) -> bool:
        """After a want of memory take the batch in twice as many parts.

        False where that is no way out.
        """
        if not is_want_of_memory(error) or len(problem.parts(batch, 2 * self.n)) <= self.n:
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
            total = tuple(map(torch.add, total, terms)) if total else terms
        return total
