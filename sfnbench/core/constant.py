"""Tensors that a problem needs at each call of its loss, built once."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

Built = TypeVar("Built")


def constant(build: Callable[[Any], Built]) -> Callable[[Any, Tensor], Built]:
    """A decorator for methods: their tensors are built once, in float64 on the CPU.

    Copies are kept for each device and dtype that asks. ``@constant def images(self)`` is called as
    ``self.images(theta)``: all tensors come on theta's device, those of floating point in theta's
    dtype. It serves whatever a loss needs at every call: data sets, rotations, targets.
    """
    name = f"_{build.__name__}"

    @functools.wraps(build)
    def get(self: Any, like: Tensor) -> Built:
        kept = self.__dict__.setdefault(name, {})
        key = (like.device, like.dtype)
        if key not in kept:

            def place(t: Tensor) -> Tensor:
                t = t.to(
                    like.device, like.dtype if t.is_floating_point() else t.dtype
                )
                # The first call may come from inside a torch.func transform, which wraps even what
                # does not depend on its input: unwrapped, the tensor outlives the transform.
                return torch.func.debug_unwrap(t)

            kept[key] = tree_map_only(Tensor, place, build(self))
        return cast(Built, kept[key])

    return get
