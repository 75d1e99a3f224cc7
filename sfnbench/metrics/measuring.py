"""What is measured at a point.

(problem, theta) -> scalars, on the whole loss, outside clock and counters.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ..core.oracle import Oracle
from ..core.problem import Problem
from ..linalg.lanczos import Extremes, extreme_eigenvalues
from ..trajectories.vmapped import map_points

Metric = Callable[
    [Problem, Tensor], Tensor | dict[str, Tensor]
]  # several scalars where one is not told without another

ZERO_EIGENVALUE = (
    1e-6  # in units of the largest |eigenvalue|: smaller ones count as zero ...
)
FLAT_EIGENVALUE = 1e-9  # ... and so do smaller ones in absolute terms, where all of the Hessian vanishes
DENSE_LIMIT = 4096  # parameters up to which a dense Hessian (134 MB in float64) is taken for a metric ...
N_LANCZOS = 60  # ... and products that stand in for it beyond
# parameters up to which points are measured together; beyond, a batch gains nothing and costs
# memory
BATCHED_DIM = 64


def loss(problem: Problem, theta: Tensor) -> Tensor:
    """The whole loss."""
    return uncounted(problem).loss(theta)


def gradient_norm(problem: Problem, theta: Tensor) -> Tensor:
    """Euclidean norm of the gradient of the whole loss."""
    return uncounted(problem).grad(theta).norm()


def min_eigenvalue(problem: Problem, theta: Tensor) -> dict[str, Tensor]:
    """Smallest eigenvalue of the Hessian, and the distance from it within which there is one for sure.

    Exact up to `DENSE_LIMIT` parameters. Beyond, the lowest Ritz value of `N_LANCZOS` products from
    a fixed random start: no eigenvalue's lower bound, so a negative one proves negative curvature,
    and a positive one that none was resolved.
    """
    if problem.dim <= DENSE_LIMIT:
        lowest = _eigenvalues(problem, theta)[0]
        return {
            "min_eigenvalue": lowest,
            "min_eigenvalue_residual": torch.zeros_like(lowest),
        }
    found = _extremes(problem, theta)
    return {
        "min_eigenvalue": found.lowest,
        "min_eigenvalue_residual": found.lowest_residual,
    }


def index_fraction(problem: Problem, theta: Tensor) -> Tensor:
    """Alpha.

    The fraction of Hessian eigenvalues that are negative, those that count as zero aside.
    """
    eigenvalues = _eigenvalues(problem, theta)
    negative = (eigenvalues < -_zero(eigenvalues)).to(theta.dtype)
    return torch.where(eigenvalues.isnan(), torch.nan, negative).mean()


def distance_to_saddle(problem: Problem, theta: Tensor) -> Tensor:
    """Euclidean distance from the saddle that the race starts at; NaN where there is none."""
    if problem.saddle is None:
        return theta.new_full((), math.nan)
    return (theta - problem.saddle.point.to(theta)).norm()


METRICS: dict[str, Metric] = {
    metric.__name__: metric
    for metric in (
        loss,
        gradient_norm,
        min_eigenvalue,
        index_fraction,
        distance_to_saddle,
    )
}


def measure(problem: Problem, name: str, points: Tensor) -> dict[str, Tensor]:
    """A metric, or one of the problem's own measures, at points (n, d).

    NaN where a point is not finite.

    What was measured by name, (n,) each: `name`, and what comes with it.
    """
    own = getattr(problem, name) if name in problem.measures else None
    nothing = points.new_full((points.shape[0],), math.nan)
    finite = torch.isfinite(points).all(1)
    if not finite.any() or (own is None and name not in METRICS):
        if name == "min_eigenvalue":
            return {name: nothing, "min_eigenvalue_residual": nothing}
        return {name: nothing}

    def scalars(theta: Tensor) -> dict[str, Tensor]:
        found = own(theta) if own else METRICS[name](problem, theta)
        return found if isinstance(found, dict) else {name: found}

    values = map_points(scalars, points[finite], chunk(problem))
    return {
        each: nothing.index_put((finite,), value.to(points.dtype))
        for each, value in values.items()
    }


def bottoms(
    problem: Problem, points: Tensor
) -> list[tuple[float, float, float | None]]:
    """Lowest eigenvalue, its residual, and alpha at points (n, d), those of a small problem at once.

    Alpha is None where the Hessian is too large to be taken whole.
    """
    if not len(points):
        return []
    found = map_points(lambda theta: _bottom(problem, theta), points, chunk(problem))
    columns = [
        found["lowest"].tolist(),
        found["residual"].tolist(),
        found["alpha"].tolist(),
    ]
    if problem.dim > DENSE_LIMIT:
        columns[2] = [None] * len(points)
    return list(zip(*columns, strict=True))


def _bottom(problem: Problem, theta: Tensor) -> dict[str, Tensor]:
    """Lowest eigenvalue, its residual, what counts as zero, and alpha, where all of the Hessian can be taken."""
    if problem.dim > DENSE_LIMIT:
        found = _extremes(problem, theta)
        zero = ZERO_EIGENVALUE * torch.maximum(found.highest.abs(), found.lowest.abs())
        return {
            "lowest": found.lowest,
            "residual": found.lowest_residual,
            "zero": zero,
            "alpha": zero * math.nan,
        }
    eigenvalues = _eigenvalues(problem, theta)
    zero, lowest = _zero(eigenvalues), eigenvalues[0]
    alpha = (eigenvalues < -zero).double().mean()
    return {
        "lowest": lowest,
        "residual": torch.zeros_like(lowest),
        "zero": zero,
        "alpha": alpha,
    }


def chunk(problem: Problem) -> int:
    """How many points are measured together."""
    return 1024 if problem.dim <= BATCHED_DIM else 1


def uncounted(problem: Problem) -> Oracle:
    """An oracle whose count is dropped; small problems are measured inside a transform."""
    return Oracle(problem, eager=problem.dim > BATCHED_DIM)


def _extremes(problem: Problem, theta: Tensor) -> Extremes:
    start = torch.from_numpy(np.random.default_rng(0).standard_normal(problem.dim)).to(
        theta
    )  # torch's not under vmap
    return extreme_eigenvalues(
        uncounted(problem).curvature(theta).hvp, start, N_LANCZOS
    )


def _zero(eigenvalues: Tensor) -> Tensor:
    return (ZERO_EIGENVALUE * eigenvalues.abs().amax()).clamp_min(FLAT_EIGENVALUE)


def _eigenvalues(problem: Problem, theta: Tensor) -> Tensor:
    """All eigenvalues (d,), ascending.

    NaN where the Hessian is not finite, for eigvalsh refuses those.
    """
    if problem.dim > DENSE_LIMIT:
        return theta.new_full((1,), math.nan)
    H = problem.hessian(theta, None)
    finite = torch.isfinite(H).all()
    eigenvalues = torch.linalg.eigvalsh(torch.where(finite, H, torch.zeros_like(H)))
    return torch.where(finite, eigenvalues, torch.nan)
