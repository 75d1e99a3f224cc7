"""The clauses of the contract that metrics keep."""

from __future__ import annotations

import torch
from torch import Tensor

from ...core.metric import Metric
from ...core.oracle import Oracle
from ...metrics.measuring import by_name, measure
from .shared import N_CONTRACT_STARTS, Waves, require, starts_of


def measures_scalars(metric: Metric) -> None:
    """It gives a number (), or by name its own and those of its companions."""
    found = by_name(
        metric.name, metric.measure(Oracle(Waves()), starts_of(Waves())[0])
    )
    expected = {metric.name, *metric.companions}
    require(
        set(found) == expected,
        f"it gives {', '.join(found)}, but should give {', '.join(sorted(expected))}",
    )
    for name, value in found.items():
        shape = (
            tuple(value.shape)
            if isinstance(value, Tensor)
            else type(value).__name__
        )
        require(shape == (), f"{name} should be a tensor of shape (), not {shape}")


def measuring_is_pure(metric: Metric) -> None:
    """It changes no point in place, and draws nothing."""
    points = starts_of(Waves())
    kept = points.clone()
    torch.manual_seed(1)
    first = measure(Waves(), metric, points)
    require(torch.equal(points, kept), "the points were changed in place")
    torch.manual_seed(2)
    again = measure(Waves(), metric, points)
    for name, values in first.items():
        require(
            _agree(values, again[name], 0.0), f"{name} differs when measured again"
        )


def points_are_measured_together(metric: Metric) -> None:
    """Points of one batch measure what each measures alone."""
    points = starts_of(Waves())
    together = measure(Waves(), metric, points)
    for place in range(N_CONTRACT_STARTS):
        alone = measure(Waves(), metric, points[place : place + 1])
        for name, values in alone.items():
            is_same = _agree(values, together[name][place : place + 1], 1e-9)
            require(
                is_same, f"{name} of point {place} differs from that in a batch"
            )


METRIC_CHECKS = (measures_scalars, measuring_is_pure, points_are_measured_together)


def _agree(a: Tensor, b: Tensor, tolerance: float) -> bool:
    return torch.allclose(a, b, rtol=tolerance, atol=tolerance, equal_nan=True)
