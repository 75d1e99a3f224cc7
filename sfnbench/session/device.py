"""The kind of device that runs are executed on."""

from __future__ import annotations

from ..errors import DeviceError
from ..words import did_you_mean

DEVICES = ("auto", "cpu", "cuda")


def device_kind(device: str) -> str:
    """``cpu`` or ``cuda``: as asked, or as this machine allows for ``auto``; else DeviceError."""
    if device not in DEVICES:
        raise DeviceError(
            f"unknown device {device!r}{did_you_mean(device, DEVICES)}"
        )
    if device != "auto":
        return device
    return "cuda" if _has_gpu() else "cpu"


def check_device(kind: str) -> None:
    """DeviceError where this machine has no device of the kind."""
    if kind == "cuda" and not _has_gpu():
        raise DeviceError("device cuda was asked for, but torch sees no GPU here")


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()
