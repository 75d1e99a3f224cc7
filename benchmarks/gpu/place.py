"""Where checks are made, and how large they are there."""

from dataclasses import dataclass
from typing import TypeVar

import torch

T = TypeVar("T")
Line = dict[str, object]


@dataclass(frozen=True)
class Place:
    """A device. On a GPU the sizes are those that a GPU is for, on a CPU the smallest."""

    device: torch.device

    @property
    def on_gpu(self) -> bool:
        """Whether this is a GPU."""
        return self.device.type == "cuda"

    def sized(self, large: T, small: T) -> T:
        """The size for a GPU, or the one for a CPU."""
        return large if self.on_gpu else small

    def wait(self) -> None:
        """Until the device has done all that it was given."""
        if self.on_gpu:
            torch.cuda.synchronize(self.device)

    def forget(self) -> None:
        """Give back memory that nothing uses, and begin a new peak."""
        if self.on_gpu:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)
