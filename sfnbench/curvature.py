"""A loss to second order at one point: its value, its gradient, and products with a curvature matrix.

Linearised once: each product reuses the graph of the first pass, which is what makes a Krylov subspace affordable. On a
network of d parameters a gradient is three passes (forward, and two of a forward's size back); a product with any of the
matrices below is about four more.

    hessian       H v
    gauss_newton  G v = J^T (d2 l / dz dz) J v         J = dz/dtheta, z the network's outputs, l the criterion
    fisher        F v = mean_b g_b (g_b . v)           g_b = J_b^T dl_b/dz, at the labels of the data

G is the Hessian without the curvature of the network itself, and positive semidefinite where the criterion is convex.
For the criteria here, cross-entropies and squared errors in the outputs' natural parameters, G is also the Fisher
information matrix under the model's own labels (Martens 2020, "New insights and perspectives on the natural gradient
method", section 9.2). What `fisher` stands for is therefore the other matrix of that name, the "empirical" one, of the
outer products of the gradients at the data's labels (ibid., section 11), which is another matrix away from a perfect fit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast

import torch
from torch import Tensor

from .errors import is_want_of_memory

if TYPE_CHECKING:
    from .core import Network, Problem

Kind = Literal["hessian", "gauss_newton", "fisher"]


class Linearised(NamedTuple):
    """Loss (), gradient (d,), and the product (d,) -> (d,) with the curvature matrix."""

    loss: Tensor
    grad: Tensor
    product: Callable[[Tensor], Tensor]


def linearise(problem: Problem, theta: Tensor, batch: Any, kind: Kind, *, eager: bool) -> Linearised:
    """The loss of `problem` on `batch` to second order at theta (d,); `eager` is faster, but not inside transforms."""
    if eager and (by_hand := problem.linearised(theta, batch, kind)) is not None:
        return by_hand
    if kind != "hessian":
        return _through_outputs(cast("Network", problem), theta, batch, kind)
    return _eager(problem, theta, batch) if eager else _transformed(problem, theta, batch)


def _eager(problem: Problem, theta: Tensor, batch: Any) -> Linearised:
    with torch.enable_grad():
        at = theta.detach().requires_grad_()
        loss = problem.loss(at, batch)
        (grad,) = torch.autograd.grad(loss, at, create_graph=True)

    def product(v: Tensor) -> Tensor:
        if not grad.requires_grad:  # a loss that is linear has no second derivatives to ask for
            return torch.zeros_like(v)
        (found,) = torch.autograd.grad(grad, at, v, retain_graph=True, allow_unused=True)
        return torch.zeros_like(v) if found is None else found

    return Linearised(loss.detach(), grad.detach(), product)


def _transformed(problem: Problem, theta: Tensor, batch: Any) -> Linearised:
    def gradient(t: Tensor) -> tuple[Tensor, Tensor]:
        return torch.func.grad_and_value(problem.loss)(t, batch)

    grad, pull, loss = torch.func.vjp(gradient, theta, has_aux=True)  # type: ignore[misc]  # three, with an aux
    return Linearised(loss, grad, lambda v: pull(v)[0])


def _through_outputs(problem: Network, theta: Tensor, batch: Any, kind: Kind) -> Linearised:
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

    return with_decay(Linearised(fit, pull(e)[0], product), theta, problem.weight_decay)


def with_decay(fit: Linearised, theta: Tensor, decay: float) -> Linearised:
    """`fit` and 1/2 decay |theta|^2."""
    if not decay:
        return fit
    loss, grad = fit.loss + decay / 2 * (theta @ theta), fit.grad + decay * theta
    return Linearised(loss, grad, lambda v: fit.product(v) + decay * v)


@dataclass
class Parts:
    """In how many parts a batch is taken: doubled whenever the device has no memory for so few."""

    n: int = 1

    def sum(self, problem: Problem, batch: Any, ask: Callable[[Any], tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
        """What `ask` answers on the whole batch: the weighted sum of what it answers on the parts."""
        while True:
            parts = [(1.0, batch)] if self.n == 1 else problem.parts(batch, self.n)
            try:
                return self._sum(parts, ask)
            except (MemoryError, RuntimeError) as error:
                if not self.halve(problem, batch, error):
                    raise

    def halve(self, problem: Problem, batch: Any, error: BaseException) -> bool:
        """After a want of memory take the batch in twice as many parts; False where that is no way out."""
        if not is_want_of_memory(error) or len(problem.parts(batch, 2 * self.n)) <= self.n:
            return False
        self.n *= 2
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return True

    @staticmethod
    def _sum(parts: list[tuple[float, Any]], ask: Callable[[Any], tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
        if len(parts) == 1:
            return ask(parts[0][1])
        total: tuple[Tensor, ...] = ()
        for weight, part in parts:
            terms = tuple(weight * term for term in ask(part))
            total = tuple(map(torch.add, total, terms)) if total else terms
        return total
