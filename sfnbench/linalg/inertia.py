"""How many eigenvalues lie below a value, without computing one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dsytrf, dsytrf_lwork


def count_below(H: NDArray[np.float64], value: float = 0.0) -> int:
    """The number of eigenvalues of a symmetric H (n, n) below `value`: below 0, the index.

    By Sylvester's law of inertia: H - value I = L D L^T, factored with the pivots of Bunch and
    Kaufman, has as many negative eigenvalues as D, whose blocks are 1x1 or 2x2. n^3 / 3 flop
    against 4/3 n^3 at half the speed for all eigenvalues; only the lower triangle is read. Right
    but for eigenvalues within rounding, some 1e-15 n |H|, of the value. ValueError where H is not
    square or not finite.

    >>> count_below(np.diag([-2.0, -1e-9, 3.0])), count_below(np.diag([-2.0, -1e-9, 3.0]), -1e-6)
    (2, 1)
    """
    if H.ndim != 2 or H.shape[0] != H.shape[1]:
        raise ValueError(f"a Hessian is square, not of shape {H.shape}")
    if not np.isfinite(H).all():
        raise ValueError("the Hessian is not finite")
    shifted = np.array(H, dtype=np.float64, order="F")
    shifted.flat[:: len(H) + 1] -= value
    n = len(H)
    D, pivots, _ = dsytrf(
        shifted, lower=1, lwork=int(dsytrf_lwork(n, lower=1)[0]), overwrite_a=1
    )
    # A 2x2 block is marked by two equal negative pivots; its determinant is negative by choice of
    # the pivots, so it has one eigenvalue of each sign.
    in_pair = pivots < 0
    return int((np.diag(D)[~in_pair] < 0).sum() + in_pair.sum() // 2)
