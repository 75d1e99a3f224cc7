"""Denormal numbers, those between zero and the smallest normal one: arithmetic with them is slow.

Saturated units make them. Along a path of momentum SGD in suite `autoencoder`, in float32, products
with the Hessian took up to four times as long for them, and a run a third longer. A clock that is
to measure methods would have measured that.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch


@contextlib.contextmanager
def flushed() -> Iterator[None]:
    """Count denormal numbers as zero meanwhile, where torch computes in one thread.

    Those are below 1.2e-38 in float32 and 2.2e-308 in float64. Where torch has several threads,
    nothing changes: each of the others would keep what it began with, now and afterwards. Nothing
    changes either on a GPU, and on a processor that has no such mode.
    """
    if torch.get_num_threads() > 1:
        yield
        return
    before = _are_flushed()
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)


def _are_flushed() -> bool:
    smallest = torch.tensor(torch.finfo(torch.float32).tiny)
    return bool(smallest / 2 == 0)
