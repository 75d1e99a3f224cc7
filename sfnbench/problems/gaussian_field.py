"""A Gaussian random field by random Fourier features: the landscape of Bray and Dean."""

import functools
import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from ..core.constant import constant
from ..core.fields import Count, Index, NonNegative, Positive
from ..core.problem import CriticalPoint, Problem
from ..members.registry import register
from ..theory.landscapes import GaussianLandscape
from ._starts import on_sphere

# a dimension, by default: the spectrum's fourth free cumulant is then 1.5 / 256
FEATURES = 256
# a dimension: with fewer, the Hessian is visibly a Wishart matrix, whatever the field should be
FEWEST_FEATURES = 20
# standard deviation of a start's coordinates without a parabola: two starts are then independent
WIDEST_BOWL = 3.0

FEATURES_A_BLOCK = 2048  # features


@register("gaussian_field")
@dataclass(frozen=True, kw_only=True)
class GaussianField(Problem):
    """A Gaussian random field: theory knows the index and the spectrum of its critical points.

        L(x) = V(x) + mu |x|^2 / 2,    <V(x) V(y)> = N f(|x - y|^2 / 2N)
        V(x) = sqrt(2N / K) sum_k cos(w_k . x + b_k),    mu = parabola sqrt(f''(0))

    with w_k ~ N(0, s_k I / N) and b_k uniform on a circle.

    Fields: `dim` N; `covariance` exponential, f(u) = exp(-u) with s = 1, or rational, f(u) = 1 / (1
    + u) with s ~ Exp(1); `features` K, None for 256 N and at least 20 N, for K / N decides how near
    the Hessian is to what theory assumes; `parabola` m: 0 for the field alone, in (0, 1) for exp(N
    ((m^2 - 1) / 2 - ln m)) critical points on average, from 1 on for a single minimum;
    `realization` which field; `planted` makes 0 a critical point, by conditioning the field on a
    vanishing gradient there, for a race to start at `radius` from; `escape_drop` the fall of the
    loss that counts as escaped. Without `planted` starts are normal, as wide as the critical points
    lie.

    The measure `energy` is V / N. Its theory, index and number of critical points included, is in
    `sfnbench.theory.landscapes.GaussianLandscape`. Cost of a loss: 2 K N flop and K cosines; of a
    Hessian 2 K N^2 flop. References: Bray, Dean 2007 (PRL 98, 150201); Fyodorov 2004 (PRL 92,
    240601); Rahimi, Recht 2007 for the features.

    >>> GaussianField(dim=10, parabola=0.5).theory.complexity > 0
    True
    """

    measures = ("energy",)

    dim: Count = 16
    covariance: Literal["exponential", "rational"] = "exponential"
    features: Count | None = None
    parabola: NonNegative = 0.0
    realization: Index = 0
    planted: bool = False
    radius: Positive = 1e-3
    escape_drop: Positive = 1.0

    def __post_init__(self) -> None:
        if self.n_features < FEWEST_FEATURES * self.dim:
            raise ValueError(
                f"features = {self.features} are too few for dim = {self.dim}: the Hessian's"
                f" spectrum is a semicircle only for many more features than dimensions; give"
                f" {FEWEST_FEATURES * self.dim} or more, or null for {FEATURES * self.dim}"
            )

    @property
    def n_features(self) -> int:
        """K."""
        return self.features or FEATURES * self.dim

    @functools.cached_property
    def theory(self) -> GaussianLandscape:
        """Its theory."""
        return GaussianLandscape.of(self.covariance, self.parabola)

    @property
    def stiffness(self) -> float:
        """mu, the curvature of the parabola."""
        return self.parabola * math.sqrt(self.theory.curvature)

    @functools.cached_property
    def saddle(self) -> CriticalPoint | None:
        """The planted critical point 0, unless it is a minimum; its index by its Hessian."""
        known = self.critical_points
        return known[0] if known and known[0].index else None

    @functools.cached_property
    def critical_points(self) -> tuple[CriticalPoint, ...]:
        """The planted one."""
        if not self.planted:
            return ()
        origin = torch.zeros(self.dim, dtype=torch.float64)
        index = int((torch.linalg.eigvalsh(self.hessian(origin, None)) < 0).sum())
        return (CriticalPoint(origin, float(self.loss(origin, None)), index),)

    def start(self, rng: torch.Generator) -> Tensor:
        """A point at `radius` from the planted one, or normal, as wide as critical points lie."""
        if self.planted:
            return on_sphere(self.dim, self.radius, rng)
        # where the gradient vanishes, mu x = -grad V, and a component of grad V has variance -f'
        width = (
            min(WIDEST_BOWL, math.sqrt(-self.theory.slope) / self.stiffness)
            if self.parabola
            else WIDEST_BOWL
        )
        return width * torch.randn(self.dim, generator=rng, dtype=torch.float64)

    def loss(self, theta: Tensor, batch: None) -> Tensor:
        """The field and its parabola, ()."""
        return self.dim * self.energy(theta) + self.stiffness / 2 * (theta @ theta)

    def energy(self, theta: Tensor) -> Tensor:
        """V / N, ()."""
        w, b, slope = self.waves(theta)
        field = self.amplitude * torch.cos(w @ theta + b).sum()
        if self.planted:
            # Cov(V(x), grad V(0)) Cov(grad V(0))^-1 grad V(0), which is what a vanishing gradient
            # at 0 takes away
            field = field - self._profile(theta)[0] * (slope @ theta)
        return field / self.dim

    def hessian(self, theta: Tensor, batch: None) -> Tensor:
        """The closed form (N, N)."""
        w, b, slope = self.waves(theta)
        identity = torch.eye(self.dim, dtype=theta.dtype, device=theta.device)
        curvature = -self.amplitude * torch.cos(w @ theta + b)
        H = self.stiffness * identity
        # blocks of this size fit the cache
        blocks = zip(
            w.split(FEATURES_A_BLOCK),
            curvature.split(FEATURES_A_BLOCK),
            strict=True,
        )
        for rows, weights in blocks:
            H = H + rows.mT @ (weights[:, None] * rows)
        if self.planted:
            _, first, second = self._profile(theta)
            along, x = slope @ theta, theta / self.dim
            cross = slope[:, None] * x
            H = H - first * (cross + cross.mT + along / self.dim * identity)
            H = H - second * along * x[:, None] * x
        return H

    @property
    def amplitude(self) -> float:
        """The amplitude of each wave: sqrt(2 N / K)."""
        return math.sqrt(2 * self.dim / self.n_features)

    def _profile(self, theta: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """f'(u) / f'(0) at u = |theta|^2 / 2N, and its first and second derivative in u."""
        u = (theta @ theta) / (2 * self.dim)
        if self.covariance == "exponential":
            decay = torch.exp(-u)
            return decay, -decay, decay
        return (1 + u) ** -2, -2 * (1 + u) ** -3, 6 * (1 + u) ** -4

    @constant
    def waves(self) -> tuple[Tensor, Tensor, Tensor]:
        """Wave vectors (K, N), phases (K,), and the gradient (N,) of their sum at 0."""
        # torch's own generator would refuse inside of vmap
        rng = np.random.default_rng(self.realization)
        K, N = self.n_features, self.dim
        w = torch.from_numpy(rng.standard_normal((K, N))) / math.sqrt(N)
        b = torch.from_numpy(rng.uniform(0, 2 * math.pi, K))
        if self.covariance == "rational":
            w = w * torch.from_numpy(rng.exponential(size=K)).sqrt()[:, None]
        return w, b, -self.amplitude * (torch.sin(b) @ w)
