"""A loss linearised at one point, by automatic differentiation.

See `core.curvature` for the matrices.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor

from .curvature import CurvatureKind, Linearisation, with_decay
from .problem import Network, Problem


def linearise(
    problem: Problem, theta: Tensor, batch: Any, kind: CurvatureKind, *, eager: bool
) -> Linearisation:
    """The loss of `problem` on `batch` to second order at theta (d,).

    `eager` is faster, but not inside transforms.
    """
    if eager and (by_hand := problem.linearised(theta, batch, kind)) is not None:
        return by_hand
    if kind != "hessian":
        return _through_outputs(cast("Network", problem), theta, batch, kind)
    return _eager(problem, theta, batch) if eager else _transformed(problem, theta, batch)


def _eager(problem: Problem, theta: Tensor, batch: Any) -> Linearisation:
    with torch.enable_grad():
        at = theta.detach().requires_grad_()
        loss = problem.loss(at, batch)
        (grad,) = torch.autograd.grad(loss, at, create_graph=True)

    def product(v: Tensor) -> Tensor:
        if not grad.requires_grad:  # a loss that is linear has no second derivatives to ask for
            return torch.zeros_like(v)
        (found,) = torch.autograd.grad(grad, at, v, retain_graph=True, allow_unused=True)
        return torch.zeros_like(v) if found is None else found

    return Linearisation(loss.detach(), grad.detach(), product)


def _transformed(problem: Problem, theta: Tensor, batch: Any) -> Linearisation:
    def gradient(t: Tensor) -> tuple[Tensor, Tensor]:
        return torch.func.grad_and_value(problem.loss)(t, batch)

    grad, pull, loss = torch.func.vjp(gradient, theta, has_aux=True)  # type: ignore[misc]  # three, with an aux
    return Linearisation(loss, grad, lambda v: pull(v)[0])


def _through_outputs(
    problem: Network, theta: Tensor, batch: Any, kind: CurvatureKind
) -> Linearisation:
    """By way of the outputs z: J^T by one reverse pass, J as the transpose of that linear map."""
    z, pull = torch.func.vjp(lambda t: problem.outputs(t, batch), theta)[:2]
    push = torch.func.vjp(lambda u: pull(u)[0], torch.zeros_like(z))[1]
    criterion = torch.func.grad_and_value(lambda outputs: problem.fit(outputs, batch))
    e, bend, fit = torch.func.vjp(criterion, z, has_aux=True)  # type: ignore[misc]  # three, with an aux

    def product(v: Tensor) -> Tensor:
        (Jv,) = push(v)
        if kind == "gauss_newton":
            (inner,) = bend(Jv)
        else:  # e is the mean's gradient: n e_b is that of example b alone
            inner = e * (z.shape[-1] * (e * Jv).sum(tuple(range(z.dim() - 1)), keepdim=True))
        return cast(Tensor, pull(inner)[0])

    return with_decay(Linearisation(fit, pull(e)[0], product), theta, problem.weight_decay)
