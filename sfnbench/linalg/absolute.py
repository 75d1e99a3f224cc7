"""|H|^-1 g: functions of a dense symmetric matrix, applied to a vector for several dampings.

They need the map into H's eigenbasis, not the eigenvectors themselves. On a CPU H = Q T Q^T
is made tridiagonal (LAPACK's sytrd, 4/3 n^3 flop), T = Z diag(eigenvalues) Z^T diagonalised by
divide and conquer (stevd), and a vector goes through Q as reflections and through Z as a matrix, 4
n^2 flop each. That saves the product Q Z of a full eigendecomposition, 2 n^3 flop. Newton's
directions need no Z: T + damping I is solved for each damping in O(n).
Reference: Golub, Van Loan 2013, Matrix Computations, sections 8.3 and 8.4.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import scipy.linalg
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.linalg import LinAlgError  # type: ignore[attr-defined]  # there, but not in the stubs

# the size of a matrix from which the tridiagonal way is faster; below, its calls cost more
LARGE = 160
# numbers that LAPACK's ormqr wants to turn one vector in blocks of 64 reflections
WORKSPACE = 64 * 66


class Eigenbasis(NamedTuple):
    """An orthonormal basis of eigenvectors, by what it does to vectors (n,)."""

    eigenvalues: Tensor  # (n,)
    coordinates: Callable[[Tensor], Tensor]  # of a vector in the basis
    vector: Callable[[Tensor], Tensor]  # with these coordinates


def directions(
    g: Tensor, H: Tensor, spectrum: Callable[[Tensor], Tensor]
) -> Callable[[float | Tensor], Tensor]:
    """The map damping -> -(s(H) + damping I)^-1 g (n,), s acting on eigenvalues.

    One eigenbasis serves all dampings.

    Directions in which s(H) + damping I vanishes to rounding are left out (a pseudo-inverse), for g
    has no say there. g is (n,) and H (n, n), symmetric. Raises torch's LinAlgError where H is not
    finite, as its `eigh` may.
    """
    return directions_in(_eigenbasis(H, g), g, spectrum)


def newton_directions(
    g: Tensor, H: Tensor, dampings: Sequence[float]
) -> list[Tensor]:
    """-(H + damping I)^-1 g (n,) for each damping, g (n,) and a symmetric H (n, n).

    On a CPU and for large n, one damping goes by L D L^T with the pivots of Bunch and Kaufman,
    n^3 / 3 flop, and several by one tridiagonal form, 4/3 n^3. A matrix that is singular to
    rounding goes through its eigenbasis, as do small ones, as in `directions`. Raises LinAlgError
    where that does. Reference: Golub, Van Loan 2013, Matrix Computations, section 4.4.
    """
    if not _goes_to_lapack(H, g):
        return _through(_eigenbasis(H, g), g, dampings)
    if len(dampings) == 1:
        found = _solved(H, g, dampings[0])
        return _through(eigenbasis(H), g, dampings) if found is None else [-found]
    form = _tridiagonal(H)
    in_form = form.turned(g, "T")
    steps = []
    for damping in dampings:
        solved = _solved_in(form, in_form, damping)
        if solved is None:
            return _through(_diagonalised(form), g, dampings)
        steps.append(-form.turned(solved, "N"))
    return steps


def _through(
    basis: Eigenbasis, g: Tensor, dampings: Sequence[float]
) -> list[Tensor]:
    direction = directions_in(basis, g, lambda eigenvalues: eigenvalues)
    return [direction(damping) for damping in dampings]


def directions_in(
    basis: Eigenbasis, g: Tensor, spectrum: Callable[[Tensor], Tensor]
) -> Callable[[float | Tensor], Tensor]:
    """The same in a given eigenbasis, for a g (n,) of the matrix's precision."""
    curvature, in_basis = spectrum(basis.eigenvalues), basis.coordinates(g)
    floor = torch.finfo(g.dtype).eps * basis.eigenvalues.abs().amax(-1)

    def direction(damping: float | Tensor) -> Tensor:
        damped = curvature + damping
        solvable = damped.abs() > floor
        scaled = torch.where(
            solvable, in_basis / torch.where(solvable, damped, 1.0), 0.0
        )
        return -basis.vector(scaled)

    return direction


def eigenbasis(H: Tensor) -> Eigenbasis:
    """The eigenbasis of a symmetric H (n, n).

    torch computes it on a GPU, inside a transform and for small n, else scipy does.
    """
    return _eigenbasis(H)


def _eigenbasis(H: Tensor, *vectors: Tensor) -> Eigenbasis:
    """That of H (n, n), for these vectors to go through."""
    if _goes_to_lapack(H, *vectors):
        return _diagonalised(_tridiagonal(H))
    eigenvalues, Q = torch.linalg.eigh(H)
    return Eigenbasis(eigenvalues, lambda v: Q.mT @ v, lambda c: Q @ c)


def _goes_to_lapack(H: Tensor, *vectors: Tensor) -> bool:
    """Whether scipy's LAPACK can take them: a large matrix on a CPU, all outside transforms."""
    if H.device.type != "cpu" or H.shape[-1] < LARGE:
        return False
    return not any(
        t.requires_grad or torch.func.debug_unwrap(t) is not t
        for t in (H, *vectors)
    )


def _solved(H: Tensor, g: Tensor, damping: float) -> Tensor | None:
    """(H + damping I)^-1 g (n,); None where the matrix is singular to rounding."""
    n = H.shape[-1]
    matrix = H.mT.clone(memory_format=torch.contiguous_format)
    matrix.diagonal().add_(damping)
    largest = float(torch.linalg.vector_norm(matrix, 1, dim=0).amax())
    if not math.isfinite(largest):
        raise LinAlgError("the matrix has entries that are not finite")
    columns_first = matrix.numpy().T
    names = ("sytrf", "sytrf_lwork", "sycon", "sytrs")
    sytrf, lwork, sycon, sytrs = scipy.linalg.get_lapack_funcs(
        names, (columns_first,)
    )  # type: ignore[misc]  # a list of four
    size = int(lwork(n, lower=1)[0])
    D, pivots, info = sytrf(columns_first, lower=1, lwork=size, overwrite_a=1)
    if info:
        return None
    inverse_condition, _ = sycon(D, pivots, largest, lower=1)
    if inverse_condition <= n * torch.finfo(H.dtype).eps:
        return None
    found, _ = sytrs(D, pivots, g.numpy(), lower=1)
    return torch.from_numpy(found)


class _Tridiagonal(NamedTuple):
    """T of H = scale Q T Q^T, and Q by what it does to vectors (n,)."""

    diagonal: NDArray[np.floating]  # (n,)
    beside: NDArray[np.floating]  # (n - 1,)
    scale: float
    turned: Callable[[Tensor, str], Tensor]  # Q v by "N", Q^T v by "T"


def _tridiagonal(H: Tensor) -> _Tridiagonal:
    largest = H.abs().amax().item()
    if not math.isfinite(largest):
        raise LinAlgError("the matrix has entries that are not finite")
    # A power of two, as LAPACK's own drivers scale: exact, and neither large nor small entries
    # leave the range of floats.
    scale = math.ldexp(1.0, math.frexp(largest)[1] - 1) if largest else 1.0
    # a fresh copy, columns first as LAPACK has them
    matrix = (H / scale).mT.numpy()
    names = ("sytrd", "sytrd_lwork", "ormqr")
    sytrd, lwork, ormqr = scipy.linalg.get_lapack_funcs(names, (matrix,))  # type: ignore[misc]  # a list of three
    n = len(matrix)
    reflectors, diagonal, beside, tau, _ = sytrd(
        matrix, lower=1, lwork=int(lwork(n, lower=1)[0]), overwrite_a=1
    )
    # the reflectors leave the first coordinate as it is
    reflectors = np.asfortranarray(reflectors[1:, :-1])

    def turned(v: Tensor, trans: str) -> Tensor:
        below = v[1:, None].numpy()
        below = ormqr("L", trans, reflectors, tau, below, lwork=WORKSPACE)[0]
        return torch.cat([v[:1], torch.from_numpy(below[:, 0])])

    return _Tridiagonal(diagonal, beside, scale, turned)


def _diagonalised(form: _Tridiagonal) -> Eigenbasis:
    (stevd,) = scipy.linalg.get_lapack_funcs(("stevd",), (form.diagonal,))  # type: ignore[misc]  # a list of one
    eigenvalues, Z, info = stevd(form.diagonal, form.beside)
    if info:
        raise LinAlgError(
            f"the tridiagonal eigenvalues of the matrix did not converge (LAPACK's stevd: {info})"
        )
    basis = torch.from_numpy(Z)
    return Eigenbasis(
        torch.from_numpy(eigenvalues) * form.scale,
        lambda v: basis.mT @ form.turned(v, "T"),
        lambda c: form.turned(basis @ c, "N"),
    )


def _solved_in(form: _Tridiagonal, v: Tensor, damping: float) -> Tensor | None:
    """(scale T + damping I)^-1 v (n,); None where the matrix is singular to rounding."""
    diagonal = form.diagonal + damping / form.scale
    (gtsvx,) = scipy.linalg.get_lapack_funcs(("gtsvx",), (diagonal,))  # type: ignore[misc]  # a list of one
    right = v[:, None].numpy()
    *_, found, inverse_condition, _, _, info = gtsvx(
        form.beside, diagonal, form.beside, right
    )
    if info or inverse_condition <= len(v) * torch.finfo(v.dtype).eps:
        return None
    return torch.from_numpy(found[:, 0]) / form.scale
