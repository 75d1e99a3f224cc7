"""The Lanczos process: a symmetric matrix restricted to a Krylov subspace, by its products alone.

Under `torch.func.vmap` and on a GPU everything here is a fixed sequence of operations without a
branch on values, so a GPU is asked for nothing in between; but for a process that stops at a
tolerance. Shapes: d parameters, k vectors.

References: Lanczos 1950; Parlett 1998, "The symmetric eigenvalue problem", chapters 6.9 and 13.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.linalg import vector_norm

# (d,) -> (d,), symmetric; the caller may write into the vector that it returns
Product = Callable[[Tensor], Tensor]
# V H V^T (j, j) and |r| () after j vectors -> whether these are enough
Enough = Callable[[Tensor, Tensor], bool]

N_BETWEEN = 5  # vectors between two looks at the residual


class Subspace(NamedTuple):
    """A matrix H restricted to a subspace."""

    # V (k, d), orthonormal rows; zero ones where the subspace has fewer than k dimensions
    basis: Tensor
    matrix: Tensor  # V H V^T (k, k), symmetric
    residual: Tensor  # () |r|, where H v_k = V^T (V H v_k) + r


def lanczos(
    product: Product,
    start: Tensor,
    k: int,
    *,
    last: Tensor | None = None,
    reorthogonalise: bool = True,
    enough: Enough | None = None,
) -> Subspace:
    """The span of start, H start, ..., H^(k-1) start (d,); `last` (d,) replaces the last of these.

    Each new vector is made orthogonal to the basis, once more where little of it is left. Without
    `reorthogonalise` it is made so to its two neighbours alone, as in Lanczos' own recurrence:
    vectors that rounding lets depend on others become zero at the end.

    Cost: k products, k^2 d multiplications and additions for V H V^T and as many for
    reorthogonalising, three times as many under `vmap` and on a GPU; memory k d. The columns of
    V H V^T are taken as the products come, so the products themselves are not kept. Where the
    Krylov space is exhausted, vectors and products are zero from then on, and no product is spared;
    `enough` may end the process before k vectors.
    """
    V, M, w = _begun(product, start, k)
    largest = vector_norm(w)  # of all products: the rounding's size
    for j in range(k):
        basis = V[: j + 1]
        column = _column(basis, w, largest, reorthogonalise)
        M[j, : j + 1] = M[: j + 1, j] = column
        matrix = M[: j + 1, : j + 1]
        if j == k - 1 or (enough and enough(matrix, vector_norm(w))):
            break
        scale = largest
        if last is not None and j == k - 2:
            scale = _replaced(w, last, basis, reorthogonalise)
        V[j + 1] = _unit(w, scale)
        del w  # its room is the next product's
        w = product(V[j + 1])
        largest = torch.maximum(largest, vector_norm(w))
    space = Subspace(basis, matrix, vector_norm(w))
    return space if reorthogonalise else _orthonormalised(space)


def _begun(
    product: Product, start: Tensor, k: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Room for basis (k, d) and matrix (k, k), the basis' first row filled, and its product."""
    first = _unit(start, vector_norm(start))
    w = product(first)
    V = _zeros(w, k)
    V[0] = first
    return V, _zeros(V @ w, k), w


def _zeros(like: Tensor, k: int) -> Tensor:
    """Zeros (k, n), batched where `like` (n,) is."""
    return torch.zeros_like(
        like.expand(k, -1), memory_format=torch.contiguous_format
    )


def _replaced(
    w: Tensor, last: Tensor, basis: Tensor, reorthogonalise: bool
) -> Tensor:
    """Make w (d,) the part of `last` (d,) outside of the basis; the length () of all of `last`."""
    w.copy_(last)
    scale = vector_norm(last)
    for _ in range(2):
        _column(basis, w, scale, reorthogonalise)
    return scale


def _column(
    basis: Tensor, w: Tensor, scale: Tensor, reorthogonalise: bool
) -> Tensor:
    """The products (j,) of w (d,) with the basis (j, d), which are taken out of w.

    Out of w go its parts along its two neighbours, then once more those along all of the basis.
    Without that second pass (as in Dauphin et al. 2014, appendix E, after Vinyals and Povey 2012)
    rounding lets the vectors become dependent, in float32 after some twenty: V H V^T alone would
    then be plainly wrong, its eigenvalues too large and some of them false negatives. Whoever
    leaves it out has to account for the Gram matrix V V^T, as `_orthonormalised` does. What is
    left may be rounding alone, of products of norm `scale`: a third pass takes out its parts.
    """
    neighbours = basis[-2:]
    if not reorthogonalise:
        column = basis @ w
        w.sub_(neighbours.mT @ (neighbours @ w))
        return column
    near = neighbours @ w
    # addmv_ would need no room, but has no batching rule
    w.sub_(neighbours.mT @ near)
    column = basis @ w
    w.sub_(basis.mT @ column)
    column[-len(neighbours) :] += near
    if _may_be_rounding(w, scale):
        again = basis @ w
        w.sub_(basis.mT @ again)
        column += again
    return column


def _may_be_rounding(w: Tensor, scale: Tensor) -> bool:
    """Whether w may be rounding of vectors of norm `scale`, which has any share in a basis.

    True where looking at it would be a branch under `vmap`, or wait for a GPU.
    """
    if w.device.type != "cpu" or torch.func.debug_unwrap(w) is not w:
        return True
    size = vector_norm(w)
    return bool(size <= torch.finfo(w.dtype).eps ** 0.5 * scale)


class Extremes(NamedTuple):
    """The lowest and highest Ritz values ()."""

    lowest: Tensor
    lowest_residual: Tensor  # within which there is an eigenvalue of H
    highest: Tensor
    highest_residual: Tensor


def extreme_eigenvalues(
    product: Product, start: Tensor, k: int, tolerance: float | None = None
) -> Extremes:
    """Both ends of the spectrum by k products, from a start (d,) that has a share in both.

    The lowest Ritz value is never below the lowest eigenvalue, and some eigenvalue lies within its
    residual |H y - t y|: a negative one proves negative curvature, a positive one only that none
    was resolved. Parlett 1998, theorem 4.5.1. With a `tolerance`, fewer products do where the
    residual of the lowest Ritz value is at most that share of its size; the value is then off by
    about the square of that share. A GPU is waited for at each look, and `vmap` does not do it.
    """
    enough = None if tolerance is None else _converged(tolerance)
    space = lanczos(product, start, k, enough=enough)
    values, Q = torch.linalg.eigh(space.matrix.double())
    # vectors that are zero, as the process ended early, make no Ritz vectors
    used = vector_norm(space.basis, dim=1) > 0
    inside = (Q.square() * used[:, None]).sum(0) > 0.5
    lowest = torch.where(inside, values, torch.inf).argmin()
    highest = torch.where(inside, values, -torch.inf).argmax()
    bounds = space.residual * Q[-1].abs() * used[-1]

    def at(vector: Tensor, place: Tensor) -> Tensor:
        return vector.index_select(0, place.reshape(1)).squeeze(0).to(start.dtype)

    return Extremes(
        at(values, lowest),
        at(bounds, lowest),
        at(values, highest),
        at(bounds, highest),
    )


def _converged(tolerance: float) -> Enough:
    """Whether the lowest Ritz value's residual is at most that share of its size."""

    def enough(matrix: Tensor, residual: Tensor) -> bool:
        if len(matrix) % N_BETWEEN:
            return False
        values, Q = torch.linalg.eigh(matrix.double())
        return bool(residual * Q[-1, 0].abs() <= tolerance * values[0].abs())

    return enough


def _unit(w: Tensor, scale: Tensor) -> Tensor:
    """The unit vector w / |w|, or zero where w is the rounding of a vector of norm `scale`."""
    norm = vector_norm(w)
    left = norm > 10 * torch.finfo(w.dtype).eps * scale
    return w * torch.where(left, 1 / torch.where(left, norm, 1.0), 0.0)


def _orthonormalised(space: Subspace) -> Subspace:
    """The same span and matrix in an orthonormal basis, by the eigenvectors of the Gram matrix."""
    V, M, residual = space
    sizes, U = torch.linalg.eigh((V @ V.mT).double())
    independent = sizes > len(V) * torch.finfo(V.dtype).eps * sizes[-1]
    # R (k, k): R^T V is orthonormal
    R = U * torch.where(
        independent, torch.where(independent, sizes, 1.0).rsqrt(), 0.0
    )
    return Subspace(
        R.to(V.dtype).mT @ V, (R.mT @ M.double() @ R).to(M.dtype), residual
    )
