"""The homogeneous second-order descent method: a step is one eigenvector."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from sfnbench import (
    Count,
    NonNegative,
    Optimizer,
    Oracle,
    Positive,
    State,
    lanczos,
    register,
)

MOST_HALVINGS = 30


class Direction(NamedTuple):
    """What the lowest eigenvector of the homogeneous matrix says."""

    d: Tensor  # (d,)
    eigenvalue: Tensor  # () -theta, lowest of [[H, g], [g, -delta]]
    t: Tensor  # () the last coordinate of the unit eigenvector


@register("hsodm")
@dataclass(frozen=True, kw_only=True)
class HomogeneousSecondOrderDescent(Optimizer):
    """A step along the lowest eigenvector of the Hessian bordered by the gradient.

        [[H, g], [g^T, -delta]] (v, t) = -lambda (v, t),   d = v / t, or -sign(g . v) v if |t| <= nu
        theta <- theta + min(1, radius / |d|) d

    With t as the divisor, (H + lambda I) d = -g, where lambda exceeds -lambda_1(H) and `delta`:
    a regularised Newton step without solving a system. Where the gradient is zero, d is the lowest
    eigenvector of H, so no strict saddle holds it. Near one d is long, and `radius` decides. A
    step that does not lower the loss is halved until it does; at most thirty times, then none is
    taken.

    Fields: `radius` of a step; `delta`; `nu`, the t from which it divides; `k` Lanczos vectors, by
    default 40, or d + 1 if there are fewer; they start at random.

    Cost of a step: a gradient, k products, and a loss for each length. Reference: Zhang, Ge, He,
    Jiang, Jiang, Ye 2022, "A homogeneous second-order descent method for nonconvex optimization"
    (arXiv 2211.08212).
    """

    vmappable = False
    n_noise = 2  # one vector to start from, and one number of the second
    tuning_ranges = {"radius": {"loguniform": [0.1, 10.0]}}

    radius: Positive = 1.0
    delta: NonNegative = 1e-4
    nu: Positive = 1e-4
    k: Count = 40

    def step(
        self, oracle: Oracle, theta: Tensor, state: State
    ) -> tuple[Tensor, State]:
        """One step that lowers the loss, or none."""
        linear = oracle.curvature(theta)
        found = self.direction(oracle, linear.grad, linear.hvp)
        length = float(found.d.norm())
        if length == 0:
            return theta, state
        share = min(1.0, self.radius / length)
        for _ in range(MOST_HALVINGS):
            end = theta + share * found.d
            if oracle.loss(end) < linear.loss:
                return end, state
            share /= 2
        return theta, state

    def direction(self, oracle: Oracle, g: Tensor, product: object) -> Direction:
        """The direction (d,) at a gradient (d,), by products with H."""
        assert callable(product)
        assert oracle.noise is not None

        def bordered(v: Tensor) -> Tensor:
            top, t = v[:-1], v[-1]
            return torch.cat(
                [product(top) + t * g, (g @ top - self.delta * t)[None]]
            )

        start = torch.cat([oracle.noise[0], oracle.noise[1, :1]])
        space = lanczos(bordered, start, min(self.k, len(start)))
        L, Q = torch.linalg.eigh(space.matrix)
        vector = space.basis.mT @ Q[:, 0]
        v, t = vector[:-1], vector[-1]
        if float(t.abs()) > self.nu:
            return Direction(v / t, L[0], t)
        return Direction(-v if float(g @ v) > 0 else v, L[0], t)
