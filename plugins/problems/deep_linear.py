"""Deep linear networks: each subset of modes is a saddle, strict or not."""

import functools
import itertools
import math
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Le
from torch import Tensor

from sfnbench import CriticalPoint, Index, Positive, Problem, constant, register


@register("deep_linear")
@dataclass(frozen=True, kw_only=True)
class DeepLinear(Problem):
    """A product of L square matrices that is to be a given one: whitened inputs, linear layers.

        f = 1/2 |W_L ... W_1 - diag(s)|_F^2,    s_1 > ... > s_d

    theta holds W_1, ..., W_L, each by rows. At every critical point the product is diag(s) on a
    subset S of m modes, with f = 1/2 sum_{i not in S} s_i^2. With W_l = diag(s_i^(1/L) on S),

        index  = #{(i, j): i not in S, j in S, s_i > s_j} (+ (d - m)^2 for L = 2),
        n_zero = (L - 1) d^2 + (d - m)^2 for L > 2,    d^2 - (d - m)^2 for L = 2.

    Zero modes are those of GL(d) between two layers, W_l -> G W_l and W_(l+1) -> W_(l+1) G^-1: they
    move a point of full rank in (L - 1) d^2 directions.

    So for L > 2 the saddles on the m largest modes, which training meets one after another, have no
    negative eigenvalue. Another one with the loss of the origin is strict: W_1 = W_L = 0 and all
    layers between them the identity, with index d^2.

    Exact time courses of the gradient flow: a mode u of balanced layers follows
    du/dt = L u^(2 - 2/L) (s - u), see `time`.

    Fields: `singular_values` s; `layers` L; `saddle_at` the S where a race starts, as places in
    `singular_values`, () for the origin; `strict` starts at the strict saddle with the loss of the
    origin instead; `radius` the distance of the start, in a uniform direction; `escape_drop` the
    fall of the loss that counts as escaped.

    Cost of a loss: O(L d^3). Sources: Saxe, McClelland, Ganguli 2013 (arXiv 1312.6120); Kawaguchi
    2016, "Deep learning without poor local minima"; Achour, Malgouyres, Gerchinovitz 2021 (arXiv
    2107.13289). The indices are derived here, and tested.

    >>> problem = DeepLinear()
    >>> [point.loss for point in problem.critical_points[:5]]
    [7.0, 7.0, 2.5, 5.0, 6.5]
    """

    singular_values: tuple[Positive, ...] = (3.0, 2.0, 1.0)
    layers: Annotated[int, Ge(2), Le(1000)] = 3
    saddle_at: tuple[Index, ...] = ()
    strict: bool = False
    radius: Positive = 1e-2
    escape_drop: Positive = 0.1

    def __post_init__(self) -> None:
        s, places = self.singular_values, self.saddle_at
        if not s or any(a <= b for a, b in itertools.pairwise(s)):
            raise ValueError(f"singular_values must fall, got {list(s)}")
        if len(set(places)) < len(places) or any(i >= len(s) for i in places):
            raise ValueError(
                f"saddle_at must be different places in 0..{len(s) - 1}, got {list(places)}"
            )
        if self.strict and (self.layers == 2 or places):
            raise ValueError(
                "strict needs layers > 2 and saddle_at: [], "
                f"got layers {self.layers} and saddle_at {list(places)}"
            )

    @property
    def dim(self) -> int:
        """L d^2."""
        return self.layers * len(self.singular_values) ** 2

    @property
    def n_zero_modes(self) -> int:
        """(L - 1) d^2, those of GL(d) between the layers."""
        return (self.layers - 1) * len(self.singular_values) ** 2

    @property
    def saddle_order(self) -> int:  # type: ignore[override]  # it depends on the fields
        """2 for a strict saddle, else L."""
        is_strict = self.saddle is None or self.saddle.index > 0
        return 2 if is_strict else self.layers

    @functools.cached_property
    def critical_points(self) -> tuple[CriticalPoint, ...]:
        """One for each subset of modes, after the origin and the strict saddle of its loss."""
        d = len(self.singular_values)
        sizes = (itertools.combinations(range(d), m) for m in range(1, d + 1))
        subsets = itertools.chain.from_iterable(sizes)
        rest = [self.critical_point(subset) for subset in subsets]
        strict = [self.strict_saddle] if self.layers > 2 else []
        return self.critical_point(()), *strict, *rest

    @functools.cached_property
    def saddle(self) -> CriticalPoint | None:
        """The critical point of `saddle_at`, or the strict one; None at the minimum."""
        if self.strict:
            return self.strict_saddle
        if len(self.saddle_at) == len(self.singular_values):
            return None
        return self.critical_point(self.saddle_at)

    @property
    def strict_saddle(self) -> CriticalPoint:
        """The first and last layer zero, identities between them."""
        d = len(self.singular_values)
        layers = torch.eye(d, dtype=torch.float64).repeat(self.layers, 1, 1)
        layers[0] = layers[-1] = 0
        loss = self.critical_point(()).loss
        return CriticalPoint(layers.ravel(), loss, d**2, (self.layers - 2) * d**2)

    @property
    def lowest(self) -> float:
        """Zero."""
        return 0.0

    def critical_point(self, subset: tuple[int, ...]) -> CriticalPoint:
        """Balanced layers whose product is diag(s) on the subset."""
        s, L = self.singular_values, self.layers
        d, n_outside = len(s), len(s) - len(subset)
        outside = [i for i in range(d) if i not in subset]
        modes = [s[i] ** (1 / L) if i in subset else 0.0 for i in range(d)]
        layer = torch.diag(torch.tensor(modes, dtype=torch.float64))
        loss = math.fsum(s[i] ** 2 for i in outside) / 2
        index = sum(s[i] > s[j] for i in outside for j in subset)
        n_zero = (L - 1) * d**2 + n_outside**2
        if L == 2:
            index, n_zero = index + n_outside**2, d**2 - n_outside**2
        return CriticalPoint(layer.repeat(L, 1, 1).ravel(), loss, index, n_zero)

    def time(self, start: float, end: float, s: float) -> float:
        """How long the flow takes a mode of singular value s from one strength to another.

        The integral of du / (L u^(2 - 2/L) (s - u)), in w = u^(1/L). Both are between 0 and s.
        """
        from scipy.integrate import quad

        L = self.layers
        if L == 2:
            return math.log(end * (s - start) / (start * (s - end))) / (2 * s)
        low, high = start ** (1 / L), end ** (1 / L)
        value, _ = quad(
            lambda log_w: math.exp((2 - L) * log_w) / (s - math.exp(L * log_w)),
            math.log(low),
            math.log(high),
            limit=200,
        )
        return float(value)

    def start(self, rng: torch.Generator) -> Tensor:
        """A point at `radius` from the saddle in a uniform direction."""
        direction = torch.randn(self.dim, generator=rng, dtype=torch.float64)
        at = self.saddle or self.critical_point(self.saddle_at)
        return at.point + self.radius * direction / direction.norm()

    def tensors(self, theta: Tensor) -> dict[str, Tensor]:
        """The layers W_l (d, d), first to last."""
        d = len(self.singular_values)
        layers = theta.view(self.layers, d, d).unbind()
        return {f"W{n}": layer for n, layer in enumerate(layers, 1)}

    def loss(self, theta: Tensor, batch: None) -> Tensor:
        """f, ()."""
        product, *others = self.tensors(theta).values()
        for layer in others:
            product = layer @ product
        return (product - self.matrix(theta)).square().sum() / 2

    @constant
    def matrix(self) -> Tensor:
        """diag(s) (d, d)."""
        return torch.diag(torch.tensor(self.singular_values, dtype=torch.float64))
