"""The Gaussian field: its covariance over realisations, its derivatives, and its semicircle."""

import math

import pytest
import torch

from sfnbench.members.contract import problems as contract
from sfnbench.problems.gaussian_field import GaussianField


def normal(*shape, seed=0):
    return torch.randn(
        *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )


@pytest.mark.parametrize(
    ("covariance", "f"),
    [("exponential", lambda u: math.exp(-u)), ("rational", lambda u: 1 / (1 + u))],
)
def test_the_covariance_over_realisations(covariance, f):
    """Against its standard error, from 4,000 fields."""
    n, dim = 4000, 4
    points = torch.stack(
        [
            torch.zeros(dim, dtype=torch.float64),
            normal(dim, seed=1),
            1.5 * normal(dim, seed=2),
        ]
    )
    fields = [
        GaussianField(dim=dim, features=80, covariance=covariance, realization=r)
        for r in range(n)
    ]
    # values: (n, 3)
    values = torch.stack(
        [torch.stack([field.loss(x, None) for x in points]) for field in fields]
    )
    for i in range(3):
        for j in range(3):
            products = values[:, i] * values[:, j]
            u = float((points[i] - points[j]).square().sum()) / (2 * dim)
            assert abs(float(products.mean()) - dim * f(u)) < 4 * float(
                products.std()
            ) / math.sqrt(n)


@pytest.mark.parametrize("covariance", ["exponential", "rational"])
@pytest.mark.parametrize("parabola", [0.0, 0.4])
def test_the_hessian_in_closed_form(covariance, parabola):
    for planted in (False, True):
        problem = GaussianField(
            dim=5,
            covariance=covariance,
            parabola=parabola,
            planted=planted,
            realization=3,
        )
        x = normal(5, seed=4)
        by_differentiation = torch.func.hessian(
            lambda t, problem=problem: problem.loss(t, None)
        )(x)
        torch.testing.assert_close(
            problem.hessian(x, None), by_differentiation, rtol=1e-10, atol=1e-10
        )


@pytest.mark.parametrize("covariance", ["exponential", "rational"])
def test_a_planted_critical_point(covariance):
    problem = GaussianField(
        dim=16, covariance=covariance, parabola=0.3, planted=True
    )
    contract.critical_points_are_known(problem)
    contract.escape_is_well_defined(problem)
    assert problem.saddle.index == problem.critical_points[0].index > 0
    assert (
        problem.start(torch.Generator().manual_seed(0))
    ).norm() == pytest.approx(problem.radius)


def test_planting_leaves_the_law_of_the_rest():
    """Conditioned on no gradient at 0, the field's variance at x is N f(0) - N u f'(u)^2 2
    / |f'(0)| with u = |x|^2 / 2N."""
    n, dim = 3000, 3
    x = normal(dim, seed=5)
    u = float(x.square().sum()) / (2 * dim)
    fields = [
        GaussianField(dim=dim, features=60, planted=True, realization=r)
        for r in range(n)
    ]
    squares = torch.stack([field.loss(x, None) for field in fields]).square()
    expected = dim - 2 * u * dim * math.exp(-2 * u)
    assert abs(float(squares.mean()) - expected) < 4 * float(
        squares.std()
    ) / math.sqrt(n)


@pytest.mark.parametrize("covariance", ["exponential", "rational"])
def test_the_spectrum_is_a_semicircle_not_a_wishart(covariance):
    """At random points: spread sqrt(f''), and a fourth cumulant (of the free kind) near 0."""
    problem = GaussianField(dim=64, covariance=covariance)
    spectra = torch.stack(
        [
            torch.linalg.eigvalsh(problem.hessian(3 * normal(64, seed=s), None))
            for s in range(20)
        ]
    )
    centred = spectra - spectra.mean(1, keepdim=True)
    variance = float(centred.square().mean())
    assert variance == pytest.approx(problem.theory.curvature, rel=0.05)
    # a semicircle's fourth moment is twice its variance squared
    fourth = float(centred.pow(4).mean()) / variance**2 - 2
    assert abs(fourth) < 0.2


def test_the_energy_is_the_fields_alone():
    problem = GaussianField(dim=6, parabola=0.5)
    x = normal(6)
    torch.testing.assert_close(
        problem.loss(x, None), 6 * problem.energy(x) + problem.stiffness / 2 * x @ x
    )


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"dim": 10, "features": 199},
            "features = 199 are too few for dim = 10: .* give 200 or more, or null for 2560",
        ),
        ({"parabola": -0.1}, "parabola must be finite"),
    ],
)
def test_misuse(fields, message):
    with pytest.raises(ValueError, match=message):
        GaussianField(**fields).theory  # noqa: B018
