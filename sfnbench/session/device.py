"""The kind of device that runs are executed on."""

from __future__ import annotations

from ..errors import DeviceError
from ..words import did_you_mean

DEVICES = ("auto", "cpu", "cuda")


def device_kind(device: str) -> str:
    """``cpu`` or ``cuda``: as asked, or as the machine allows for ``auto``; else DeviceError."""
    if device not in DEVICES:
        raise DeviceError(f"unknown device {device!r}{did_you_mean(device, DEVICES)}")
    if device == "cpu":
        return device
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if device == "cuda":
        raise DeviceError("device cuda was asked for, but torch sees no GPU here")
    return "cpu"
