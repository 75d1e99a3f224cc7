"""First and second derivatives of a loss by automatic differentiation.

A loss is a function of theta (d,) with a scalar value () here. Plain autograd, called eager, is
faster than `torch.func`, but it does not run inside `vmap` or any other transform of `torch.func`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import torch
from torch import Tensor

from .curvature import CurvatureKind, Linearisation

LossFunction = Callable[[Tensor], Tensor]

# Hessian columns taken at once. On a CPU more of them leave the cache: the Hessian of 100-25-10
# took 2.7 s of one core of an Intel Xeon by 16 at once, and 3.1 s by 32.
N_COLUMNS, N_COLUMNS_ON_GPU = 16, 32


def columns_at_once(like: Tensor) -> int:
    """How many columns of a Hessian are taken at once where `like` is."""
    return N_COLUMNS_ON_GPU if like.is_cuda else N_COLUMNS


def loss_and_grad(
    loss: LossFunction, theta: Tensor, *, eager: bool
) -> tuple[Tensor, Tensor]:
    """The loss () and its gradient (d,)."""
    if not eager:
        grad, value = torch.func.grad_and_value(loss)(theta)
        return value, grad
    with torch.enable_grad():
        at = theta.detach().requires_grad_()
        value = loss(at)
    (grad,) = torch.autograd.grad(value, at)
    return value.detach(), grad


def linearise_eagerly(loss: LossFunction, theta: Tensor) -> Linearisation:
    """The loss to second order by plain autograd; each product is one pass back."""
    with torch.enable_grad():
        at = theta.detach().requires_grad_()
        value = loss(at)
        (grad,) = torch.autograd.grad(value, at, create_graph=True)

    def product(v: Tensor) -> Tensor:
        return pull_back(grad, (at,), v)[0]

    return Linearisation(value.detach(), grad.detach(), product)


def linearise_in_transforms(loss: LossFunction, theta: Tensor) -> Linearisation:
    """The loss to second order by `torch.func`."""

    def gradient(t: Tensor) -> tuple[Tensor, Tensor]:
        return torch.func.grad_and_value(loss)(t)

    # three values, because of the auxiliary one
    grad, pull, value = torch.func.vjp(gradient, theta, has_aux=True)  # type: ignore[misc]
    return Linearisation(value, grad, lambda v: pull(v)[0])


def linearise_outputs(
    outputs: Callable[[Tensor], Tensor],
    criterion: Callable[[Tensor], Tensor],
    theta: Tensor,
    kind: CurvatureKind,
) -> Linearisation:
    """The loss ``criterion(outputs(theta))`` with products of its Gauss-Newton or Fisher matrix.

    The outputs z are (..., n), examples last. J^T is one reverse pass, and J the transpose of that
    linear map, which is another.
    """
    z, pull = torch.func.vjp(outputs, theta)[:2]
    push = torch.func.vjp(lambda u: pull(u)[0], torch.zeros_like(z))[1]
    e, bend, value = torch.func.vjp(  # type: ignore[misc]  # three values
        torch.func.grad_and_value(criterion), z, has_aux=True
    )

    def product(v: Tensor) -> Tensor:
        (Jv,) = push(v)
        if kind == "gauss_newton":
            (inner,) = bend(Jv)
        else:  # e is the mean's gradient: n e_b is the gradient of example b alone
            n = z.shape[-1]
            # each: (1, ..., n)
            each = (e * Jv).sum(tuple(range(z.dim() - 1)), keepdim=True)
            inner = e * (n * each)
        return cast(Tensor, pull(inner)[0])

    return Linearisation(value, pull(e)[0], product)


def pull_back(
    grad: Tensor, inputs: Sequence[Tensor], v: Tensor
) -> tuple[Tensor, ...]:
    """The gradient of ``grad @ v`` in each input, which is the Hessian times v: a second pass back.

    `grad` (d,) has the graph of the first pass, which is kept for more products. `v` is (d,), or
    (n, d) for n products at once. An input that `grad` does not depend on gets zeros.
    """
    n_rows = v.shape[: v.dim() - grad.dim()]
    found: Sequence[Tensor | None] = (None,) * len(inputs)
    if grad.requires_grad:  # a linear loss has no graph to go back through
        found = torch.autograd.grad(
            grad,
            inputs,
            v,
            retain_graph=True,
            allow_unused=True,
            is_grads_batched=len(n_rows) > 0,
        )
    return tuple(
        v.new_zeros(*n_rows, *each.shape) if part is None else part
        for each, part in zip(inputs, found, strict=True)
    )
