"""The exact Hessian of a multilayer perceptron, summed over examples block by block.

Layers l = 1..L map a_{l-1} to u_l = W_l a_{l-1} + b_l, and a_l = phi(u_l) below the last, whose
outputs are u_L. Write D_l for diag(phi'(u_l)), a with a 1 appended wherever it meets weights,
delta_l and M_l for the gradient and Hessian of an example's loss in u_l with the layers above held
fixed. Backwards from delta_L = e, M_L = S, those of the criterion,

    delta_l = D_l W_{l+1}^T delta_{l+1}
    M_l     = D_l W_{l+1}^T M_{l+1} W_{l+1} D_l + diag(phi''(u_l) * W_{l+1}^T delta_{l+1}).

With the Jacobians du_l/du_k = W_l D_{l-1} W_{l-1} ... W_{k+1} D_k, k < l, one example contributes
to the Hessian

    in W_l[i, j], W_l[m, n]:    M_l[i, m] a_{l-1}[j] a_{l-1}[n]
    in W_l[i, j], W_k[m, n]:  ((M_l du_l/du_k)[i, m] a_{l-1}[j]
                                + delta_l[i] (da_{l-1}/du_k)[j, m]) a_{k-1}[n],

the last term as W_l also multiplies what W_k changed. Each block's sum over examples is one matrix
product, half of it or a quarter for l = k, which is symmetric in (i, m) and in (j, n).
Gauss-Newton's part of M is in Botev et al. 2017, Practical Gauss-Newton optimisation for deep
learning, equation 8; the whole in Bishop 1992, Exact calculation of the Hessian matrix for the
multilayer perceptron.
"""

import itertools
import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

# numbers held at once for the largest product: more leave the cache, fewer are overhead ...
BLOCK = 2**20
# ... on a GPU more, where its memory has this many times as much: 75 times faster on an H200
LARGE_BLOCK = 2**27
SPARE = 16
LEAST = 128  # ... and with fewer examples at once, adding up the sums costs more than the products
# sums of x x^T up to which it is faster to scale x for each of them than to take the products of
# two inputs once for all
FEW = 40


class Layer(NamedTuple):
    """An affine map."""

    weights: Tensor  # (n_out, n_in)
    biases: Tensor  # (n_out, 1)


def hessian_by_layers(
    layers: list[Layer],
    x: Tensor,
    y: Tensor,
    activation: Callable[[Tensor], Tensor],
    criterion: str,
) -> Tensor:
    """The Hessian (d, d) of the mean criterion, for x (n_in, n) and one-hot y (n_classes, n).

    theta holds the layers in order, each as a matrix by rows whose last column are the biases.
    """
    n, sizes = (
        x.shape[1],
        [(len(layer.biases), layer.weights.shape[1] + 1) for layer in layers],
    )
    n_block = max(LEAST, _most_numbers(layers[0].weights) // max(_n_factors(sizes)))
    sums: list[Tensor] = []
    for first in range(0, n, n_block):
        here = slice(first, first + n_block)
        part = _block(layers, x[:, here], y[:, here], activation, criterion)
        sums = list(map(Tensor.add_, sums, part)) if sums else part
    ends = list(itertools.accumulate(map(math.prod, sizes)))
    # made from a sum, so that it is as batched as they are under vmap
    H = sums[0].new_empty(ends[-1], ends[-1])
    for total, (at, below) in zip(sums, _pairs_of_layers(len(layers)), strict=True):
        rows, columns = (
            slice(ends[i] - math.prod(sizes[i]), ends[i]) for i in (at, below)
        )
        if at == below:
            _unfold(total.div_(n), H[rows, rows].view(*sizes[at], *sizes[at]))
        else:
            H[rows, columns] = total.div_(n).reshape(math.prod(sizes[at]), -1)
            H[columns, rows] = H[rows, columns].mT
    return H


def _most_numbers(like: Tensor) -> int:
    """How many numbers the largest product may hold."""
    under_vmap = torch.func.debug_unwrap(like) is not like  # each seed has as many
    if under_vmap or not like.is_cuda:
        return BLOCK
    free = torch.cuda.mem_get_info(like.device)[0]
    return max(BLOCK, min(LARGE_BLOCK, free // (SPARE * like.element_size())))


def _pairs_of_layers(n_layers: int) -> list[tuple[int, int]]:
    """Each layer with itself and those before it, backwards."""
    return [
        (at, below)
        for at in reversed(range(n_layers))
        for below in reversed(range(at + 1))
    ]


def _n_factors(sizes: list[tuple[int, int]]) -> Iterator[int]:
    """How many numbers an example brings to each of the matrix products."""
    for at, below in _pairs_of_layers(len(sizes)):
        r, k = sizes[at]
        n_sums = r * (r + 1) // 2
        if at > below:
            yield r * k * sizes[below][0]
        elif n_sums <= FEW:
            yield n_sums * k
        else:
            yield k * (k + 1) // 2


def _block(
    layers: list[Layer],
    x: Tensor,
    y: Tensor,
    activation: Callable[[Tensor], Tensor],
    criterion: str,
) -> list[Tensor]:
    """The sums over a block of examples, for each of `_pairs_of_layers`."""
    inputs, slopes, bends = _forward(layers[:-1], x, activation)
    W, b = layers[-1]
    delta, M = _in_outputs(W @ inputs[-1][:-1] + b, y, criterion)
    sums = [_second_moments(M, inputs[-1])]
    for at in reversed(range(1, len(layers))):
        W, slope = layers[at].weights, slopes[at - 1]
        MJ = before = (W.mT @ M) * slope  # M du/du_k (r, r_k, n)
        sums.append(_moments_beside(MJ, inputs[at], delta, slope, inputs[at - 1]))
        J = _eye(len(slope) + 1, len(slope), x) * slope  # da/du_k
        for k in reversed(range(at - 1)):
            MJ, J = ((layers[k + 1].weights.mT @ t) * slopes[k] for t in (MJ, J))
            sums.append(_mixed_moments(MJ, inputs[at], delta, J, inputs[k]))
        back = W.mT @ delta
        M = (W.mT @ before.transpose(0, 1)) * slope
        M = M + _eye(len(slope), len(slope), x) * (bends[at - 1] * back)
        delta = slope * back
        sums.append(_second_moments(M, inputs[at - 1]))
    return sums


def _forward(
    layers: list[Layer], x: Tensor, activation: Callable[[Tensor], Tensor]
) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """The inputs a of each layer and of the next one, then phi'(u) and phi''(u) of each layer."""
    slope_at = _derivative(activation)
    bend_at = _derivative(slope_at)
    inputs, slopes, bends = [_with_one(x)], [], []
    for W, b in layers:
        u = W @ inputs[-1][:-1] + b
        inputs.append(_with_one(activation(u)))
        slopes.append(slope_at(u))
        bends.append(bend_at(u))
    return inputs, slopes, bends


def _eye(n: int, m: int, like: Tensor) -> Tensor:
    """The identity (n, m, 1), for each example."""
    return torch.eye(n, m, dtype=like.dtype, device=like.device)[..., None]


def _mixed_moments(
    MJ: Tensor, a: Tensor, delta: Tensor, J: Tensor, x: Tensor
) -> Tensor:
    """The sums over n of (MJ_imn a_jn + delta_in J_jmn) x_n: (i j m, k)."""
    factors = torch.addcmul(MJ[:, None] * a[:, None], delta[:, None, None], J)
    return factors.flatten(0, 2) @ x.mT


def _moments_beside(
    MJ: Tensor, a: Tensor, delta: Tensor, slope: Tensor, x: Tensor
) -> Tensor:
    """The same of a layer and the one below it, whose J = da/du is the diagonal of `slope`."""
    factors = MJ[:, None] * a[:, None]
    # where_j_is_m: (i, m, n)
    where_j_is_m = factors[:, :-1].diagonal(dim1=1, dim2=2).movedim(-1, 1)
    # not in place, which has no batching rule
    where_j_is_m.copy_(torch.addcmul(where_j_is_m, delta[:, None], slope))
    return factors.flatten(0, 2) @ x.mT


def _second_moments(M: Tensor, x: Tensor) -> Tensor:
    """Sums over n of M_ijn x_n x_n^T for all pairs i <= j.

    (pairs, k, k), or only its pairs if there are many of them.
    """
    i, j, _ = _pairs(M.shape[0], x.device)
    if len(i) <= FEW:
        return ((M[i, j][:, None] * x).flatten(0, 1) @ x.mT).unflatten(
            0, (len(i), -1)
        )
    first, second, _ = _pairs(x.shape[0], x.device)
    return M[i, j] @ (x[first] * x[second]).mT


def _unfold(moments: Tensor, own: Tensor) -> None:
    """Write the sum of M (x) x x^T into its place (r, k, r, k), from `_second_moments`.

    Unit by unit, so that what is on its way stays in the cache.
    """
    r, k = own.shape[:2]
    if moments.dim() == 2:
        moments = moments[:, _pairs(k, moments.device)[2]]
    for at, places in zip(own, _pairs(r, moments.device)[2], strict=True):
        at.copy_(moments[places].transpose(0, 1))


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
