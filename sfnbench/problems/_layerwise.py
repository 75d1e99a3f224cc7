"""The exact Hessian of a classifier with at most one hidden layer, summed over examples block by block.

For outputs z = V a + c of hidden units a = phi(u), u = W x + b, write x and a with a 1 appended, e and S for the gradient
and Hessian of the criterion in z. One example contributes

    d2/dV dV:  S (x) a a^T
    d2/dW dW:  M (x) x x^T,                        M = diag(phi') V^T S V diag(phi') + diag(phi'' V^T e)
    d2/dV dW:  (S V diag(phi')) (x) a x^T  +  the terms e_c phi'_i x, where weight c, i of V meets the weights of unit i.

Each sum over examples is one matrix product against the products of two inputs, which no unit has of its own.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

BLOCK = 2**22  # numbers held at once for the products of two inputs


class Layer(NamedTuple):
    """An affine map."""

    weights: Tensor  # (n_out, n_in)
    biases: Tensor  # (n_out, 1)


def has_closed_form(n_hidden: int) -> bool:
    """Whether a network with so many hidden layers is covered here."""
    return n_hidden <= 1


def hessian_by_layers(
    layers: list[Layer], x: Tensor, y: Tensor, activation: Callable[[Tensor], Tensor], criterion: str
) -> Tensor:
    """The Hessian (d, d) of the mean criterion over examples x (n_inputs, n) with one-hot labels y (n_classes, n)."""
    n_inputs, n = x.shape
    block = max(1, BLOCK // (n_inputs * n_inputs))
    total: Tensor | None = None
    for first in range(0, n, block):
        here = slice(first, first + block)
        part = _summed(layers, x[:, here], y[:, here], activation, criterion)
        total = part if total is None else total + part
    assert total is not None
    return total / n


def _summed(
    layers: list[Layer], x: Tensor, y: Tensor, activation: Callable[[Tensor], Tensor], criterion: str
) -> Tensor:
    """The Hessian of the sum over these examples."""
    *hidden, (V, c) = layers
    if not hidden:
        return _kronecker_sum(_in_outputs(V @ x + c, y, criterion)[1], _with_one(x))
    ((W, b),) = hidden
    u = W @ x + b
    slope = _derivative(activation)
    e, S = _in_outputs(V @ activation(u) + c, y, criterion)
    return _one_hidden(V, _with_one(x), _with_one(activation(u)), slope(u), _derivative(slope)(u), e, S)


def _one_hidden(V: Tensor, x: Tensor, a: Tensor, slope: Tensor, bend: Tensor, e: Tensor, S: Tensor) -> Tensor:
    o, h, k = *V.shape, x.shape[0]
    SJ = torch.einsum("cdn,di->cin", S, V) * slope  # (o, h, n)
    M = torch.einsum("ci,cjn->ijn", V, SJ) * slope[:, None]  # (h, h, n)
    M = M + torch.eye(h, dtype=V.dtype, device=V.device)[..., None] * (bend * (V.mT @ e))
    products = (a[:, None] * x).flatten(0, 1)  # ((h + 1) k, n)
    mixed = (SJ.flatten(0, 1) @ products.mT).view(o, h, h + 1, k).transpose(1, 2)  # (o, h + 1, h, k)
    own = ((e[:, None] * slope).flatten(0, 1) @ x.mT).view(o, 1, h, k)
    mixed = mixed + torch.eye(h + 1, h, dtype=V.dtype, device=V.device)[..., None] * own
    mixed = mixed.reshape(o * (h + 1), h * k)
    upper = torch.cat([_kronecker_sum(M, x), mixed.mT], 1)
    lower = torch.cat([mixed, _kronecker_sum(S, a)], 1)
    return torch.cat([upper, lower])


def _kronecker_sum(M: Tensor, x: Tensor) -> Tensor:
    """Sum over n of M[:, :, n] (x) x_n x_n^T, (r k, r k), for symmetric M (r, r, n) and x (k, n): each half is taken once."""
    r, k = M.shape[0], x.shape[0]
    rows, columns, place_M = _pairs(r, x.device)
    firsts, seconds, place_x = _pairs(k, x.device)
    sums = M[rows, columns] @ (x[firsts] * x[seconds]).mT  # (r (r + 1) / 2, k (k + 1) / 2)
    return sums[place_M[:, None, :, None], place_x[None, :, None, :]].reshape(r * k, r * k)


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
