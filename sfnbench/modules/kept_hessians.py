"""Hessians of points that were asked before: an end point is measured first, and certified then."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

MOST_BYTES = 2**28  # of all that are kept; one Hessian is always kept


class KeptHessians:
    """The last Hessians of a whole loss, by their points; those of other points make room."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, bytes], Tensor] = {}

    def at(self, theta: Tensor, take: Callable[[], Tensor]) -> Tensor:
        """The Hessian (d, d) at theta (d,), which `take` gives where it is not kept.

        Inside a transform, or on torch's device meta, theta has no numbers to know it by, and
        nothing is kept.
        """
        if theta.is_meta or torch.func.debug_unwrap(theta) is not theta:
            return take()
        key = (
            f"{theta.dtype} {theta.device}",
            theta.detach().cpu().numpy().tobytes(),
        )
        if key not in self._kept:
            found = take()
            room = MOST_BYTES // max(1, found.numel() * found.element_size())
            for oldest in list(self._kept)[: max(0, len(self._kept) - room + 1)]:
                del self._kept[oldest]
            self._kept[key] = found
        return self._kept[key]
