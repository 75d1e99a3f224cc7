"""Shares of the spectrum: of all eigenvalues, or of what Krylov subspaces prove of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from scipy.special import stdtrit

from ..arrays import Floats
from ..core.symmetry import ZERO_EIGENVALUE
from ..linalg.lanczos import Subspace

CONFIDENCE = 0.95  # of the intervals
# edges between zero and not zero that are tried, in the same unit, and the share that quadrature
# may leave open there
EDGES = (ZERO_EIGENVALUE, 1e-5, 1e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1)
MOST_OPEN = 0.05
TINY_PIVOT = 1e-300  # in place of a pivot that is zero
FAR = 1e8  # in units of the spectrum: a node so far out is at infinity


class ProbeEstimate(NamedTuple):
    """A number, and half the width of its 95 % interval; 0 where it is exact."""

    value: float
    error: float


class JacobiMatrix(NamedTuple):
    """Lanczos's matrix of H and a vector: tridiagonal, with the vector's moments."""

    diagonal: Floats  # (k,)
    off_diagonal: Floats  # (k,), the last one the residual norm after k steps

    @property
    def is_exact(self) -> bool:
        """Whether the Krylov space was exhausted, so that the measure itself is known."""
        return not self.off_diagonal[-1]

    def half(self) -> JacobiMatrix:
        """The same after half of the steps."""
        k = (len(self.diagonal) + 1) // 2
        return JacobiMatrix(self.diagonal[:k], self.off_diagonal[:k])

    def rule(self, more: Sequence[float] = ()) -> tuple[Floats, Floats]:
        """Nodes, ascending, and weights of the Gauss rule; with one `more` entry, Gauss-Radau's."""
        diagonal = np.append(self.diagonal, more)
        off = self.off_diagonal[: len(diagonal) - 1]
        matrix = np.diag(diagonal) + np.diag(off, 1) + np.diag(off, -1)
        nodes, vectors = np.linalg.eigh(matrix)
        return nodes, np.square(vectors[0])

    def below(self, edge: float) -> Floats:
        """The least and the most (2,) of the measure that can be below an edge.

        Weights of the Gauss-Radau rule with a node at the edge: below it, and with it. No measure
        with these moments has less or more (Chebyshev, Markov, Stieltjes; Golub, Meurant 2010,
        chapter 6.2).
        """
        if self.is_exact:
            nodes, weights = self.rule()
            return np.full(2, weights[nodes < edge].sum())
        size = np.abs(self.diagonal).max()
        pivot = np.inf
        for entry, off in zip(
            self.diagonal, [0.0, *self.off_diagonal], strict=False
        ):
            pivot = entry - edge - off**2 / pivot
            pivot = pivot or TINY_PIVOT * size
        entry = edge + self.off_diagonal[-1] ** 2 / pivot
        is_far = abs(entry) > FAR * size  # the edge is a node already
        nodes, weights = self.rule([] if is_far else [entry])
        place = int(np.abs(nodes - edge).argmin())
        return np.array([weights[:place].sum(), weights[: place + 1].sum()])


class Nodes(NamedTuple):
    """A spectral measure seen by some vectors: eigenvalues, or Ritz values with their weights."""

    values: Floats  # (n, k)
    weights: Floats  # (n, k), each row sums to 1
    matrices: tuple[JacobiMatrix, ...] = ()  # none where all eigenvalues are known

    def below(self, edge: float) -> Floats:
        """The least and the most (n, 2) that can be below an edge, by each vector."""
        if self.matrices:
            return np.stack([each.below(edge) for each in self.matrices])
        found = (self.weights * (self.values < edge)).sum(1)
        return np.stack([found, found], 1)

    def shares(self, edge: float) -> tuple[ProbeEstimate, ProbeEstimate]:
        """The share of eigenvalues below -edge, and of those within it."""
        low = self.below(-edge)
        high = self.below(edge)
        least = high[:, 0] - low[:, 1]
        most = high[:, 1] - low[:, 0]
        return between(low[:, 0], low[:, 1]), between(least, most)

    def resolved_edge(
        self, unit: float, smallest: float = ZERO_EIGENVALUE
    ) -> float:
        """The first of the edges, in units of the spectrum, where little is left open."""
        if not self.matrices:
            return smallest
        edges = [each for each in EDGES if each > smallest]
        for edge in (smallest, *edges):
            left = [
                np.diff(self.below(side * edge * unit)).mean() for side in (-1, 1)
            ]
            if max(left) <= MOST_OPEN:
                break
        return edge

    def negative_weight(self) -> ProbeEstimate:
        """The sum of the negative eigenvalues' sizes over that of all.

        The error adds to the probes' spread how far half of the steps are from all.
        """
        found, samples = _negative_part(self.values, self.weights)
        error = _half_width(samples)
        if not all(each.is_exact for each in self.matrices):
            rules = [each.half().rule() for each in self.matrices]
            values, weights = (
                np.concatenate(each)[None] for each in zip(*rules, strict=True)
            )
            error += abs(found - _negative_part(values, weights)[0])
        return ProbeEstimate(found, error)


def dense_nodes(eigenvalues: Floats) -> Nodes:
    """The exact measure of all eigenvalues (d,)."""
    return Nodes(
        eigenvalues[None], np.full((1, len(eigenvalues)), 1 / len(eigenvalues))
    )


def krylov_nodes(spaces: Sequence[Subspace]) -> Nodes:
    """The measures that the first vectors of Krylov subspaces see: Gauss quadrature."""
    values = []
    weights = []
    for space in spaces:
        L, Q = torch.linalg.eigh(space.matrix.double().cpu())
        values.append(L.numpy())
        weights.append(Q[0].square().numpy())
    matrices = tuple(_jacobi(each) for each in spaces)
    return Nodes(np.stack(values), np.stack(weights), matrices)


def between(least: Floats, most: Floats) -> ProbeEstimate:
    """A share from its bounds (n,) by each of n vectors: all that the two intervals hold."""
    low = max(0.0, float(least.mean()) - _half_width(least))
    high = min(1.0, float(most.mean()) + _half_width(most))
    return ProbeEstimate((low + high) / 2, max(0.0, (high - low) / 2))


def mean_of(samples: Floats) -> ProbeEstimate:
    """The mean of samples (n,), with Student's interval."""
    return ProbeEstimate(float(samples.mean()), _half_width(samples))


# -- inside ----------------------------------------------------------------------------------------


def _jacobi(space: Subspace) -> JacobiMatrix:
    """The tridiagonal matrix of a Krylov subspace, without the entries that rounding adds."""
    matrix = space.matrix.double().cpu().numpy()
    k = int((torch.linalg.vector_norm(space.basis, dim=1) > 0).sum())
    off = np.append(np.diagonal(matrix, 1), float(space.residual))[:k]
    return JacobiMatrix(np.diagonal(matrix)[:k], np.where(off > 0, off, 0.0))


def _half_width(samples: Floats) -> float:
    """Half the width of Student's interval for the mean of samples (n,); 0 for a single one."""
    n = len(samples)
    if n == 1:
        return 0.0
    quantile = float(stdtrit(n - 1, (1 + CONFIDENCE) / 2))
    return quantile * float(samples.std(ddof=1)) / n**0.5


def _negative_part(values: Floats, weights: Floats) -> tuple[float, Floats]:
    """The ratio of two means over vectors, and samples (n,) with the spread of its error."""
    above = (np.maximum(-values, 0) * weights).sum(1)
    below = np.maximum((np.abs(values) * weights).sum(1), np.finfo(float).tiny)
    ratio = float(above.sum() / below.sum())
    return ratio, (above - ratio * below) / below.mean()
