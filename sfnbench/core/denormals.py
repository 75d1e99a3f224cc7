"""Denormal numbers, between zero and the smallest normal one: processors take many times as long.

Saturated units make them. Along a path of momentum SGD in suite `autoencoder`, in float32, products
with the Hessian took up to four times as long, and a run a third longer: a clock that measures
methods would have measured these.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch


@contextlib.contextmanager
def flushed() -> Iterator[None]:
    """Count denormal numbers as zero meanwhile, in this thread and those that it starts.

    Those are below 1.2e-38 in float32 and 2.2e-308 in float64. Nothing changes on a processor that
    cannot, nor on a GPU.
    """
    before = _are_flushed()
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)


def _are_flushed() -> bool:
    smallest = torch.tensor(torch.finfo(torch.float32).tiny)
    return bool(smallest / 2 == 0)
