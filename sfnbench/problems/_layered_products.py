"""A network of sigmoid and linear layers to second order: products with its curvature matrices.

Layers l = 1..L map a_{l-1}, examples by rows, to u_l = a_{l-1} W_l^T + b_l and a_l = phi_l(u_l), up
to the outputs z = u_L. Let delta_l be the loss's gradient in u_l and t_l = delta_{l+1} W_{l+1} that
in a_l. R{f} is the derivative of f along v, whose share of W_l, b_l is V_l, c_l. Forwards from
R{a_0} = 0, and back from R{delta_L} = d2l/dz2 R{z},

    R{u_l} = a_{l-1} V_l^T + R{a_{l-1}} W_l^T + c_l         R{a_l} = phi_l' R{u_l}
    R{t_l} = R{delta_{l+1}} W_{l+1} + delta_{l+1} V_{l+1}
    R{delta_l} = phi_l' R{t_l} + phi_l'' t_l R{u_l}
    (H v) in W_l = R{delta_l}^T a_{l-1} + delta_l^T R{a_{l-1}},
             in b_l the sum of R{delta_l} over examples.

Without the second term of each line back it is Gauss-Newton's product; with the gradient's e_b (e_b
. R{z_b}) in place of R{delta_L} besides, the Fisher's. Reference: Pearlmutter 1994, Fast exact
multiplication by the Hessian.

Differentiating twice asks for the same matrix products, but takes each of a sum by itself, adds
them up, and puts the layers together in the end. Here a sum is one matrix product, of [R{delta};
delta] and [a; R{a}], or grows in place where it belongs in H v: on the paper's autoencoder 1.6
gradients instead of 1.83 (`benchmarks/test_curvature.py`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

import torch
from torch import Tensor

from ..core.cuda_graph import recorded
from ..core.curvature import CurvatureKind, Linearisation

Layers = list[tuple[Tensor, Tensor]]  # weights (n_out, n_in) and biases (n_out,)
# numbers, or a multiple, from one tensor to the next for a GPU's matrix units
ALIGNED = 32


class Criterion(NamedTuple):
    """The mean loss over n examples, and its first two derivatives in each output."""

    loss: Tensor  # ()
    slope: Tensor  # (n, n_out)
    bend: Tensor  # (n, n_out); outputs do not mix


@dataclass
class _Layer:
    """The values of one layer that products need, for n examples."""

    weights: Tensor  # (n_out, n_in)
    # [a; R; delta] (3 n, n_in) of the layer below, R being R{a} on the way up, then R{delta}; or x
    # (n, n_in)
    below: Tensor
    slope: Tensor | None = None  # (n, n_in) phi' there; None if it is linear
    # (n, n_in) t phi'' / phi', which times R{a} is t phi'' R{u}
    twist: Tensor | None = None


def linearised_layers(
    split: Callable[[Tensor], Layers],
    theta: Tensor,
    x: Tensor,
    sigmoid: Sequence[bool],
    criterion: Callable[[Tensor], Criterion],
    kind: CurvatureKind,
) -> Linearisation:
    """The loss to second order at theta (d,), for inputs x (n, n_in).

    `sigmoid` says which hidden layers are not linear.

    `split` gives views of a theta's layers. Products write in place: not for use inside
    torch.func's transforms.
    """
    n = len(x)
    with torch.no_grad():
        weights = _copied(split(theta), _room(split(theta)))
        below, z = _outputs(weights, x, sigmoid)
        loss, slope, bend = criterion(z)
        top = torch.cat([slope, slope])  # [R{delta}; delta] of the outputs
        grad = torch.empty_like(theta)
        layers = _gradient(weights, below, top[n:], sigmoid, split(grad))
        del slope, z
        along, into = (_room(split(theta)) for _ in range(2))

    def product(v: Tensor) -> Tensor:
        with torch.no_grad():
            V, found = _copied(split(v), along), torch.empty_like(v)
            Rz = _along(layers, V, n)
            torch.mul(*_bent(bend, Rz, top[n:], kind), out=top[:n])
            result = into or split(found)
            _back(layers, V, top, n, result, exact=kind == "hessian")
            if into:
                _copied(into, split(found))
        return found

    return Linearisation(loss, grad, recorded(product, theta, 10 * n * len(theta)))


def _bent(
    bend: Tensor, Rz: Tensor, delta: Tensor, kind: CurvatureKind
) -> tuple[Tensor, Tensor]:
    """Two factors of R{delta} of the outputs."""
    if kind != "fisher":
        return bend, Rz
    # the mean's slope times n is one example's
    return delta, len(delta) * (delta * Rz).sum(1, keepdim=True)


def _room(layers: Layers) -> Layers:
    """Room for such layers on a GPU, where views of a theta begin anywhere; none elsewhere.

    A GPU's matrix units take only tensors that begin at multiples of 16 bytes.
    """
    tensors = list(chain.from_iterable(layers))
    if not tensors[0].is_cuda:
        return []
    sizes = [-(-t.numel() // ALIGNED) * ALIGNED for t in tensors]
    parts = tensors[0].new_empty(sum(sizes)).split(sizes)
    views = [
        part[: t.numel()].view_as(t) for part, t in zip(parts, tensors, strict=True)
    ]
    return list(zip(views[::2], views[1::2], strict=True))


def _copied(layers: Layers, into: Layers) -> Layers:
    """The layers in their room, or where they are if they have none."""
    if not into:
        return layers
    tensors, places = (list(chain.from_iterable(each)) for each in (layers, into))
    torch._foreach_copy_(places, tensors)
    return into


def _outputs(
    layers: Layers, x: Tensor, sigmoid: Sequence[bool]
) -> tuple[list[Tensor], Tensor]:
    """The room below each layer, with its a written, and the outputs (n, n_out)."""
    below, n = [x], len(x)
    for (W, b), curved in zip(layers[:-1], sigmoid, strict=True):
        room = x.new_empty(3 * n, len(b))
        a = torch.addmm(b, below[-1][:n], W.mT, out=room[:n])
        if curved:
            a.sigmoid_()
        below.append(room)
    W, b = layers[-1]
    return below, torch.addmm(b, below[-1][:n], W.mT)


def _gradient(
    layers: Layers,
    below: list[Tensor],
    delta: Tensor,
    sigmoid: Sequence[bool],
    grad: Layers,
) -> list[_Layer]:
    """Write the gradient, and keep what products ask for."""
    n, kept = len(delta), []
    for place in reversed(range(len(layers))):
        layer = _Layer(layers[place][0], below[place])
        kept.append(layer)
        a = layer.below[:n]
        torch.mm(delta.mT, a, out=grad[place][0])
        torch.sum(delta, 0, out=grad[place][1])
        if place:
            delta = torch.mm(delta, layer.weights, out=layer.below[2 * n :])
            if sigmoid[place - 1]:
                layer.slope, layer.twist = (
                    a - a * a,
                    torch.addcmul(delta, delta, a, value=-2),
                )
                delta.mul_(layer.slope)
    return kept[::-1]


def _along(layers: list[_Layer], v: Layers, n: int) -> Tensor:
    """R{z}; R{a} is written beside each a."""
    Ru = torch.addmm(v[0][1], layers[0].below, v[0][0].mT)
    for layer, (V, c) in zip(layers[1:], v[1:], strict=True):
        a, Ra = layer.below[:n], layer.below[n : 2 * n]
        Ra.copy_(Ru) if layer.slope is None else torch.mul(Ru, layer.slope, out=Ra)
        Ru = torch.addmm(c, a, V.mT).addmm_(Ra, layer.weights.mT)
    return Ru


def _back(
    layers: list[_Layer],
    v: Layers,
    deltas: Tensor,
    n: int,
    found: Layers,
    exact: bool,
) -> None:
    """Write the product, from the outputs' [R{delta}; delta] down.

    `exact` with the network's own curvature.
    """
    for layer, (V, _), (into, into_biases) in zip(
        reversed(layers), reversed(v), reversed(found), strict=True
    ):
        Rd, first = deltas[:n], layer is layers[0]
        torch.sum(Rd, 0, out=into_biases)
        if first or not exact:
            torch.mm(Rd.mT, layer.below[:n], out=into)
        else:
            torch.mm(deltas.mT, layer.below[: 2 * n], out=into)
        if first:
            return
        Rt, R = Rd @ layer.weights, layer.below[n : 2 * n]
        if exact:
            Rt.addmm_(deltas[n:], V)
        if layer.slope is None or layer.twist is None:
            R.copy_(Rt)
        else:
            R.mul_(layer.twist if exact else 0).addcmul_(layer.slope, Rt)
        deltas = layer.below[n:]
