"""Adaptive cubic regularisation: Newton's method whose model has a cubic term."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import torch
from annotated_types import Gt, Lt
from torch import Tensor

from sfnbench import Count, Optimizer, Oracle, Positive, lanczos, register

MOST_ITERATIONS = 200  # of Newton's method on one number; 16 are the most seen


class Memory(NamedTuple):
    """What the method knows of the last steps."""

    sigma: Tensor  # () the weight of the cubic term
    n_refused: Tensor  # () steps so far that did not lower the loss enough


@register("cubic_newton")
@dataclass(frozen=True, kw_only=True)
class CubicNewton(Optimizer):
    """Cubic regularisation of Newton's method, its weight adapted as a trust region is.

        s = argmin g . s + s . H s / 2 + sigma/3 |s|^3,    r = (f - f(theta + s)) / (-model(s))
        theta <- theta + s if r >= accept;  sigma / 2 if r >= trust;  2 sigma if r < accept

    The minimum is global, by an eigendecomposition: (H + lambda I) s = -g with lambda = sigma |s|
    and H + lambda I positive. At a critical point with lambda_1 < 0 the step has the length
    |lambda_1| / sigma and lowers the model by |lambda_1|^3 / (6 sigma^2): no saddle that is strict
    holds it, even exactly on the stable manifold.

    Fields: `sigma` at the start, with the cubic term as above (Nesterov and Polyak write
    sigma = M / 2); `k` vectors of a Krylov subspace to minimise in, the last of them random, or
    None for the whole space; `accept` and `trust` of the ratio r.

    Cost of a step: a gradient, a loss and a Hessian with O(d^3), or k products. References: Cartis,
    Gould, Toint 2011, "Adaptive cubic regularisation methods for unconstrained optimization";
    Nesterov, Polyak 2006.
    """

    vmappable = False
    tuning_ranges = {"sigma": {"loguniform": [1e-2, 10.0]}}

    sigma: Positive = 1.0
    k: Count | None = None
    accept: Annotated[float, Gt(0), Lt(1)] = 0.1
    trust: Annotated[float, Gt(0), Lt(1)] = 0.9

    @property
    def n_noise(self) -> int:  # type: ignore[override]  # by this setting
        """One normal vector a step for the Krylov subspace."""
        return 0 if self.k is None else 1

    def init(self, theta: Tensor) -> Memory:
        """The stated weight."""
        return Memory(
            theta.new_full((), self.sigma), torch.zeros_like(theta[..., 0])
        )

    def step(
        self, oracle: Oracle, theta: Tensor, state: Memory
    ) -> tuple[Tensor, Memory]:
        """One step, taken or refused."""
        if self.k is None:
            loss, g = oracle.loss_and_grad(theta)
            H, basis = oracle.hessian(theta), None
        else:
            linear, last = oracle.curvature(theta), None
            loss, g = linear.loss, linear.grad
            if oracle.noise is not None:
                last = oracle.noise[0]
            space = lanczos(linear.hvp, g, min(self.k, len(theta)), last=last)
            H, basis = space.matrix, space.basis
        L, Q = torch.linalg.eigh(H)
        in_basis = Q.mT @ (g if basis is None else basis @ g)
        sigma = float(state.sigma)
        # on the CPU, for it reads numbers at each iteration
        found = cubic_minimum(L.cpu(), in_basis.cpu(), sigma).to(L)
        s = Q @ found
        if basis is not None:
            s = basis.mT @ s
        model = in_basis @ found + found @ (L * found) / 2
        predicted = -float(model + sigma / 3 * found.norm() ** 3)
        if predicted <= 0:
            return theta, state
        fall = float(loss - oracle.loss(theta + s))
        if not fall >= self.accept * predicted:  # a loss that is not a number, too
            return theta, Memory(2 * state.sigma, state.n_refused + 1)
        if fall >= self.trust * predicted:
            return theta + s, state._replace(
                sigma=(state.sigma / 2).clamp_min(1e-16)
            )
        return theta + s, state

    def carried(self, state: Memory) -> Tensor:
        """The weight alone decides the next step."""
        return state.sigma

    def report(self, state: Memory) -> Mapping[str, Tensor]:
        """The weight, and the steps refused so far."""
        return {"sigma": state.sigma, "n_refused": state.n_refused}


def cubic_minimum(L: Tensor, g: Tensor, sigma: float) -> Tensor:
    """The global minimum (n,) of g . s + s . diag(L) s / 2 + sigma/3 |s|^3, L (n,) ascending.

    Newton's method on 1/|s(t)| = sigma / lambda, where lambda = t - min(0, L_1): t is what loses no
    digits where lambda + L_1 is small. In the hard case, where g has no part in the lowest
    eigenvectors and t = 0 leaves s too short, the rest goes along the first of them.
    """
    low = max(0.0, -float(L[0]))
    gap = (L + low).clamp_min(0)
    is_lowest = gap <= 1e-14 * L.abs().amax()
    if float(g[is_lowest].abs().sum()) == 0:
        s = torch.where(is_lowest, 0.0, -g / torch.where(is_lowest, 1.0, gap))
        short = (low / sigma) ** 2 - float(s @ s)
        if short >= 0:
            s[0] = math.sqrt(short)
            return s
    upper = math.sqrt(sigma * float(g.norm()))
    below, above, t = 0.0, upper, upper
    s = -g / (gap + t)
    for _ in range(MOST_ITERATIONS):
        length = float(s.norm())
        phi = 1 / length - sigma / (low + t)
        if abs(phi) * length <= 1e-14 or above - below <= 1e-16 * above:
            break
        below, above = (below, t) if phi > 0 else (t, above)
        slope = float((s.square() / (gap + t)).sum()) / length**3
        t -= phi / (slope + sigma / (low + t) ** 2)
        if not below < t < above:
            t = math.sqrt(max(below, 1e-30 * above) * above)
        s = -g / (gap + t)
    return s
