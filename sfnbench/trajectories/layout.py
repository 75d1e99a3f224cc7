"""Where the tensors that a problem names lie in theta."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..core.problem import Problem


@dataclass(frozen=True)
class Layout:
    """The named tensors of a problem in theta (d,), and the way there and back."""

    names: tuple[str, ...]
    shapes: tuple[torch.Size, ...]
    places: tuple[Tensor, ...]  # (n,) of each tensor's entries in theta, row by row
    # the way back (d,) from the tensors' entries in their order; None: theta's own order
    _back: Tensor | None

    @classmethod
    def of(cls, problem: Problem, device: torch.device) -> Layout:
        """The layout of a problem's theta on a device."""
        numbers = torch.arange(problem.dim, dtype=torch.float64)
        views = problem.tensors(numbers)
        places = [view.reshape(-1).long() for view in views.values()]
        order = torch.cat(places)
        is_theta = torch.equal(order, numbers.long())
        return cls(
            tuple(views),
            tuple(view.shape for view in views.values()),
            tuple(each.to(device) for each in places),
            None if is_theta else order.argsort().to(device),
        )

    def apart(self, theta: Tensor) -> list[Tensor]:
        """Copies of the tensors (..., *shape) in theta (..., d), differentiable."""
        lead = theta.shape[:-1]
        return [
            theta.index_select(-1, places).view((*lead, *shape))
            for places, shape in zip(self.places, self.shapes, strict=True)
        ]

    def joined(self, parts: Sequence[Tensor], n_lead: int = 0) -> Tensor:
        """Theta (..., d) of tensors (..., *shape) with `n_lead` leading dimensions."""
        lead = parts[0].shape[:n_lead]
        sizes = [math.prod(shape) for shape in self.shapes]
        flat = [
            part.reshape(*lead, size)
            for part, size in zip(parts, sizes, strict=True)
        ]
        ordered = torch.cat(flat, dim=-1)
        if self._back is None:
            return ordered
        return ordered.index_select(-1, self._back)
