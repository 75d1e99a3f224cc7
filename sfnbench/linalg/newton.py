"""Whether Newton's method, from a point, arrives at a critical point: a proof by doing it.

A small gradient is no proof: on a tail that falls for ever it is as small as one likes, without any
critical point. Newton's steps tell the two apart, whatever the units of loss and parameters:

    p = -H^+ g,    H^+ without the eigenvalues that are zero to rounding

Towards a nondegenerate critical point their lengths fall quadratically (Kantorovich 1948; Deuflhard
2004, "Newton Methods for Nonlinear Problems", theorem 2.3: contraction of the steps proves the
root). Towards one at which f grows like x^n they fall by (n - 2) / (n - 1) each time, and the rest
of the way is summed as a geometric series. On a tail they do not fall.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MOST_STEPS = 40
QUADRATIC = 0.5  # a step at most this share of the one before: on the way, quadratically or better
LINEAR = 0.93  # up to x^15; exponential tails have 1, and powers of a tail more
STEADY = 0.01  # by how much two ratios in a row may differ where steps fall linearly
ARRIVED = 1e-8  # a step this short, in units of the way so far, ends the search
ROUNDING = 1e-10  # eigenvalues below this, in units of the largest, are zero to rounding


@dataclass(frozen=True)
class Root:
    """A critical point that Newton's method arrived at."""

    point: Floats  # (d,)
    distance: float  # from where it set out
    convergence: Literal["quadratic", "linear"]
    steps: int


def newton_root(
    gradient: Callable[[Floats], Floats], hessian: Callable[[Floats], Floats], start: Floats
) -> Root | None:
    """The critical point that Newton's steps from `start` (d,) contract to; None where they do not.

    It takes a Hessian (d, d) and its eigenvalues a step, two steps where there is no critical point
    near. Rotating, scaling or shifting the parameters, or scaling the loss, changes nothing.

    >>> H = np.diag([10.0, -2.0])
    >>> saddle = newton_root(lambda x: H @ x, lambda x: H, np.array([0.3, 0.4]))
    >>> saddle.point.tolist(), saddle.distance
    ([0.0, 0.0], 0.5)
    >>> tail = newton_root(lambda x: -np.exp(-x), lambda x: np.exp(-x)[:, None], np.array([15.0]))
    >>> tail is None  # it falls for ever
    True
    """
    x = start.astype(np.float64)
    lengths: list[float] = []
    for n_steps in range(MOST_STEPS):
        g, H = gradient(x), hessian(x)
        if not (np.isfinite(g).all() and np.isfinite(H).all()):
            return None
        if not g.any():
            return _root(x, start, "quadratic", n_steps)
        step = _step(H, g)
        length = float(np.linalg.norm(step))
        if length == 0.0:  # a gradient in the Hessian's kernel: no linear method goes on from here
            return None
        lengths.append(length)
        ratios = [after / before for before, after in pairwise(lengths)]
        if ratios and ratios[-1] > LINEAR and not _is_rounding(g, H, x):
            return None
        x = x + step
        is_there = length <= ARRIVED * sum(lengths) and ratios and ratios[-1] <= QUADRATIC
        if is_there or _is_rounding(gradient(x), H, x):
            return _root(x, start, "quadratic", n_steps + 1)
        if len(ratios) >= 3 and ratios[-1] > STEADY and max(np.abs(np.diff(ratios[-3:]))) < STEADY:
            rest = step * ratios[-1] / (1 - ratios[-1])
            return _root(x + rest, start, "linear", n_steps + 1)
    return None


def _step(H: Floats, g: Floats) -> Floats:
    """Newton's step (d,), directions of eigenvalues that are zero to rounding left out."""
    L, Q = np.linalg.eigh((H + H.T) / 2)
    is_seen = np.abs(L) > ROUNDING * np.abs(L).max(initial=0.0)
    along = np.where(is_seen, -(Q.T @ g) / np.where(is_seen, L, 1.0), 0.0)
    return np.asarray(Q @ along)


def _is_rounding(g: Floats, H: Floats, x: Floats) -> bool:
    """Whether the gradient is no longer than its own rounding."""
    unit = np.finfo(np.float64).eps * np.linalg.norm(x) * np.linalg.norm(H)
    return bool(np.linalg.norm(g) <= 4 * unit)


def _root(
    x: Floats, start: Floats, convergence: Literal["quadratic", "linear"], steps: int
) -> Root:
    return Root(x, float(np.linalg.norm(x - start)), convergence, steps)
