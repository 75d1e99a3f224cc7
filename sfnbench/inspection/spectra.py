"""Both ends of a spectrum, by products with the Hessian."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..linalg.lanczos import Product, Subspace, lanczos


class End(NamedTuple):
    """An end of the spectrum: some eigenvalue is within `residual` of `value`."""

    value: float
    residual: float
    vector: Tensor  # (d,), a unit vector


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
    """The Rayleigh quotient of a vector (d,) with its true residual |H y - t y| / |y|.

    Parlett 1998, theorem 4.5.1: some eigenvalue is within it. Sums are taken in double precision:
    those of millions of float32 numbers are wrong in their fifth digit, more than the residual.
    """
    found = product(vector).double()
    y = vector.double()
    square = y @ y
    value = y @ found / square
    residual = torch.linalg.vector_norm(found - value * y) / square.sqrt()
    return End(float(value), float(residual), vector)


def sharpened(
    product: Product, spaces: Sequence[Subspace], k: int
) -> tuple[End, End]:
    """Both ends, by k products more from the sum of all Ritz vectors at the ends, and two."""
    start = torch.cat([ritz_vectors(space) for space in spaces]).sum(0)
    space = lanczos(product, start, k)
    low, high = ritz_vectors(space)
    return end_of(product, low), end_of(product, high)
