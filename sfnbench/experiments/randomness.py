"""Randomness as data: a stream of draws for each seed and each purpose."""

from __future__ import annotations

import hashlib

import torch


def generator(seed: int, purpose: str) -> torch.Generator:
    """The seed's own stream of draws for one purpose.

    It is the same alone and in a batch, for every optimizer and on every device.
    """
    key = hashlib.blake2b(f"{seed}/{purpose}".encode(), digest_size=4).digest()
    return torch.Generator().manual_seed(int.from_bytes(key))
