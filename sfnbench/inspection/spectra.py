"""What products with the Hessian say of its eigenvalues: all of them, or both ends and shares."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..linalg.lanczos import Product, Subspace, lanczos

ZERO = 1e-6  # of the largest |eigenvalue|: smaller ones count as zero


class ProbeEstimate(NamedTuple):
    """A number, and its error: a standard error of probes, or 0 where it is exact."""

    value: float
    error: float


class End(NamedTuple):
    """An end of the spectrum: some eigenvalue is within `residual` of `value`."""

    value: float
    residual: float
    vector: Tensor  # (d,), a unit vector


class Nodes(NamedTuple):
    """A spectral measure seen by some vectors: eigenvalues, or Ritz values with their weights."""

    values: Tensor  # (n, k), float64
    weights: Tensor  # (n, k), each row sums to 1

    def below(self, edge: float) -> ProbeEstimate:
        """The share of eigenvalues below an edge.

        To the spread of the vectors the error adds what quadrature leaves open: the weights of the
        nodes next to the edge (inequalities of Chebyshev, Markov and Stieltjes).
        """
        is_below = self.values < edge
        found = _estimate((is_below * self.weights).sum(1))
        if len(self.values) == 1:
            return found
        gaps = (self.values - edge).abs()
        open_weights = []
        for side in (is_below, ~is_below):
            place = torch.where(side, gaps, torch.inf).argmin(1, keepdim=True)
            open_weights.append(float(self.weights.gather(1, place).mean()))
        return ProbeEstimate(found.value, found.error + max(open_weights))

    def ratio(
        self, f: Callable[[Tensor], Tensor], g: Callable[[Tensor], Tensor]
    ) -> ProbeEstimate:
        """The mean of f over that of g, in each vector's measure."""
        above, below = ((each(self.values) * self.weights).sum(1) for each in (f, g))
        return _estimate(above / below.clamp_min(torch.finfo(below.dtype).tiny))


def dense_nodes(eigenvalues: Tensor) -> Nodes:
    """The exact measure of all eigenvalues (d,)."""
    weights = torch.full_like(eigenvalues, 1 / len(eigenvalues))
    return Nodes(eigenvalues[None], weights[None])


def krylov_nodes(spaces: Sequence[Subspace]) -> Nodes:
    """The measures that the first vectors of Krylov subspaces see: Gauss quadrature."""
    values, weights = [], []
    for space in spaces:
        L, Q = torch.linalg.eigh(space.matrix.double().cpu())
        values.append(L)
        weights.append(Q[0].square())
    return Nodes(torch.stack(values), torch.stack(weights))


def ritz_vectors(space: Subspace) -> Tensor:
    """The lowest and the highest Ritz vector (2, d), unit vectors."""
    used = (torch.linalg.vector_norm(space.basis, dim=1) > 0).cpu()
    Q = torch.linalg.eigh(space.matrix.double().cpu())[1]
    # vectors that are zero, as the process ended early, make no Ritz vectors
    inside = ((Q.square() * used[:, None]).sum(0) > 0.5).nonzero().ravel()
    ends = Q[:, inside[[0, -1]]].to(space.basis)  # (k, 2)
    found = ends.mT @ space.basis
    return found / torch.linalg.vector_norm(found, dim=1, keepdim=True)


def end_of(product: Product, vector: Tensor) -> End:
    """The Rayleigh quotient of a unit vector (d,) with its true residual |H y - t y|.

    Parlett 1998, theorem 4.5.1: some eigenvalue is within it.
    """
    found = product(vector)
    value = vector @ found
    residual = torch.linalg.vector_norm(found - value * vector)
    return End(float(value), float(residual), vector)


def sharpened(product: Product, spaces: Sequence[Subspace], k: int) -> tuple[End, End]:
    """Both ends, by k products more from the sum of all Ritz vectors at the ends, and two."""
    start = torch.cat([ritz_vectors(space) for space in spaces]).sum(0)
    space = lanczos(product, start, k)
    low, high = ritz_vectors(space)
    return end_of(product, low), end_of(product, high)


def _estimate(samples: Tensor) -> ProbeEstimate:
    error = samples.std() / len(samples) ** 0.5 if len(samples) > 1 else torch.zeros(())
    return ProbeEstimate(float(samples.mean()), float(error))
