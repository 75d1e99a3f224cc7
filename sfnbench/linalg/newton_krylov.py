"""Newton's method where no Hessian is taken whole: its step, and the kind of point, by products.

Nothing is assumed of what products cannot show. A step counts only where it solves Newton's system;
a sign counts only where a Rayleigh quotient has it, or where no eigenvalue of another sign can have
stayed hidden.

References: Paige, Saunders 1975 (MINRES); Kuczynski, Wozniakowski 1992, "Estimating the largest
eigenvalue by the power and Lanczos algorithms with a random start".
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator, minres

from ..arrays import Flags, Floats
from .lanczos import Product, Subspace

VectorProduct = Callable[[Floats], Floats]  # (d,) -> (d,), symmetric

MOST_PRODUCTS = 200  # of a step
PRECISION = 1e-12  # at which a solve ends before that
# the most of the gradient that a step may leave, |H p + g| / |g|: else it is no step of Newton's
UNSOLVED = 1e-3
# A hasty solve looks at its residual after so many products. It gives up if the residual would stay
# too large even if it fell so many times as fast as since the last look: after 75 products on the
# paths of `autoencoder` and `rnn`, where 200 leave a tenth or more.
N_BETWEEN_LOOKS = 25
FASTER = 4
# the chance that a random start hides an eigenvalue further out than the stated gap
CHANCE = 1e-6


class _TooLongError(Exception):
    """A step is longer than the caller allows."""


class _HopelessError(Exception):
    """A solve will leave too much, and leaves `left` now."""

    def __init__(self, left: float) -> None:
        self.left = left


class KrylovStep(NamedTuple):
    """Newton's step at a point, as far as products show it."""

    step: Floats  # (d,); NaN where it is not solved for, inf where an iterate was too long
    size: float  # the largest |H v| / |v| among the products
    unsolved: float  # |H p + g| / |g|, NaN where the solve ended early


def krylov_step(
    gradient: Floats, product: VectorProduct, longest: float, *, hasty: bool = False
) -> KrylovStep:
    """Newton's step (d,) at a gradient (d,), which solves its system to `UNSOLVED`.

    By MINRES, which takes indefinite and singular systems, and of the latter gives the shortest
    solution. It ends early where an iterate is longer than `longest`, and a `hasty` one where it
    falls so slowly that it will not be solved for. At most `MOST_PRODUCTS` + 2 products, and a
    hasty one's looks.

    >>> H = np.diag([10.0, -2.0])
    >>> krylov_step(np.array([10.0, 2.0]), lambda v: H @ v, longest=np.inf).step.round(9)
    array([-1.,  1.])
    """
    nothing, slope = np.full_like(gradient, np.nan), float(np.linalg.norm(gradient))
    if not math.isfinite(slope):
        return KrylovStep(nothing, math.nan, math.nan)
    if slope == 0:
        return KrylovStep(np.zeros_like(gradient), 0.0, 0.0)
    b = -gradient / slope
    scale = float(np.linalg.norm(product(b)))
    if not 0 < scale < math.inf:
        return KrylovStep(nothing, scale, 1.0)
    scaled, unit = _Scaled(product, scale), slope / scale

    def left(x: Floats) -> float:
        return float(np.linalg.norm(product(x) / scale - b))

    look = _Look(unit, longest, left if hasty else None)
    H = LinearOperator((len(b), len(b)), matvec=scaled, dtype=np.float64)
    try:
        x, _ = minres(H, b, rtol=PRECISION, maxiter=MOST_PRODUCTS, callback=look)
    except _TooLongError:
        far = np.full_like(gradient, np.inf)
        return KrylovStep(far, scale * scaled.size, math.nan)
    except _HopelessError as error:
        return KrylovStep(nothing, scale * scaled.size, error.left)
    unsolved = float(np.linalg.norm(scaled(x) - b))
    step = unit * x if unsolved <= UNSOLVED else nothing
    return KrylovStep(step, scale * scaled.size, unsolved)


class _Look:
    """Looks at each iterate of a solve, whose lengths are in a unit.

    `_TooLongError` where one is longer than `longest`, and `_HopelessError` where what they leave
    falls too slowly, if `left` says how much an iterate leaves.
    """

    def __init__(
        self, unit: float, longest: float, left: Callable[[Floats], float] | None
    ) -> None:
        self.unit, self.longest, self.left = unit, longest, left
        self.n_products = 0
        self.before = 1.0  # left, at the last look

    def __call__(self, x: Floats) -> None:
        if self.unit * np.linalg.norm(x) > self.longest:
            raise _TooLongError
        self.n_products += 1
        if self.left is None or self.n_products % N_BETWEEN_LOOKS:
            return
        here = self.left(x)
        looks = (MOST_PRODUCTS - self.n_products) / N_BETWEEN_LOOKS
        if here * (here / self.before) ** (FASTER * looks) > UNSOLVED:
            raise _HopelessError(here)
        self.before = here


class _Scaled:
    """Products over a scale, and the largest |H v| / |v| among them, in that unit."""

    def __init__(self, product: VectorProduct, scale: float) -> None:
        self.product, self.scale, self.size = product, scale, 1.0

    def __call__(self, v: Floats) -> Floats:
        found, norm = self.product(v) / self.scale, np.linalg.norm(v)
        if norm > 0:
            self.size = max(self.size, float(np.linalg.norm(found) / norm))
        return found


class Signs:
    """Which signs a symmetric matrix's eigenvalues have, as far as a Krylov space shows.

    The space is that of a random start (m,). Where it is exhausted, it holds every eigenvalue.
    Elsewhere none lies further out than the outermost Ritz values by more than `gap`, at each end
    with probability 1 - `CHANCE`. Rounding adds vectors from outside to a space that is exhausted:
    those that `inside` (m,) -> (m,), the projection onto the directions that count, shrinks.
    """

    def __init__(
        self, space: Subspace, m: int, inside: Product = torch.Tensor.clone
    ) -> None:
        n = int((torch.linalg.vector_norm(space.basis, dim=1) > 0).sum())
        values, Q = torch.linalg.eigh(space.matrix[:n, :n].double())
        self.values = np.asarray(values.cpu().numpy())  # Ritz values, ascending
        self.vectors = Q.to(space.basis).mT @ space.basis[:n]  # (n, m)
        counts = [float(inside(y).norm()) ** 2 > 0.5 for y in self.vectors]
        self.values, self.vectors = self.values[counts], self.vectors[counts]
        self.is_exhausted = n < len(space.basis) or n == m
        self.gap = 0.0
        if not self.is_exhausted:
            self.gap = hidden(n, m) * float(self.values[-1] - self.values[0])

    @property
    def size(self) -> float:
        """The largest |Ritz value|."""
        return float(np.abs(self.values).max())

    def found(self, zero: float, flat: Flags) -> tuple[Flags, Flags] | None:
        """Whether eigenvalues are negative, and positive; neither are zero.

        Up to `zero` they count as zero, and so does a Ritz value in `flat` (n,). None where hidden
        eigenvalues may decide between signs.
        """
        is_zero = (np.abs(self.values) <= zero) | flat
        negative = (self.values < 0) & ~is_zero
        positive = (self.values > 0) & ~is_zero
        if self.is_exhausted or (negative.any() and positive.any()):
            return negative, positive
        lowest, highest = self.values[0] - self.gap, self.values[-1] + self.gap
        is_plain = lowest > zero or highest < -zero or max(-lowest, highest) <= zero
        if is_plain and not flat.any():
            return negative, positive
        return None


def hidden(k: int, m: int) -> float:
    """How far out eigenvalues may be hidden from k products in m dimensions.

    In units of the Ritz values' range, with probability `CHANCE`; infinite where all may be.

    >>> round(hidden(60, 10_000), 3), hidden(4, 10_000)
    (0.027, inf)
    """
    share = (math.log(1.648 * math.sqrt(m) / CHANCE) / (2 * k - 1)) ** 2
    return share / (1 - 2 * share) if share < 0.5 else math.inf
