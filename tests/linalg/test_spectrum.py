"""Spectral densities against full diagonalisation."""

import pytest
import torch

from sfnbench.linalg.spectrum import lanczos_quadrature


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def wigner(d):
    """A matrix of the Gaussian orthogonal ensemble whose spectrum is the semicircle on [-2, 2]."""
    A = torch.randn(d, d, generator=rng(4), dtype=torch.float64)
    return (A + A.mT) / (2 * d) ** 0.5


def test_moments_are_the_traces_within_the_spread_of_the_probes():
    H = wigner(400)
    rule = lanczos_quadrature(
        lambda v: H @ v, torch.zeros(400, dtype=torch.float64), 12, 20, rng()
    )
    torch.testing.assert_close(
        rule.weights.sum(1), torch.ones(20, dtype=torch.float64)
    )
    eigenvalues = torch.linalg.eigvalsh(H)
    for power in range(5):
        f = eigenvalues**power
        # the deviation of a normal probe's quadratic form, d times over, 20 probes
        spread = (2 * (f**2).mean() / (20 * 400)).sqrt()
        assert abs(rule.mean(rule.nodes**power) - f.mean()) < 5 * spread + 1e-12


def test_the_density_is_that_of_the_smoothed_spectrum():
    H = wigner(400)
    rule = lanczos_quadrature(
        lambda v: H @ v, torch.zeros(400, dtype=torch.float64), 60, 30, rng()
    )
    grid = torch.linspace(-4, 4, 400, dtype=torch.float64)
    width = 0.25
    density = rule.density(grid, width)
    assert torch.trapezoid(density, grid).item() == pytest.approx(1, abs=1e-6)
    bumps = torch.exp(
        -(((grid[:, None] - torch.linalg.eigvalsh(H)) / width) ** 2) / 2
    )
    truth = bumps.mean(1) / (width * (2 * torch.pi) ** 0.5)
    assert (density - truth).abs().max() < 0.02  # a semicircle's height is 0.32


def test_more_products_than_dimensions_are_the_whole_spectrum():
    H = torch.diag(torch.tensor([1.0, 2.0, 5.0], dtype=torch.float64))
    rule = lanczos_quadrature(
        lambda v: H @ v, torch.zeros(3, dtype=torch.float64), 9, 4, rng()
    )
    torch.testing.assert_close(
        rule.nodes,
        torch.tensor([[1.0, 2.0, 5.0]] * 4, dtype=torch.float64),
        rtol=1e-9,
        atol=0,
    )
