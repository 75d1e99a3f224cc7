"""The theory's closed forms against Kac and Rice by quadrature, and against what is known
of them."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.optimize import minimize_scalar

from sfnbench.theory.landscapes import (
    COVARIANCES,
    GaussianLandscape,
    SpinGlassLandscape,
    semicircle_below_zero,
    semicircle_density,
)

centres, radii = st.floats(-4, 4), st.floats(0.5, 4)


def log_determinant(centre, radius):
    """The semicircle's mean of ln|x|, on its angles so that the integrand's end points are
    smooth."""
    points = [math.acos(-centre / radius)] if abs(centre) < radius else None

    def integrand(angle):
        return (
            2
            / math.pi
            * math.sin(angle) ** 2
            * math.log(abs(centre + radius * math.cos(angle)) + 1e-300)
        )

    return quad(integrand, 0, math.pi, points=points, limit=200)[0]


@given(centre=centres, radius=radii)
def test_the_share_below_zero_is_the_density_integrated(centre, radius):
    low, high = centre - radius, min(centre + radius, 0.0)
    mass = (
        quad(lambda x: float(semicircle_density(x, centre, radius)), low, high)[0]
        if low < 0
        else 0.0
    )
    assert float(semicircle_below_zero(centre, radius)) == pytest.approx(
        mass, abs=1e-6
    )


@given(
    energy=st.floats(-2.5, 2.5),
    parabola=st.floats(0, 1),
    name=st.sampled_from(list(COVARIANCES)),
)
def test_the_centre_is_where_kac_and_rice_put_most_critical_points(
    energy, parabola, name
):
    """c ~ N(mu + e f'/f, (f'' - f'^2/f) / N), weighted by exp(N mean ln|lambda|)."""
    theory = GaussianLandscape.of(name, parabola)
    f, slope, curvature = COVARIANCES[name]
    bare, spread = (
        parabola * math.sqrt(curvature) + energy * slope / f,
        curvature - slope**2 / f,
    )
    if spread == 0:
        assert float(theory.centre(energy)) == pytest.approx(bare)
        return
    best = minimize_scalar(
        lambda c: (
            (c - bare) ** 2 / (2 * spread) - log_determinant(c, theory.radius)
        ),
        bounds=(-6, 6),
        method="bounded",
    )
    assert float(theory.centre(energy)) == pytest.approx(best.x, abs=2e-3)


@pytest.mark.parametrize("m", [0.2, 0.5, 0.8, 1.0])
@pytest.mark.parametrize("name", list(COVARIANCES))
def test_complexities_are_kac_and_rice_with_the_gradients_weight(m, name):
    """E|det H| over the Hessians of V + mu x^2 / 2, whose centre is N(mu, f'' / N), over mu^N.

    For minima c >= R.
    """
    theory = GaussianLandscape.of(name, m)
    curvature = COVARIANCES[name][2]
    mu = m * math.sqrt(curvature)

    def minus_rate(c):
        return (
            (c - mu) ** 2 / (2 * curvature)
            - log_determinant(c, theory.radius)
            + math.log(mu)
        )

    most = minimize_scalar(
        minus_rate, bounds=(0, theory.radius + 1), method="bounded"
    )
    assert theory.complexity == pytest.approx(-most.fun, abs=1e-5)
    assert theory.complexity_of_minima == pytest.approx(
        -minus_rate(theory.radius), abs=1e-5
    )


def test_complexities_vanish_quadratically_and_cubically():
    near, nearer = (
        GaussianLandscape.of("exponential", 0.99),
        GaussianLandscape.of("exponential", 0.999),
    )
    assert near.complexity / nearer.complexity == pytest.approx(100, rel=0.02)
    assert near.complexity_of_minima / nearer.complexity_of_minima == pytest.approx(
        1000, rel=0.02
    )
    assert GaussianLandscape.of("rational", 1.5).complexity == 0
    assert GaussianLandscape.of("rational").complexity == math.inf


@pytest.mark.parametrize("energy", [-1.5, -0.4, 0.0])
@pytest.mark.parametrize("p", [3, 4, 5])
def test_the_spin_glass_is_as_complex_as_kac_and_rice_say(p, energy):
    """ln of volume of the sphere x density of the energy x that of no gradient x E|det H|,
    over N."""
    theory = SpinGlassLandscape(p)
    volume = (1 + math.log(2 * math.pi)) / 2
    no_gradient = -math.log(2 * math.pi * p) / 2
    by_parts = (
        volume
        - energy**2 / 2
        + no_gradient
        + log_determinant(float(theory.centre(energy)), theory.radius)
    )
    assert theory.complexity(energy) == pytest.approx(by_parts, abs=1e-6)


@pytest.mark.parametrize("p", [3, 4])
def test_the_layers_of_the_spin_glass(p):
    """Auffinger, Ben Arous, Cerny: E_0 > E_1 > ...

    > E_inf; every complexity vanishes at its own layer; E_0(3) = 1.657.
    """
    theory = SpinGlassLandscape(p)
    layers = [theory.lowest_energy(k) for k in range(6)]
    assert layers == sorted(layers)
    assert layers[-1] < theory.threshold_energy
    for k, energy in enumerate(layers):
        assert theory.complexity(energy, k) == pytest.approx(0, abs=1e-9)
    assert SpinGlassLandscape(3).lowest_energy() == pytest.approx(-1.657, abs=5e-4)
    assert theory.complexity(theory.threshold_energy / 2, 0) == -math.inf


@given(energy=st.floats(-2, 2))
def test_turning_a_landscape_over_turns_its_index(energy):
    for theory in (SpinGlassLandscape(3), GaussianLandscape.of("rational")):
        assert float(theory.alpha(energy) + theory.alpha(-energy)) == pytest.approx(
            1
        )
    both = theory.alpha(np.array([energy, -energy]))
    assert both.shape == (2,)


@pytest.mark.parametrize(
    "numbers", [(1, -1, 0.5), (1, 1, 1), (-1, -1, 1), (1, -1, math.nan), (1, 0, 1)]
)
def test_numbers_that_no_field_has(numbers):
    with pytest.raises(ValueError, match="no Gaussian field has f = "):
        GaussianLandscape(*numbers)


def test_other_misuse():
    with pytest.raises(
        ValueError, match="parabola must be finite and not negative, got -1"
    ):
        GaussianLandscape(parabola=-1)
    with pytest.raises(ValueError, match="p must be at least 3, got 2"):
        SpinGlassLandscape(2)


@pytest.mark.parametrize(
    ("theory", "curvature", "variance"),
    [
        *(
            (GaussianLandscape(f, slope, curve), curve, curve - slope**2 / f)
            for f, slope, curve in COVARIANCES.values()
        ),
        (SpinGlassLandscape(3), 6, 0),
    ],
)
def test_the_centre_s_spread_is_that_of_weighed_random_matrices(
    theory, curvature, variance
):
    """Kac and Rice by sampling: GOE matrices plus c I at energy 0, each weighed by |det H|."""
    n, n_samples, rng = 24, 40_000, np.random.default_rng(0)
    G = rng.standard_normal((n_samples, n, n)) * math.sqrt(curvature / (2 * n))
    c = rng.standard_normal(n_samples) * math.sqrt(variance / n)
    H = G + G.transpose(0, 2, 1) + c[:, None, None] * np.eye(n)
    weights = np.exp((logs := np.linalg.slogdet(H)[1]) - logs.max())
    centres = H.trace(axis1=1, axis2=2) / n
    # at energy 0 their mean is 0
    measured = math.sqrt(np.average(centres**2, weights=weights))
    assert measured == pytest.approx(theory.centre_spread(n), rel=0.05)
