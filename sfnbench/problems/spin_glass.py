"""The spherical p-spin glass."""

import functools
import itertools
import math
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from annotated_types import Ge
from torch import Tensor

from ..core.constant import constant
from ..core.fields import Index, Positive
from ..core.problem import CriticalPoint, Problem
from ..members.registry import register
from ..theory.landscapes import SpinGlassLandscape
from ._starts import on_sphere

MOST_COUPLINGS = 2**26  # half a gigabyte of them


@register("spin_glass")
@dataclass(frozen=True, kw_only=True)
class SphericalSpinGlass(Problem):
    """The spherical p-spin glass: random couplings on a sphere, critical energies layered by index.

        H(s) = N^-(p-1)/2 sum J_i...k s_i ... s_k,    J_i...k ~ N(0, 1),    |s|^2 = N
        L(theta) = H(s) + (|theta|^2 - N)^2 / 8N,    s = sqrt(N) theta / |theta|

    H does not see the length of theta, so the second term only holds it: critical points have
    |theta|^2 = N exactly, the loss N E there, and beside the N - 1 eigenvalues of the sphere's own
    Hessian one of 1, along theta. `tangent` leaves that direction out of spectra.

    Fields: `dim` N and `p`, with at most 2^26 couplings N^p; `realization` which couplings;
    `planted` makes a stated point critical, by conditioning H on it, for a race to start at
    `radius` from; `escape_drop` the fall of the loss that counts as escaped. Without `planted`
    starts are uniform on the sphere.

    The measure `energy` is E = H / N, and `multiplier` the Lagrange multiplier s . grad H / N,
    which is p E by Euler. The theory is in `sfnbench.theory.landscapes.SpinGlassLandscape`. Cost of
    a loss: 2 N^p flop. References: Choromanska et al. 2015; Auffinger, Ben Arous, Cerny 2013.

    >>> SphericalSpinGlass(dim=10, p=4).theory.radius == 2 * 12**0.5
    True
    """

    measures = ("energy", "multiplier")

    dim: Annotated[int, Ge(3)] = 12
    p: Annotated[int, Ge(3)] = 3
    realization: Index = 0
    planted: bool = False
    radius: Positive = 1e-3
    escape_drop: Positive = 1.0

    def __post_init__(self) -> None:
        # in logarithms: the power itself may have millions of digits
        if self.p * math.log(self.dim) > math.log(MOST_COUPLINGS) + 1e-9:
            raise ValueError(
                f"dim = {self.dim} with p = {self.p} has {self.dim}^{self.p} couplings, "
                f"more than {MOST_COUPLINGS}"
            )

    @functools.cached_property
    def theory(self) -> SpinGlassLandscape:
        """Its theory."""
        return SpinGlassLandscape(self.p)

    @functools.cached_property
    def critical_points(self) -> tuple[CriticalPoint, ...]:
        """The planted one."""
        if not self.planted:
            return ()
        point = torch.ones(self.dim, dtype=torch.float64)
        index = int((torch.linalg.eigvalsh(self.hessian(point, None)) < 0).sum())
        return (CriticalPoint(point, float(self.loss(point, None)), index),)

    @functools.cached_property
    def saddle(self) -> CriticalPoint | None:
        """The planted critical point, unless it is a minimum; its index by its Hessian."""
        known = self.critical_points
        return known[0] if known and known[0].index else None

    def start(self, rng: torch.Generator) -> Tensor:
        """A point at `radius` from the planted critical point, or uniform on the sphere."""
        if self.planted:
            return self.critical_points[0].point + on_sphere(
                self.dim, self.radius, rng
            )
        return on_sphere(self.dim, math.sqrt(self.dim), rng)

    def tangent(self, theta: Tensor) -> Tensor:
        """An orthonormal basis (N, N - 1) of the sphere's directions at theta."""
        return torch.linalg.qr(theta[:, None], mode="complete").Q[:, 1:]

    def loss(self, theta: Tensor, batch: None) -> Tensor:
        """N E and what holds the length, ()."""
        excess = theta @ theta - self.dim
        return self.dim * self.energy(theta) + excess**2 / (8 * self.dim)

    def energy(self, theta: Tensor) -> Tensor:
        """E, ()."""
        return self._contracted(self._on_sphere(theta), self.p) / self.dim

    def multiplier(self, theta: Tensor) -> Tensor:
        """The Lagrange multiplier s . grad H / N, (), by differentiating H freely."""
        s = self._on_sphere(theta)
        gradient: Tensor = torch.func.grad(lambda s: self._contracted(s, self.p))(s)
        return s @ gradient / self.dim

    def hessian(self, theta: Tensor, batch: None) -> Tensor:
        """The closed form (N, N), at any length of theta."""
        N, p, s = self.dim, self.p, self._on_sphere(theta)
        identity = torch.eye(N, dtype=theta.dtype, device=theta.device)
        bilinear = self._contracted(s, p - 2)  # J with s in all places but two
        g, H = p * (bilinear @ s), p * (p - 1) * bilinear
        n, length = s / math.sqrt(N), theta.norm()
        P = identity - n[:, None] * n
        cross = n[:, None] * (P @ g)
        stretch = math.sqrt(N) / length
        sphere = stretch**2 * (P @ H @ P) - stretch / length * (
            (n @ g) * P + cross + cross.mT
        )
        return (
            sphere
            + ((theta @ theta - N) * identity / 2 + theta[:, None] * theta) / N
        )

    def _on_sphere(self, theta: Tensor) -> Tensor:
        return theta * (math.sqrt(self.dim) / theta.norm())

    def _contracted(self, s: Tensor, times: int) -> Tensor:
        """The couplings with s in so many of their places."""
        (part,) = self.couplings(s)
        for _ in range(times):
            part = part @ s
        return part

    @constant
    def couplings(self) -> tuple[Tensor]:
        """The symmetric couplings, p times N, factor included."""
        N, p = self.dim, self.p
        # torch's own generator would refuse inside of vmap
        rng = np.random.default_rng(self.realization)
        J = torch.from_numpy(rng.standard_normal((N,) * p)) / N ** ((p - 1) / 2)
        if self.planted:
            J = J - self._planting(_symmetric(J))
        return (_symmetric(J),)

    def _planting(self, J: Tensor) -> Tensor:
        """The part of J that makes H's slope at s = (1, ..., 1), as conditioning removes it."""
        s = torch.ones(self.dim, dtype=torch.float64)
        for _ in range(self.p - 1):
            J = J @ s
        slope = self.p * (J - J.mean())
        expanded = slope.reshape(-1, *[1] * (self.p - 1)).expand(
            (self.dim,) * self.p
        )
        return expanded / self.dim ** (self.p - 1)


def _symmetric(J: Tensor) -> Tensor:
    orders = list(itertools.permutations(range(J.dim())))
    return sum((J.permute(order) for order in orders), torch.zeros_like(J)) / len(
        orders
    )
