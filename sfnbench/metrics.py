"""What is measured at a point: (problem, theta) -> scalar, on the whole loss, outside clock and counters."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from .core import Problem
from .lift import map_points

Metric = Callable[[Problem, Tensor], Tensor]

CRITICAL_GRADIENT = 1e-6  # a point whose gradient is longer is not called critical
ZERO_EIGENVALUE = 1e-6  # in units of the largest |eigenvalue|: smaller ones count as zero ...
FLAT_EIGENVALUE = 1e-9  # ... and so do smaller ones in absolute terms, where all of the Hessian vanishes
DENSE_LIMIT = 4096  # parameters up to which a dense Hessian (134 MB in float64) is taken for a metric
BATCHED_DIM = 64  # parameters up to which points are measured together; beyond, a batch gains nothing and costs memory


def loss(problem: Problem, theta: Tensor) -> Tensor:
    """The whole loss."""
    return problem.loss(theta, None)


def gradient_norm(problem: Problem, theta: Tensor) -> Tensor:
    """Euclidean norm of the gradient of the whole loss."""
    gradient: Tensor = torch.func.grad(problem.loss)(theta, None)
    return gradient.norm()


def min_eigenvalue(problem: Problem, theta: Tensor) -> Tensor:
    """Smallest eigenvalue of the Hessian."""
    return _eigenvalues(problem, theta)[0]


def index_fraction(problem: Problem, theta: Tensor) -> Tensor:
    """alpha: the fraction of Hessian eigenvalues that are negative, those that count as zero aside."""
    eigenvalues = _eigenvalues(problem, theta)
    return (eigenvalues < -_zero(eigenvalues)).to(theta.dtype).mean()


def distance_to_saddle(problem: Problem, theta: Tensor) -> Tensor:
    """Euclidean distance from the saddle that the race starts at; NaN where there is none."""
    if problem.saddle is None:
        return theta.new_full((), math.nan)
    return (theta - problem.saddle.point.to(theta)).norm()


METRICS: dict[str, Metric] = {
    metric.__name__: metric for metric in (loss, gradient_norm, min_eigenvalue, index_fraction, distance_to_saddle)
}


def measure(problem: Problem, name: str, points: Tensor) -> Tensor:
    """A metric, or one of the problem's own measures, at points (n, d): (n,); NaN where a point is not finite."""
    own = getattr(problem, name) if name in problem.measures else None
    values = points.new_full((points.shape[0],), math.nan)
    finite = torch.isfinite(points).all(1)
    if finite.any() and (own is not None or name in METRICS):
        metric = own or (lambda theta: METRICS[name](problem, theta))
        chunk = 1024 if problem.dim <= BATCHED_DIM else 1
        values[finite] = map_points(metric, points[finite], chunk).to(points.dtype)
    return values


class Certificate(NamedTuple):
    """What kind of point a trajectory ended at; eigenvalues are None where the Hessian is too large to be taken."""

    gradient_norm: float
    min_eigenvalue: float | None
    index_fraction: float | None
    end_point: str  # minimum | strict saddle | degenerate | not critical | diverged


def certify(problem: Problem, theta: Tensor) -> Certificate:
    """The certificate of an end point (d,): "converged" is never said without it."""
    norm = float(gradient_norm(problem, theta)) if torch.isfinite(theta).all() else math.nan
    if not math.isfinite(norm):
        return Certificate(norm, None, None, "diverged")
    critical = norm <= CRITICAL_GRADIENT
    if problem.dim > DENSE_LIMIT:
        return Certificate(norm, None, None, "critical, of unknown index" if critical else "not critical")
    eigenvalues = _eigenvalues(problem, theta)
    zero = float(_zero(eigenvalues))
    lowest = float(eigenvalues[0])
    kind = "strict saddle" if lowest < -zero else "minimum" if lowest > zero else "degenerate"
    alpha = float((eigenvalues < -zero).double().mean())
    return Certificate(norm, lowest, alpha, kind if critical else "not critical")


def _zero(eigenvalues: Tensor) -> Tensor:
    return (ZERO_EIGENVALUE * eigenvalues.abs().amax()).clamp_min(FLAT_EIGENVALUE)


def _eigenvalues(problem: Problem, theta: Tensor) -> Tensor:
    """All eigenvalues (d,), ascending; NaN where the Hessian is not finite, for eigvalsh refuses those."""
    if problem.dim > DENSE_LIMIT:
        return theta.new_full((1,), math.nan)
    H = problem.hessian(theta, None)
    finite = torch.isfinite(H).all()
    eigenvalues = torch.linalg.eigvalsh(torch.where(finite, H, torch.zeros_like(H)))
    return torch.where(finite, eigenvalues, torch.nan)
