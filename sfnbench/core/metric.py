"""A metric: a number, or a few, that belong to a point."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from .oracle import Oracle


@dataclass(frozen=True, kw_only=True)
class Metric(ABC):
    """A number that a race records on the way, on the whole loss, outside clock and counters.

    Subclass as a frozen, keyword-only dataclass. `measure` must be pure, and must not branch on a
    tensor's value: points of a small problem are measured together, under `torch.func.vmap`.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}
    name: ClassVar[str]  # set by @register
    # names of the numbers that come with its own
    companions: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def measure(
        self, oracle: Oracle, theta: Tensor
    ) -> Tensor | Mapping[str, Tensor]:
        """The number () at theta (d,); where it has companions, all of them () by name."""
