"""The spherical spin glass.

Its energy by the sum over couplings, its Hessian on the sphere, its planted point.
"""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sfnbench.members.contract import problems as contract
from sfnbench.problems.spin_glass import SphericalSpinGlass


def normal(*shape, seed=0):
    return torch.randn(
        *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )


def test_the_energy_is_the_sum_over_all_couplings():
    problem = SphericalSpinGlass(dim=5, realization=2)
    J = torch.from_numpy(np.random.default_rng(2).standard_normal((5, 5, 5)))
    s = normal(5)
    s = s * math.sqrt(5) / s.norm()
    by_sum = torch.einsum("ijk,i,j,k->", J, s, s, s) / 5**2
    # s may have whatever length
    torch.testing.assert_close(problem.energy(3.7 * s), by_sum)
    torch.testing.assert_close(problem.loss(s, None), 5 * by_sum)


@pytest.mark.parametrize("p", [3, 4])
@pytest.mark.parametrize("planted", [False, True])
def test_the_hessian_in_closed_form(p, planted):
    problem = SphericalSpinGlass(dim=6, p=p, planted=planted)
    theta = 1.3 * normal(6, seed=1)
    by_differentiation = torch.func.hessian(lambda t: problem.loss(t, None))(theta)
    torch.testing.assert_close(
        problem.hessian(theta, None), by_differentiation, rtol=1e-9, atol=1e-9
    )


@given(seed=st.integers(0, 999))
def test_the_multiplier_is_p_times_the_energy(seed):
    problem = SphericalSpinGlass(dim=8)
    theta = normal(8, seed=seed)
    assert float(problem.multiplier(theta)) == pytest.approx(
        3 * float(problem.energy(theta)), abs=1e-12
    )


def test_on_the_sphere_the_hessian_is_the_projected_one_less_the_multiplier():
    problem = SphericalSpinGlass(dim=7)
    theta = normal(7, seed=3)
    theta = theta * math.sqrt(7) / theta.norm()
    (T,) = problem.couplings(theta)
    basis = problem.tangent(theta)
    flat = torch.func.hessian(lambda s: T @ s @ s @ s)(theta)
    expected = basis.mT @ flat @ basis - problem.multiplier(theta) * torch.eye(
        6, dtype=torch.float64
    )
    torch.testing.assert_close(
        basis.mT @ problem.hessian(theta, None) @ basis,
        expected,
        rtol=1e-10,
        atol=1e-10,
    )


def test_the_tangent_is_an_orthonormal_complement():
    theta = normal(9)
    basis = SphericalSpinGlass(dim=9).tangent(theta)
    torch.testing.assert_close(basis.mT @ basis, torch.eye(8, dtype=torch.float64))
    assert (theta @ basis).abs().max() < 1e-13


@pytest.mark.parametrize("p", [3, 4])
def test_a_planted_critical_point(p):
    problem = SphericalSpinGlass(dim=10, p=p, planted=True)
    contract.critical_points_are_known(problem)
    contract.escape_is_well_defined(problem)
    theta = problem.critical_points[0].point
    along = torch.ones(10, dtype=torch.float64) / math.sqrt(10)
    # the length's own curvature is 1
    torch.testing.assert_close(problem.hessian(theta, None) @ along, along)
    assert (
        problem.start(torch.Generator().manual_seed(0)) - theta
    ).norm() == pytest.approx(problem.radius)


def test_the_variance_of_the_energy():
    """Var H = N, against its standard error."""
    n = 2000
    energies = torch.stack(
        [
            SphericalSpinGlass(dim=4, realization=r).loss(
                torch.ones(4).double(), None
            )
            for r in range(n)
        ]
    )
    squares = energies.square()
    assert abs(float(squares.mean()) - 4) < 4 * float(squares.std()) / math.sqrt(n)


def test_too_many_couplings():
    with pytest.raises(
        ValueError,
        match="dim = 500 with p = 3 has 500\\^3 couplings, more than 67108864",
    ):
        SphericalSpinGlass(dim=500)
