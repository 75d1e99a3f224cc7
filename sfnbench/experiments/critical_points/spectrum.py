"""The spectrum of the Hessian at a point, and the facts that it gives."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...core.problem import Problem
from ...core.symmetry import counted_directions
from ...linalg.inertia import count_below
from ...linalg.spectrum import lanczos_quadrature

STRICTER = 1e-8  # where this threshold gives another index than the suite's, the index is not sure

# |eigenvalues| below this, in units of the largest, no longer help Newton's method: for the
# residual
QUADRATURE_KERNEL = 1e-5
N_PROBES, N_NODES = 4, 64  # of Lanczos quadrature
SMALLEST_SCALE = 1e-300  # for a Hessian that vanishes

# The facts that a spectrum may give, in the order of a row; None for those that it does not.
SPECTRUM_FACTS = (
    "index",
    "index_strict",
    "index_sure",
    "alpha",
    "n_zero",
    "n_positive",
    "residual",
    "flatness",
    "centre",
    "spread",
    "min_eigenvalue",
    "max_eigenvalue",
    "gap",
)


class Spectrum(NamedTuple):
    """Eigenvalues (n,), or nodes with their weights (n,), and the facts that they give."""

    values: np.ndarray
    weights: np.ndarray
    facts: dict[str, Any]


def spectrum_at(
    problem: Problem, theta: Tensor, settings: dict[str, Any]
) -> Spectrum:
    """The spectrum at theta (d,), whole or as a density, padded with NaN to one length.

    `residual` is |H p + g| / |g| for the best p, the share of the gradient in the Hessian's kernel.
    `flatness` is |H g| / (|H| |g|). They are near 1 and 0 at gradient-flat points, where no linear
    method goes on.
    """
    H, basis = hessian_at(problem, theta)
    whole = settings["spectrum"] == "eigenvalues"
    if whole:
        length = problem.dim
    else:
        length = N_PROBES * min(N_NODES, problem.dim)
    if not np.isfinite(H).all():
        nothing = np.full(length, math.nan)
        return Spectrum(nothing, nothing, dict.fromkeys(SPECTRUM_FACTS))
    gradient = torch.func.grad(lambda t: problem.loss(t, None))(theta)
    if basis is not None:
        gradient = basis.mT @ gradient
    g = gradient.double().cpu().numpy()
    if whole:
        found = _by_eigenvalues(H, g, settings["zero"])
    else:
        found = _by_quadrature(H, g, settings["zero"])
    facts: dict[str, Any] = dict.fromkeys(SPECTRUM_FACTS) | found.facts
    facts["alpha"] = facts["index"] / len(H)
    facts["centre"] = float(np.trace(H) / len(H))
    variance = np.square(H).sum() / len(H) - facts["centre"] ** 2
    facts["spread"] = float(np.sqrt(max(0.0, variance)))
    return Spectrum(
        _padded(found.values, length), _padded(found.weights, length), facts
    )


def hessian_at(problem: Problem, theta: Tensor) -> tuple[np.ndarray, Tensor | None]:
    """The Hessian (m, m) in the directions (d, m) that count; None stands for all of them.

    NaN where theta is not finite.
    """
    H = problem.hessian(theta, None)
    basis = None
    if H.isfinite().all():
        basis = counted_directions(problem, theta, H)
    if basis is not None:
        H = basis.mT @ H @ basis
    return np.asarray(H.double().cpu().numpy()), basis


def _by_eigenvalues(H: np.ndarray, g: np.ndarray, zero: float) -> Spectrum:
    """All eigenvalues (n,), and how the gradient lies in their basis."""
    L, Q = np.linalg.eigh(H)
    in_basis = Q.T @ g
    unit = max(np.abs(L).max(), SMALLEST_SCALE)
    index = int((-zero * unit > L).sum())
    facts = {
        "index": index,
        "index_strict": int((L < 0).sum()),
        "index_sure": bool(index == (-STRICTER * unit > L).sum()),
        "n_zero": int((np.abs(L) <= zero * unit).sum()),
        "n_positive": int((zero * unit < L).sum()),
        "min_eigenvalue": float(L[0]),
        "max_eigenvalue": float(L[-1]),
        "gap": float(np.abs(L).min() / unit),
    }
    length = np.linalg.norm(g)
    if length > 0:
        in_kernel = in_basis[np.abs(L) <= QUADRATURE_KERNEL * unit]
        facts["residual"] = float(np.linalg.norm(in_kernel) / length)
        facts["flatness"] = float(np.linalg.norm(L * in_basis) / (unit * length))
    return Spectrum(L, np.full(len(L), 1 / len(L)), facts)


def _by_quadrature(H: np.ndarray, g: np.ndarray, zero: float) -> Spectrum:
    """Nodes and weights of Lanczos quadrature.

    The index is counted by inertia, because no eigenvalue of a large H is computed.
    """
    matrix = torch.from_numpy(H)
    rng = torch.Generator().manual_seed(0)
    rule = lanczos_quadrature(
        lambda v: matrix @ v, torch.from_numpy(g), N_NODES, N_PROBES, rng
    )
    nodes = rule.nodes.flatten().numpy()
    weights = rule.weights.flatten().numpy() / N_PROBES
    unit = max(np.abs(nodes).max(), SMALLEST_SCALE)
    below = count_below(H, -zero * unit)
    not_above = count_below(H, zero * unit)
    facts = {
        "index": below,
        "index_strict": count_below(H),
        "index_sure": bool(below == count_below(H, -STRICTER * unit)),
        "n_zero": not_above - below,
        "n_positive": len(H) - not_above,
        "min_eigenvalue": float(nodes.min()),
        "max_eigenvalue": float(nodes.max()),
    }
    length = np.linalg.norm(g)
    if length > 0:
        facts["flatness"] = float(np.linalg.norm(H @ g) / (unit * length))
    return Spectrum(nodes, weights, facts)


def _padded(values: np.ndarray, length: int) -> np.ndarray:
    return np.pad(values, (0, length - len(values)), constant_values=math.nan)
