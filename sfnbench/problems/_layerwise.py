"""The exact Hessian of a classifier with at most one hidden layer, summed over examples block by block.

For outputs z = V a + c of hidden units a = phi(u), u = W x + b, write x and a with a 1 appended, e and S for the gradient
and Hessian of the criterion in z. One example contributes

    d2/dW dW:  M (x) x x^T,                     M = diag(phi') V^T S V diag(phi') + diag(phi'' V^T e)
    d2/dV dV:  S (x) a a^T
    d2/dV dW:  (S V diag(phi')) (x) a x^T, and e_c phi'_i x where weight c, i of V meets the weights of unit i.

Each sum over examples is one matrix product, half of it for the symmetric ones.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

BLOCK = 2**21  # numbers held at once for the largest product: more leaves the cache, fewer is overhead
FEW = 40  # sums of x x^T up to which scaling x for each of them beats taking the products of two inputs once for all


class Layer(NamedTuple):
    """An affine map."""

    weights: Tensor  # (n_out, n_in)
    biases: Tensor  # (n_out, 1)


def hessian_by_layers(
    layers: list[Layer], x: Tensor, y: Tensor, activation: Callable[[Tensor], Tensor], criterion: str
) -> Tensor:
    """The Hessian (d, d) of the mean criterion over examples x (n_in, n) with one-hot labels y (n_classes, n).

    theta holds the layers in order, each as a matrix by rows whose last column are the biases. At most one hidden layer.
    """
    (n_in, n), r = x.shape, len(layers[0].biases)
    n_sums = r * (r + 1) // 2
    n_block = max(64, BLOCK // (n_in * (n_sums if n_sums <= FEW else n_in)))
    sums: tuple[Tensor, ...] = ()
    for first in range(0, n, n_block):
        here = slice(first, first + n_block)
        part = _block(layers, x[:, here], y[:, here], activation, criterion)
        sums = tuple(map(torch.add, sums, part)) if sums else part
    o, k = y.shape[0], n_in + 1
    if len(layers) == 1:
        return _assembled(sums[0], o, k) / n
    h = r
    inner, outer, mixed, own = sums
    own = torch.eye(h + 1, h, dtype=x.dtype, device=x.device)[..., None] * own.view(o, 1, h, k)
    mixed = (mixed.view(o, h, h + 1, k).transpose(1, 2) + own).reshape(o * (h + 1), h * k)
    upper = torch.cat([_assembled(inner, h, k), mixed.mT], 1)
    lower = torch.cat([mixed, _assembled(outer, o, h + 1)], 1)
    return torch.cat([upper, lower]) / n


def _block(
    layers: list[Layer], x: Tensor, y: Tensor, activation: Callable[[Tensor], Tensor], criterion: str
) -> tuple[Tensor, ...]:
    """The sums over a block of examples: S (x) x x^T, or with a hidden layer the four of the equations above."""
    *hidden, (V, c) = layers
    if not hidden:
        return (_second_moments(_in_outputs(V @ x + c, y, criterion)[1], _with_one(x)),)
    ((W, b),) = hidden
    u = W @ x + b
    slope = _derivative(activation)
    phi, phi_1, phi_2 = activation(u), slope(u), _derivative(slope)(u)  # (h, n)
    e, S = _in_outputs(V @ phi + c, y, criterion)
    a, x = _with_one(phi), _with_one(x)
    SJ = torch.einsum("cdn,di->cin", S, V) * phi_1  # (o, h, n)
    M = torch.einsum("ci,cjn->ijn", V, SJ) * phi_1[:, None]  # (h, h, n)
    M = M + torch.eye(len(u), dtype=u.dtype, device=u.device)[..., None] * (phi_2 * (V.mT @ e))
    mixed = SJ.flatten(0, 1) @ (a[:, None] * x).flatten(0, 1).mT  # (o h, (h + 1) k)
    own = (e[:, None] * phi_1).flatten(0, 1) @ x.mT  # (o h, k)
    return _second_moments(M, x), _second_moments(S, a), mixed, own


def _second_moments(M: Tensor, x: Tensor) -> Tensor:
    """Sums over n of M_ijn x_n x_n^T for all pairs i <= j: (pairs, k, k), or only its pairs if there are many of them."""
    i, j, _ = _pairs(M.shape[0], x.device)
    if len(i) <= FEW:
        return ((M[i, j][:, None] * x).flatten(0, 1) @ x.mT).unflatten(0, (len(i), -1))
    first, second, _ = _pairs(x.shape[0], x.device)
    return M[i, j] @ (x[first] * x[second]).mT


def _assembled(moments: Tensor, r: int, k: int) -> Tensor:
    """The sum of M (x) x x^T, (r k, r k), from what `_second_moments` gave."""
    if moments.dim() == 2:
        moments = moments[:, _pairs(k, moments.device)[2]]
    return moments[_pairs(r, moments.device)[2]].transpose(1, 2).reshape(r * k, r * k)


def _pairs(n: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """The pairs i <= j below n, as (i, j), and each pair's place (n, n), in either order."""
    i, j = torch.triu_indices(n, n, device=device).unbind()
    place = torch.empty(n, n, dtype=torch.long, device=device)
    place[i, j] = place[j, i] = torch.arange(len(i), device=device)
    return i, j, place


def _in_outputs(z: Tensor, y: Tensor, criterion: str) -> tuple[Tensor, Tensor]:
    """Gradient e (o, n) and Hessian S (o, o, n) of the criterion in the outputs z (o, n)."""
    identity = torch.eye(z.shape[0], dtype=z.dtype, device=z.device)[..., None]
    if criterion == "squared_error":
        return z - y, identity.expand(*z.shape[:1], *z.shape)
    p = z.softmax(0)
    return p - y, identity * p - p[:, None] * p


def _derivative(f: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """The derivative of a function that acts on each element alone."""
    return torch.func.grad(lambda u: f(u).sum())


def _with_one(x: Tensor) -> Tensor:
    return functional.pad(x, (0, 0, 0, 1), value=1.0)
