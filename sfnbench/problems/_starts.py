"""Where a race starts: at a stated distance from a saddle, or at a stated point."""

import math

import torch
from torch import Tensor


def on_sphere(dim: int, radius: float, rng: torch.Generator) -> Tensor:
    """A point (d,) uniform on the sphere of that radius round 0: a scaled normal vector."""
    normal = torch.randn(dim, generator=rng, dtype=torch.float64)
    length: Tensor = torch.linalg.vector_norm(normal)
    return normal / length * radius


def check_start_at(start_at: tuple[float, ...] | None, dim: int) -> None:
    """ValueError unless a stated start has the right length and finite coordinates."""
    if start_at is None:
        return
    if len(start_at) != dim:
        raise ValueError(
            f"start_at has {len(start_at)} coordinates, but the problem has {dim}"
        )
    if not all(map(math.isfinite, start_at)):
        raise ValueError(f"start_at must be finite, got {list(start_at)}")
