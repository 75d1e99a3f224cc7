"""Newton-CG with complexity guarantees: conjugate gradients that stop at negative curvature."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple

import torch
from annotated_types import Gt, Lt
from torch import Tensor

from sfnbench import Count, Optimizer, Oracle, Positive, State, lanczos, register

MOST_HALVINGS = 60

Product = Callable[[Tensor], Tensor]  # (d,) -> (d,)
Pairs = list[tuple[Tensor, Tensor]]  # vectors (d,), each with its image


class Capped(NamedTuple):
    """Where capped conjugate gradients end."""

    d: Tensor  # (d,)
    kind: Literal["solution", "negative curvature"]


@register("newton_cg")
@dataclass(frozen=True, kw_only=True)
class NewtonCG(Optimizer):
    """Newton's method by capped conjugate gradients, which notice negative curvature.

    Conjugate gradients solve (H + 2 epsilon I) d = -g, epsilon = sqrt(accuracy). They end early
    with a direction along which d . (H + 2 epsilon I) d < epsilon |d|^2, or where they take longer
    than they could on a positive matrix. Such a d gets the length |d . H d| / |d|^2 and the sign
    of descent. Where the gradient is below `accuracy`, Lanczos looks for the lowest eigenvalue
    from a random vector. The step is backtracked until

        f(theta + a d) < f(theta) - decrease/6 a^3 |d|^3

    A step along negative curvature has the length of the eigenvalue: from a quadratic saddle the
    distance grows by |lambda| in each step, from wherever. The method stays where the gradient is
    below `accuracy` and no curvature below -epsilon: by the theory a second-order point, after
    O(accuracy^-3/2) steps.

    Fields: `accuracy` of the gradient; `residual` zeta of a solution; `shrink` of the backtracking;
    `decrease`; `k` products of Lanczos at most.

    Cost of a step: a gradient, a product for each iteration, and a loss for each length. Reference:
    Royer, O'Neill, Wright 2020, "A Newton-CG algorithm with complexity guarantees for smooth
    unconstrained optimization" (arXiv 1803.02924), algorithms 1 to 3.
    """

    vmappable = False
    n_noise = 1
    tuning_ranges = {"accuracy": {"loguniform": [1e-8, 1e-2]}}

    accuracy: Positive = 1e-5
    residual: Annotated[float, Gt(0), Lt(1)] = 0.5
    shrink: Annotated[float, Gt(0), Lt(1)] = 0.5
    decrease: Positive = 0.1
    k: Count = 100

    def step(
        self, oracle: Oracle, theta: Tensor, state: State
    ) -> tuple[Tensor, State]:
        """One step, backtracked; none at a second-order point."""
        linear, epsilon = oracle.curvature(theta), math.sqrt(self.accuracy)
        g = linear.grad
        if float(g.norm()) > self.accuracy:
            d, kind = capped_conjugate_gradients(
                linear.hvp, g, epsilon, self.residual
            )
            if kind == "negative curvature":
                d = d / d.norm()
                d = _downhill(d, g) * abs(float(d @ linear.hvp(d)))
        else:
            value, v = self._lowest(oracle, linear.hvp, theta)
            if value >= -epsilon:
                return theta, state
            d = _downhill(v, g) * abs(value)
        length, needed = 1.0, self.decrease / 6 * float(d.norm()) ** 3
        for _ in range(MOST_HALVINGS):
            end = theta + length * d
            if oracle.loss(end) < linear.loss - needed * length**3:
                return end, state
            length *= self.shrink
        return theta, state

    def _lowest(
        self, oracle: Oracle, product: Product, theta: Tensor
    ) -> tuple[float, Tensor]:
        """The lowest eigenvalue and a unit eigenvector (d,), as Lanczos finds them."""
        assert oracle.noise is not None
        space = lanczos(product, oracle.noise[0], min(self.k, len(theta)))
        L, Q = torch.linalg.eigh(space.matrix)
        v = space.basis.mT @ Q[:, 0]
        length = float(v.norm())
        return float(L[0]), v / length if length else v


def _downhill(d: Tensor, g: Tensor) -> Tensor:
    return d if float(d @ g) <= 0 else -d


def capped_conjugate_gradients(
    product: Product, g: Tensor, epsilon: float, zeta: float
) -> Capped:
    """A solution (d,) of (H + 2 epsilon I) y = -g, or a direction of curvature below epsilon in it.

    Algorithm 1. `product` is H's; H y and H r follow from the recursions, so that each iteration
    takes one product. The bound of |H| is raised as it goes.
    """
    y, r, p = torch.zeros_like(g), g.clone(), -g
    Hy, Hp = torch.zeros_like(g), product(-g)
    Hr = -Hp
    bound, first, shift = 0.0, float(g.norm()), 2 * epsilon
    kept: Pairs = []  # all y and (H + 2 epsilon I) y so far
    for j in range(2 * len(g) + 20):
        bound = max(bound, *map(_stretch, ((p, Hp), (y, Hy), (r, Hr))))
        enough, slow = _limits((bound + shift) / epsilon, zeta, j)
        By, Bp = Hy + shift * y, Hp + shift * p
        kept.append((y, By))
        left = float(r.norm()) / first
        if j and (ended := _ended(y, By, left <= enough, epsilon)):
            return ended
        if _is_bent(p, Bp, epsilon):
            return Capped(p, "negative curvature")
        a = float(r @ r) / float(p @ Bp)
        y, Hy = y + a * p, Hy + a * Hp
        after = r + a * Bp
        if left > slow and (d := _bent_down(y, Hy, kept, epsilon)) is not None:
            return Capped(d, "negative curvature")
        b = float(after @ after) / float(r @ r)
        r, p = after, b * p - after
        HP = product(p)
        Hr, Hp = b * Hp - HP, HP
    return Capped(y, "solution")


def _stretch(pair: tuple[Tensor, Tensor]) -> float:
    """|H v| / |v| of a pair v and H v; zero for v = 0."""
    length = float(pair[0].norm())
    return float(pair[1].norm()) / length if length else 0.0


def _bent_down(y: Tensor, Hy: Tensor, kept: Pairs, epsilon: float) -> Tensor | None:
    """The first difference d (d,) of the last iterate from an earlier one, of low curvature."""
    By = Hy + 2 * epsilon * y
    for earlier, image in kept:
        d = y - earlier
        if _is_bent(d, By - image, epsilon):
            return d
    return None


def _ended(y: Tensor, By: Tensor, is_solved: bool, epsilon: float) -> Capped | None:
    """Why conjugate gradients end at y (d,), with its image By (d,), if they do."""
    if _is_bent(y, By, epsilon):
        return Capped(y, "negative curvature")
    return Capped(y, "solution") if is_solved else None


def _is_bent(v: Tensor, image: Tensor, epsilon: float) -> bool:
    """Whether the curvature along v (d,), with its image (d,), is below epsilon."""
    return float(v @ image) < epsilon * float(v @ v)


def _limits(kappa: float, zeta: float, j: int) -> tuple[float, float]:
    """The residual of a solution, and that from which iteration j is slow, in |g|."""
    root = math.sqrt(kappa) / (math.sqrt(kappa) + 1)
    cap = 2 * kappa**2 / (1 - math.sqrt(root))
    return zeta / (3 * kappa), cap * root ** (j / 2)
