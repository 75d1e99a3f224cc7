"""Index, spectrum and number of critical points of random landscapes in high dimension, by theory.

Numpy alone, so that figures can draw the curves without torch. An energy is per dimension, e = loss
/ N. The spectrum of a critical point is a semicircle whose centre is a function of its energy; the
part of it below zero is the index.

>>> GaussianLandscape.of("exponential").alpha(0.0).item()
0.5
>>> round(SpinGlassLandscape(3).threshold_energy, 5)
-1.63299
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import Floats

# f at 0, its slope and its curvature, for the field's covariance N f(|x - y|^2 / 2N)
COVARIANCES = {
    "exponential": (1.0, -1.0, 1.0),  # exp(-u)
    "rational": (1.0, -1.0, 2.0),  # 1 / (1 + u)
}


def semicircle_density(x: ArrayLike, centre: float, radius: float) -> Floats:
    """Wigner's semicircle: the density at x, of any shape, of eigenvalues round `centre`."""
    t = (np.asarray(x, dtype=float) - centre) / radius
    return 2 / (math.pi * radius) * np.sqrt(np.clip(1 - t**2, 0, None))


def semicircle_below_zero(centre: ArrayLike, radius: float) -> Floats:
    """The negative share of a semicircle: 1/2 + (arcsin t + t sqrt(1 - t^2)) / pi.

    t = -centre / radius; the shape is that of `centre`.
    """
    t = np.clip(-np.asarray(centre, dtype=float) / radius, -1, 1)
    return 0.5 + (np.arcsin(t) + t * np.sqrt(1 - t**2)) / math.pi


class Landscape(ABC):
    """A random landscape whose critical points have semicircles for spectra."""

    @property
    @abstractmethod
    def radius(self) -> float:
        """Half the width of the spectrum; its standard deviation is half of that again."""

    @abstractmethod
    def centre(self, energy: ArrayLike) -> Floats:
        """The centre of the spectrum at typical critical points, shaped as `energy`."""

    @property
    def wandering(self) -> float:
        """The variance of the centre at one energy, times n, before |det H| weighs it."""
        return 0.0

    def centre_spread(self, n: int) -> float:
        """The standard deviation of a spectrum's mean at one energy in n dimensions.

        It is a property of the points: no search makes it smaller.

        sqrt(w / (1 - n w / 2s)), w = wandering / n + 2s / n^2: the centre's variance and that of a
        GOE matrix's own trace, s = radius^2 / 4. The denominator is what |det H| adds inside the
        radius, to leading order in n; beyond it the spread is smaller.
        """
        s = self.radius**2 / 4
        w = self.wandering / n + 2 * s / n**2
        return math.sqrt(w / (1 - n * w / (2 * s)))

    def alpha(self, energy: ArrayLike) -> Floats:
        """The share of negative eigenvalues at typical critical points, shaped as `energy`."""
        return semicircle_below_zero(self.centre(energy), self.radius)


@dataclass(frozen=True)
class GaussianLandscape(Landscape):
    """A Gaussian field V with covariance N f(|x - y|^2 / 2N), in a bowl: V(x) + mu |x|^2 / 2.

    Fields: `f`, `slope` f' and `curvature` f'' at 0; `parabola` m = mu / sqrt(f''), in units of the
    curvature that leaves a single minimum. By Kac and Rice, H at a point with V = N e is a GOE
    matrix of radius 2 sqrt(f'') plus c I with c ~ N(mu + e f'/f, (f'' - f'^2/f) / N), and counting
    critical points weighs it by |det H|, which moves the typical c to

        c = (mu + e f'/f) 2 f'' / (f'' + f'^2/f).

    ValueError for numbers that no field has: f > 0 > f' and f f'' >= f'^2 are what a covariance in
    all dimensions obeys. References: Bray, Dean 2007 (PRL 98, 150201); Fyodorov 2004 (PRL 92,
    240601); Fyodorov, Williams 2007.
    """

    f: float = 1.0
    slope: float = -1.0
    curvature: float = 1.0
    parabola: float = 0.0

    def __post_init__(self) -> None:
        f, slope, curvature = self.f, self.slope, self.curvature
        if not (
            f > 0 > slope
            and f * curvature >= slope**2
            and math.isfinite(f * curvature)
        ):
            raise ValueError(
                f"no Gaussian field has f = {f:g}, f' = {slope:g}, f'' = {curvature:g}: "
                f"need f > 0 > f' and f f'' >= f'^2"
            )
        if not 0 <= self.parabola < math.inf:
            raise ValueError(
                f"parabola must be finite and not negative, got {self.parabola:g}"
            )

    @classmethod
    def of(cls, covariance: str, parabola: float = 0.0) -> GaussianLandscape:
        """The field with one of the `COVARIANCES`."""
        return cls(*COVARIANCES[covariance], parabola)

    @property
    def radius(self) -> float:
        """2 sqrt(f'')."""
        return 2 * math.sqrt(self.curvature)

    def centre(self, energy: ArrayLike) -> Floats:
        """The typical centre at field energy V / N.

        Beyond the radius all critical points are minima, or all are maxima.
        """
        field = np.asarray(energy, dtype=float) * self.slope / self.f
        bare = self.parabola * math.sqrt(self.curvature) + field
        # c - bare = 2 k d/dc of the semicircle's mean ln|lambda|, which is c inside of R and c -
        # sqrt(c^2 - R^2) beyond
        k, R = (1 - self.slope**2 / (self.f * self.curvature)) / 2, self.radius
        root = np.sqrt(np.clip(bare**2 - (1 - 2 * k) * R**2, 0, None))
        beyond = np.sign(bare) * ((1 - k) * np.abs(bare) - k * root) / (1 - 2 * k)
        return np.where(np.abs(bare) < (1 - k) * R, bare / (1 - k), beyond)

    @property
    def wandering(self) -> float:
        """That of c: f'' - f'^2 / f."""
        return self.curvature - self.slope**2 / self.f

    @property
    def complexity(self) -> float:
        """The limit of ln(number of critical points) / N: (m^2 - 1) / 2 - ln m, 0 from m = 1."""
        m = min(self.parabola, 1.0)
        return (m**2 - 1) / 2 - math.log(m) if m else math.inf

    @property
    def complexity_of_minima(self) -> float:
        """The limit of ln(number of minima) / N: (4 m - 3 - m^2) / 2 - ln m, 0 from m = 1."""
        m = min(self.parabola, 1.0)
        if m:
            return (4 * m - 3 - m**2) / 2 - math.log(m)
        return math.inf


@dataclass(frozen=True)
class SpinGlassLandscape(Landscape):
    """The spherical p-spin glass.

        loss / N = N^-(p+1)/2 sum J_i...k s_i ... s_k    on |s|^2 = N, J standard normal

    Its Hessian on the sphere at energy e is a GOE matrix of radius 2 sqrt(p (p - 1)) minus p e I,
    exactly at every point. References: Auffinger, Ben Arous, Cerny 2013, theorems 2.5 and 2.8;
    Choromanska et al. 2015.
    """

    p: int = 3

    def __post_init__(self) -> None:
        if self.p < 3:
            raise ValueError(
                f"p must be at least 3, got {self.p}: "
                f"for p = 2 the critical points are 2 N eigenvectors"
            )

    @property
    def radius(self) -> float:
        """2 sqrt(p (p - 1))."""
        return 2 * math.sqrt(self.p * (self.p - 1))

    def centre(self, energy: ArrayLike) -> Floats:
        """-p e."""
        return -self.p * np.asarray(energy, dtype=float)

    @property
    def threshold_energy(self) -> float:
        """-E_inf = -2 sqrt((p - 1) / p): minima are typical below, saddles of high index above."""
        return -2 * math.sqrt((self.p - 1) / self.p)

    def complexity(self, energy: float, index: int | None = None) -> float:
        """The limit of ln(number of critical points near energy e <= 0) / N, of one index or any.

        For any index: ln(p - 1) / 2 - e^2 (p - 2) / (4 (p - 1)), minus I(e) below the threshold;
        for index k minus (k + 1) I(e). I(e) is 2 / E_inf^2 times the integral of
        sqrt(z^2 - E_inf^2) from E_inf to |e|. Above the threshold there are none of one index:
        minus infinity.
        """
        u, edge, p = abs(energy), -self.threshold_energy, self.p
        total = math.log(p - 1) / 2 - u**2 * (p - 2) / (4 * (p - 1))
        if u <= edge:
            return total if index is None else -math.inf
        root = math.sqrt(u**2 - edge**2)
        barrier = (u * root - edge**2 * math.log((u + root) / edge)) / edge**2
        return total - barrier * (1 if index is None else index + 1)

    def lowest_energy(self, index: int = 0) -> float:
        """-E_k, below which no critical point has this index; for index 0 the ground state."""
        from scipy.optimize import brentq

        def excess(u: float) -> float:
            return self.complexity(-u, index)

        edge = -self.threshold_energy
        return -float(brentq(excess, edge * (1 + 1e-12), 2 * edge, xtol=1e-12))


THEORIES = {
    "gaussian_field": lambda params: GaussianLandscape.of(
        params["covariance"], params["parabola"]
    ),
    "spin_glass": lambda params: SpinGlassLandscape(params["p"]),
}


def theory_of(problem: str, params: Mapping[str, Any]) -> Landscape | None:
    """The theory of a problem, by its registry name and parameters; None where there is none."""
    if problem in THEORIES:
        return THEORIES[problem](params)
    return None
