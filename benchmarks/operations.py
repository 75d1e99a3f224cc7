"""Floating-point operations of a piece of work."""

from collections.abc import Callable

import torch
from torch.utils.flop_counter import FlopCounterMode


def operations(act: Callable[[], object]) -> int:
    """The operations of its matrix products, those that add in place included."""
    table = {torch.ops.aten.addmm_: _in_place}  # torch's own lacks it
    with FlopCounterMode(display=False, custom_mapping=table) as counter:
        act()
    return int(counter.get_total_flops())


def _in_place(_: torch.Size, a: torch.Size, b: torch.Size, **others: object) -> int:
    """Of a product of matrices (n, k) and (k, m), added in place."""
    return 2 * a[0] * a[1] * b[1]
