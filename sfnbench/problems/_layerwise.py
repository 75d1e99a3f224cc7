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
product. For l = k only one of (i, m) and (m, i) is taken, and often one of (j, n) and (n, j).
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

# Numbers held at once for the largest product: more leave the cache, fewer are overhead. A GPU
# takes LARGE_BLOCK if its free memory has SPARE times as much: on an H200 a Hessian took 75 times
# as long in blocks of BLOCK.
BLOCK = 2**20
LARGE_BLOCK = 2**27
SPARE = 16
LEAST = 128  # examples at once: of fewer, adding up the sums costs more than the products
# pairs of units up to which x is scaled for each pair; the products of two inputs, which serve all
# pairs, are more work
FEW = 40


class Layer(NamedTuple):
    """An affine map."""

    weights: Tensor  # (n_out, n_in)
    biases: Tensor  # (n_out, 1)


class _Passed(NamedTuple):
    """What a forward pass leaves, by columns for the examples."""

    inputs: list[Tensor]  # a of each layer and of the next one
    slopes: list[Tensor]  # phi'(u) of each layer
    bends: list[Tensor]  # phi''(u)


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
    n = x.shape[1]
    sizes = [(len(layer.biases), layer.weights.shape[1] + 1) for layer in layers]
    largest = max(_n_factors(sizes))
    under_vmap = any(
        torch.func.debug_unwrap(t) is not t for t in (layers[0].weights, x, y)
    )
    most = BLOCK if under_vmap else _most_numbers(x)  # each seed has as many
    n_block = max(LEAST, most // largest)
    space = None if under_vmap else x.new_empty(largest * min(n, n_block))
    passed = _passed(layers[:-1], x, activation)
    sums: list[Tensor] = []
    for first in range(0, n, n_block):
        here = slice(first, first + n_block)
        part = _Passed(*([t[:, here] for t in kept] for kept in passed))
        factors = _factors(layers, part, y[:, here], criterion, space)
        for at, (A, B) in enumerate(factors):
            if not first:
                sums.append(A @ B.mT)
            elif under_vmap:  # which has no rule for the other
                sums[at].add_(A @ B.mT)
            else:
                sums[at].addmm_(A, B.mT)
    return _assembled([total.div_(n) for total in sums], sizes)


def _assembled(sums: list[Tensor], sizes: list[tuple[int, int]]) -> Tensor:
    """The Hessian (d, d) from the sums of `_factors`, in their order."""
    ends = list(itertools.accumulate(map(math.prod, sizes)))
    # made from a sum, so that it is as batched as they are under vmap
    H = sums[0].new_empty(ends[-1], ends[-1])
    following = iter(sums)
    for at, below in _pairs_of_layers(len(sizes)):
        rows, columns = (
            slice(ends[i] - math.prod(sizes[i]), ends[i]) for i in (at, below)
        )
        (r, k), (s, m) = sizes[at], sizes[below]
        own = H[rows, columns].view(r, k, s, m)
        moments = next(following)
        if at == below:
            _unfold(moments, own)
            continue
        if at == below + 1:
            moments = moments.view(r, s, k, m)
            # where j is m: (i, n, m)
            moments[:, :, :-1].diagonal(dim1=1, dim2=2).add_(
                next(following).view(r, s, m).mT
            )
            own.copy_(moments.transpose(1, 2))
        else:
            own.copy_(moments.view(own.shape))
        H[columns, rows] = H[rows, columns].mT
    return H


def _most_numbers(like: Tensor) -> int:
    """How many numbers the largest product may hold."""
    if not like.is_cuda:
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
        if at == below + 1:
            yield k * sizes[below][1]
        elif at > below:
            yield r * k * sizes[below][0]
        elif n_sums <= FEW:
            yield n_sums * k
        else:
            yield k * (k + 1) // 2


def _factors(
    layers: list[Layer],
    passed: _Passed,
    y: Tensor,
    criterion: str,
    space: Tensor | None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """A and B whose A B^T is a block's sum over n examples, for each of `_pairs_of_layers`.

    Two for neighbours, where the J of the last term is diagonal.

    The larger of a pair is written to `space`, where it stays until the next pair is asked for: new
    memory would cost as much time as the numbers.
    """
    inputs, slopes, bends = passed
    W, b = layers[-1]
    delta, M = _in_outputs(W @ inputs[-1][:-1] + b, y, criterion)
    yield _second_moments(M, inputs[-1], space)
    for at in reversed(range(1, len(layers))):
        W, slope = layers[at].weights, slopes[at - 1]
        MJ = before = (W.mT @ M) * slope  # M du/du_k (r, r_k, n)
        products = _times(inputs[at][:, None], inputs[at - 1], space)
        yield MJ.flatten(0, 1), products.flatten(0, 1)
        yield (delta[:, None] * slope).flatten(0, 1), inputs[at - 1]
        J = _eye(len(slope) + 1, len(slope), y) * slope  # da/du_k
        for k in reversed(range(at - 1)):
            MJ, J = ((layers[k + 1].weights.mT @ t) * slopes[k] for t in (MJ, J))
            yield _mixed_moments(MJ, inputs[at], delta, J, space), inputs[k]
        back = W.mT @ delta
        M = (W.mT @ before.transpose(0, 1)) * slope
        M = M + _eye(len(slope), len(slope), y) * (bends[at - 1] * back)
        delta = slope * back
        yield _second_moments(M, inputs[at - 1], space)


def _passed(
    layers: list[Layer], x: Tensor, activation: Callable[[Tensor], Tensor]
) -> _Passed:
    """A forward pass of all examples."""
    slope_at = _derivative(activation)
    bend_at = _derivative(slope_at)
    inputs, slopes, bends = [_with_one(x)], [], []
    for W, b in layers:
        u = W @ inputs[-1][:-1] + b
        inputs.append(_with_one(activation(u)))
        slopes.append(slope_at(u))
        bends.append(bend_at(u))
    return _Passed(inputs, slopes, bends)


def _eye(n: int, m: int, like: Tensor) -> Tensor:
    """The identity (n, m, 1), for each example."""
    return torch.eye(n, m, dtype=like.dtype, device=like.device)[..., None]


def _mixed_moments(
    MJ: Tensor, a: Tensor, delta: Tensor, J: Tensor, space: Tensor | None
) -> Tensor:
    """MJ_imn a_jn + delta_in J_jmn (i j m, n), to be summed with the inputs below."""
    factors = _times(MJ[:, None], a[:, None], space)
    into = None if space is None else factors
    return torch.addcmul(factors, delta[:, None, None], J, out=into).flatten(0, 2)


def _second_moments(
    M: Tensor, x: Tensor, space: Tensor | None
) -> tuple[Tensor, Tensor]:
    """The factors of the sums of M_ijn x_n x_n^T for all pairs i <= j.

    Of (pairs k, k), or of (pairs, pairs of inputs) if there are many.
    """
    i, j, _ = _pairs(M.shape[0], x.device)
    if len(i) <= FEW:
        return _times(M[i, j][:, None], x, space).flatten(0, 1), x
    k, n = x.shape
    if space is None:
        return M[i, j], torch.cat([x[at] * x[at:] for at in range(k)])
    squares = _part(space, (k * (k + 1) // 2, n))
    for at, own in enumerate(squares.split(list(range(k, 0, -1)))):
        torch.mul(x[at], x[at:], out=own)
    return M[i, j], squares


def _times(a: Tensor, b: Tensor, space: Tensor | None) -> Tensor:
    """Each of a times b, element by element: in `space`, if there is some, one after the other."""
    if space is None:
        return a * b
    products = _part(space, (len(a), *torch.broadcast_shapes(a.shape[1:], b.shape)))
    for own, each in zip(products, a, strict=True):
        torch.mul(each, b, out=own)
    return products


def _part(space: Tensor, shape: tuple[int, ...]) -> Tensor:
    """So much of it as has this shape."""
    return space[: math.prod(shape)].view(shape)


def _unfold(moments: Tensor, own: Tensor) -> None:
    """Write the sum of M (x) x x^T into its place (r, k, r, k), from that of `_second_moments`.

    Unit by unit, so that what is on its way stays in the cache.
    """
    r, k = own.shape[:2]
    is_whole = len(moments) > r * (r + 1) // 2
    inputs = _pairs(k, moments.device)[2]
    of_units = moments.split([k * n if is_whole else n for n in range(r, 0, -1)])
    for i, of_unit in enumerate(of_units):
        found = of_unit.unflatten(0, (-1, k)) if is_whole else of_unit[:, inputs]
        own[i, :, i:] = found.transpose(0, 1)
        own[i + 1 :, :, i] = found[1:]


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
