"""Denormal numbers, those between zero and the smallest normal one: arithmetic with them is slow.

Saturated units make them. Along a path of momentum SGD in suite `autoencoder`, in float32, products
with the Hessian took up to four times as long for them, and metrics a third of a run.

Steps of optimizers keep them, as methods are measured as they are: scipy's trust-krylov leaves the
scalar chain of five layers in some of 16 runs, not the same ones each time, and in none where such
numbers count as zero.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor


@contextlib.contextmanager
def flushed(like: Tensor) -> Iterator[None]:
    """Count denormal numbers as zero meanwhile, for arithmetic in float32, as `like` is.

    Those are below 1.2e-38. Nothing changes for another dtype, on a GPU, and on a processor that
    has no such mode, nor where torch has several threads: each of the others would keep what it
    began with, now and afterwards.
    """
    is_wanted = like.dtype == torch.float32 and not like.is_cuda
    if not is_wanted or torch.get_num_threads() > 1:
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
