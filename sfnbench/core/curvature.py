"""A loss to second order at one point: value, gradient, and products with a curvature matrix.

The loss is linearised once, and each product reuses the graph of the first pass, so that a Krylov
subspace is affordable. On a network of d parameters a gradient is three passes (forward, and two of
a forward's size back); a product with any of the matrices below is about four more.

    hessian       H v
    gauss_newton  G v = J^T (d2 l / dz dz) J v
    fisher        F v = mean_b g_b (g_b . v),   g_b = J_b^T dl_b/dz

z are the network's outputs, J = dz/dtheta, l is the criterion, and b an example of the data with
its label. G is the Hessian without the curvature of the network itself, and positive semidefinite
where the criterion is convex. For the criteria here, cross-entropies and squared errors in the
outputs' natural parameters, G is also the Fisher information matrix under the model's own labels
(Martens 2020, "New insights and perspectives on the natural gradient method", section 9.2).
`fisher` is therefore the other matrix of that name, the "empirical" one, made of the gradients at
the data's labels (ibid., section 11). The two differ away from a perfect fit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

from torch import Tensor

CurvatureKind = Literal["hessian", "gauss_newton", "fisher"]


class Linearisation(NamedTuple):
    """Loss (), gradient (d,), and the product (d,) -> (d,) with the curvature matrix."""

    loss: Tensor
    grad: Tensor
    product: Callable[[Tensor], Tensor]


def with_decay(fit: Linearisation, theta: Tensor, decay: float) -> Linearisation:
    """The sum of `fit` and 1/2 decay |theta|^2."""
    if not decay:
        return fit
    loss = fit.loss + decay / 2 * (theta @ theta)
    grad = fit.grad + decay * theta
    return Linearisation(loss, grad, lambda v: fit.product(v) + decay * v)
