"""The monkey saddle: exact values, derivatives and the laws of Newton steps on it."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sfnbench.problems.monkey_saddle import MonkeySaddle

radii = st.floats(1e-3, 1e2)
angles = st.floats(-math.pi, math.pi)


def polar(r, phi):
    return torch.tensor([r * math.cos(phi), r * math.sin(phi)], dtype=torch.float64)


def derivatives(problem, point):
    return torch.func.grad(lambda t: problem.loss(t, None))(point), problem.hessian(
        point, None
    )


@given(r=radii, phi=angles)
def test_in_polar_coordinates_it_is_r_cubed_cos_three_phi(r, phi):
    loss = MonkeySaddle().loss(polar(r, phi), None).item()
    assert loss == pytest.approx(r**3 * math.cos(3 * phi), abs=1e-13 * r**3)


@given(r=radii, phi=angles)
def test_hessian_is_that_of_the_loss_and_has_eigenvalues_plus_minus_six_r(r, phi):
    problem, point = MonkeySaddle(), polar(r, phi)
    _, H = derivatives(problem, point)
    torch.testing.assert_close(
        H,
        torch.func.jacrev(torch.func.grad(lambda t: problem.loss(t, None)))(point),
    )
    torch.testing.assert_close(
        torch.linalg.eigvalsh(H), torch.tensor([-6 * r, 6 * r], dtype=torch.float64)
    )


@given(r=radii, phi=angles)
def test_newton_halves_every_point(r, phi):
    point = polar(r, phi)
    g, H = derivatives(MonkeySaddle(), point)
    torch.testing.assert_close(
        point - torch.linalg.solve(H, g), point / 2, rtol=1e-12, atol=1e-14 * r
    )


@given(r=radii, phi=angles)
def test_saddle_free_newton_multiplies_the_radius_as_stated(r, phi):
    """|H| = 6 r I, so the step is g / 6 r."""
    point = polar(r, phi)
    g, H = derivatives(MonkeySaddle(), point)
    L, U = torch.linalg.eigh(H)
    after = point - U @ ((U.mT @ g) / L.abs())
    assert after.norm().item() == pytest.approx(
        r * math.sqrt(1.25 - math.cos(3 * phi)), rel=1e-12
    )


@pytest.mark.parametrize(
    ("phi", "factor"),
    [(0.0, 0.5), (math.pi / 3, 1.5), (math.pi, 1.5), (-2 * math.pi / 3, 0.5)],
)
def test_three_ways_down_and_three_ridges(phi, factor):
    point = polar(2.0, phi)
    g, _ = derivatives(MonkeySaddle(), point)
    torch.testing.assert_close(point - g / 12, factor * point)


def test_the_origin_is_critical_and_flat():
    problem = MonkeySaddle()
    g, H = derivatives(problem, problem.saddle.point)
    assert not g.any()
    assert not H.any()
    assert (problem.saddle.index, problem.saddle.loss, problem.bounded_below) == (
        0,
        0.0,
        False,
    )


def test_start():
    rng = torch.Generator().manual_seed(0)
    assert MonkeySaddle(radius=3.0).start(rng).norm().item() == pytest.approx(3.0)
    assert MonkeySaddle(start_at=(0.5, 0.1)).start(rng).tolist() == [0.5, 0.1]
    with pytest.raises(
        ValueError, match="start_at has 3 coordinates, but the problem has 2"
    ):
        MonkeySaddle(start_at=(0.5, 0.1, 0.0))


def test_escape():
    problem = MonkeySaddle(escape_drop=8.0)
    for r, left in ((1.99, False), (2.01, True)):
        point = polar(r, math.pi)
        assert problem.escaped(point, problem.loss(point, None)).item() is left
