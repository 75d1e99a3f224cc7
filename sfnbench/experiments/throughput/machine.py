"""The machine while it is timed: the memory in use, and other processes at work."""

from __future__ import annotations

import resource
import sys
from contextlib import suppress
from pathlib import Path
from time import perf_counter
from typing import Any

import psutil
import torch

QUIET = 0.25  # cores that others may keep busy before rates are marked as disturbed


class PeakMemory:
    """The most memory in use since it was made: a GPU's tensors, or what the process grew by."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._before = psutil.Process().memory_info().rss
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        # Linux resets its own high-water mark when asked to
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")

    def in_bytes(self) -> int:
        """The peak so far, in bytes."""
        if self._device.type == "cuda":
            return int(torch.cuda.max_memory_allocated(self._device))
        with suppress(OSError):
            for line in Path("/proc/self/status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    return max(0, int(line.split()[1]) * 1024 - self._before)
        unit = 1 if sys.platform == "darwin" else 1024
        return max(
            0,
            resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
            - self._before,
        )


class OtherProcesses:
    """The load by other processes from now on."""

    def __init__(self) -> None:
        self.load = psutil.getloadavg()[0]
        self.began, self.busy = perf_counter(), self._busy()

    def columns(self) -> dict[str, Any]:
        """The load average before, the cores that others kept busy, and whether that disturbs."""
        cores = max(0.0, (self._busy() - self.busy) / (perf_counter() - self.began))
        return {
            "load": self.load,
            "busy_cores_of_others": cores,
            "disturbed": cores > QUIET,
        }

    @staticmethod
    def _busy() -> float:
        """Processor seconds of all processes but this one."""
        every = psutil.cpu_times()
        own = psutil.Process().cpu_times()
        total = every.user + every.system + getattr(every, "nice", 0.0)
        return float(total - own.user - own.system)
