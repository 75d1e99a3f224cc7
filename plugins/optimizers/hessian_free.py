"""Hessian-free optimization: truncated conjugate gradients, from the last solution."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from sfnbench import (
    BelowOne,
    Count,
    Optimizer,
    Oracle,
    Positive,
    Problem,
    register,
)

SHRINK, MOST_LENGTHS, ARMIJO = 0.8, 60, 1e-2
GROWTH = 1.3  # of the numbers of the iterates that are kept


class Memory(NamedTuple):
    """What the method carries from step to step."""

    last: Tensor  # (d,) the last iterate of conjugate gradients
    damping: Tensor  # ()


@register("hessian_free")
@dataclass(frozen=True, kw_only=True)
class HessianFree(Optimizer):
    """Newton's method by conjugate gradients that are truncated, damped and warm-started.

        (G + damping I) d = -g,    from decay times the last solution

    It ends at iteration i where the quadratic model has gained less than k `progress` of itself in
    the last k = max(10, i / 10) iterations. Of the iterates kept at 5, 6, 8, 11, ... the last one
    is taken back as long as an earlier one has a lower loss. The damping follows the ratio of
    the loss's fall to the model's: times 3/2 below 1/4, times 2/3 above 3/4. Then the length of
    the step is 1, .8, .64, ... until a hundredth of the linear fall is reached.

    Fields: `curvature`, the authors' `gauss_newton`, which needs a network, or `hessian` H in its
    place, for any problem: then iterations end at negative curvature too. G sees none, and leaves
    a saddle by its gradient alone; `damping` at the start; `iterations` at most; `decay` of the
    warm start; `progress`.

    Cost of a step: a gradient, a product for each iteration, a loss for each iterate and length.
    Reference: Martens 2010, "Deep learning via Hessian-free optimization", without its
    preconditioner.
    """

    vmappable = False
    tuning_ranges = {"damping": {"loguniform": [1e-2, 100.0]}}

    curvature: Literal["gauss_newton", "hessian"] = "hessian"
    damping: Positive = 1.0
    iterations: Count = 250
    decay: BelowOne = 0.95
    progress: Positive = 5e-4

    def misfit(self, problem: Problem) -> str | None:
        """A problem without outputs."""
        if self.curvature == "gauss_newton" and not problem.knows_outputs:
            return "curvature gauss_newton needs a network: its outputs and criterion apart"
        return super().misfit(problem)

    def init(self, theta: Tensor) -> Memory:
        """No solution yet, and the stated damping."""
        return Memory(torch.zeros_like(theta), theta.new_full((), self.damping))

    def step(
        self, oracle: Oracle, theta: Tensor, state: Memory
    ) -> tuple[Tensor, Memory]:
        """One step: a solution, its damping, its length."""
        linear = oracle.curvature(theta, self.curvature)
        g, loss, damping = linear.grad, float(linear.loss), float(state.damping)

        def product(v: Tensor) -> Tensor:
            return linear.hvp(v) + damping * v

        kept = self._solve(product, g, self.decay * state.last)
        d = kept[-1]
        lowest = float(oracle.loss(theta + d))
        for earlier in reversed(kept[:-1]):
            value = float(oracle.loss(theta + earlier))
            if not value <= lowest:
                break
            d, lowest = earlier, value
        slope = float(g @ d)
        model = slope + float(d @ product(d)) / 2
        ratio = (lowest - loss) / model if model else 1.0
        factor = 1.0
        if not ratio >= 0.25:  # a loss that is not a number, too
            factor = 1.5
        elif ratio > 0.75:
            factor = 1 / 1.5
        after = Memory(kept[-1], state.damping * factor)
        length = self._length(oracle, theta, d, loss, lowest, slope)
        return theta + length * d, after

    def report(self, state: Memory) -> Mapping[str, Tensor]:
        """The damping."""
        return {"damping": state.damping}

    def _length(
        self,
        oracle: Oracle,
        theta: Tensor,
        d: Tensor,
        loss: float,
        at_one: float,
        slope: float,
    ) -> float:
        """The first length that lowers the loss enough, or 0."""
        length, value = 1.0, at_one
        for _ in range(MOST_LENGTHS):
            if value <= loss + ARMIJO * length * slope:
                return length
            length *= SHRINK
            value = float(oracle.loss(theta + length * d))
        return 0.0

    def _solve(
        self, product: Callable[[Tensor], Tensor], g: Tensor, d: Tensor
    ) -> list[Tensor]:
        """Iterates (d,) of conjugate gradients that are kept; the last one is the last."""
        r = -g - product(d)
        p, square = r, float(r @ r)
        models = [float(d @ (g - r)) / 2]  # of d, as (G + damping I) d = -g - r
        kept, next_kept = [], 5.0
        for i in range(1, self.iterations + 1):
            if square <= torch.finfo(g.dtype).eps ** 2 * float(g @ g):
                break
            image = product(p)
            bend = float(p @ image)
            if bend <= 0:  # steepest descent, where there is no iterate yet
                d = d if i > 1 else d + p
                break
            a = square / bend
            d, r = d + a * p, r - a * image
            before, square = square, float(r @ r)
            p = r + square / before * p
            models.append(float(d @ (g - r)) / 2)
            if i == math.ceil(next_kept):
                kept.append(d)
                next_kept *= GROWTH
            k = max(10, i // 10)
            if i > k and models[i - k] < 0:
                gain = (models[i] - models[i - k]) / models[i]
                if gain < k * self.progress:
                    break
        if not kept or kept[-1] is not d:
            kept.append(d)
        return kept
