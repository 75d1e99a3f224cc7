"""The global generators of torch, numpy and Python, which stock optimizers draw from."""

from __future__ import annotations

import contextlib
import hashlib
import random
from collections.abc import Iterator

import numpy as np
import torch
from numpy.random import mtrand

# this one takes the place of numpy's, whose state is slow to copy
_SPARE = np.random.MT19937(0)


@contextlib.contextmanager
def lent_generators(device: torch.device) -> Iterator[None]:
    """Give the global generators back at its end as they were at its beginning."""
    own = random.getstate()
    numpys = mtrand.get_bit_generator()
    torchs = torch.get_rng_state()
    on_device = None
    if device.type == "cuda":
        on_device = torch.cuda.get_rng_state(device)
    mtrand.set_bit_generator(_SPARE)
    try:
        yield
    finally:
        random.setstate(own)
        mtrand.set_bit_generator(numpys)
        torch.set_rng_state(torchs)
        if on_device is not None:
            torch.cuda.set_rng_state(on_device, device)


def reseed(seed: int, step: int, device: torch.device) -> None:
    """Let what is drawn from the global generators follow from a run's seed and the step alone."""
    digest = hashlib.blake2b(
        f"{seed}/method {step}".encode(), digest_size=4
    ).digest()
    key = int.from_bytes(digest)
    random.seed(key)
    np.random.seed(key)
    torch.default_generator.manual_seed(key)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(key)
