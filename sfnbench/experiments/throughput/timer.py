"""Times work in blocks that take turns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
import torch

Work = Callable[[], int]  # does something, and returns how many units of it
Prepare = Callable[[int], Work]  # gets so many units of work ready
# seconds of one block, and the units that it did
TimedWork = Callable[[], tuple[float, int]]

MOST_UNITS = 10_000  # in a block, because their draws are made beforehand


@dataclass(frozen=True)
class Timer:
    """Times work on a device, in blocks of some seconds each.

    On a GPU the device's own events are the clock, so that nothing but the work is timed.
    """

    device: torch.device
    n_blocks: int
    block_s: float

    def time(self, work: Work) -> tuple[float, int]:
        """Seconds that the work took, done once, and how many units of it were done."""
        if self.device.type != "cuda":
            began = perf_counter()
            n = work()
            return perf_counter() - began, n
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        n = work()
        end.record()
        torch.cuda.synchronize(self.device)
        return float(begin.elapsed_time(end)) / 1e3, n

    def block_of(self, prepare: Prepare) -> TimedWork:
        """Finds how many units fill a block, and returns what times one.

        `prepare(n)` gets ready, untimed, and returns the work that does n units.
        """
        n = 1
        while True:
            took, done = self.time(prepare(n))
            if took >= self.block_s / 2 or done < n or n == MOST_UNITS:
                return lambda: self.time(prepare(n))
            n = min(MOST_UNITS, max(2 * n, int(n * self.block_s / max(took, 1e-9))))

    def in_turn(self, blocks: Mapping[str, TimedWork]) -> dict[str, np.ndarray]:
        """Seconds (n_blocks,) of a unit of each work, whose blocks take turns.

        A third more comes first, untimed: the first second of a process is slower by some per cent.
        """
        seconds: dict[str, list[float]] = {name: [] for name in blocks}
        for _ in range(self.n_blocks + self.n_blocks // 3):
            for name, block in blocks.items():
                took, done = block()
                seconds[name].append(took / max(1, done))
        return {
            name: np.array(each[-self.n_blocks :]) for name, each in seconds.items()
        }


def repeating(act: Callable[[], Any]) -> Prepare:
    """Work whose unit is to act once."""

    def work(n: int) -> int:
        for _ in range(n):
            act()
        return n

    return lambda n: lambda: work(n)
