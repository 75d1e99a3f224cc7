"""The noisy saddle: on all examples the plain one; gradient descent on it is linear."""

import math

import pytest
import torch

from sfnbench.members import registry


def problem(**params):
    return registry.build("problem", "noisy_saddle", params)


def path(noise, radius, lr=0.2, steps=30):
    """The points of gradient descent with a batch of one."""
    saddle = problem(eigenvalues=[1.0, 1.0, -0.1], noise=noise, radius=radius)
    theta = saddle.start(torch.Generator().manual_seed(1))
    rng = torch.Generator().manual_seed(2)
    points = [theta]
    for _ in range(steps):
        batch = saddle.draw(rng, 1)
        slope = torch.func.grad(lambda t, b=batch: saddle.loss(t, b))(points[-1])
        points.append(points[-1] - lr * slope)
    return torch.stack(points)


def test_on_all_examples_there_is_no_noise():
    saddle = problem(eigenvalues=[1.0, 2.0, -0.5], noise=3.0)
    theta = torch.tensor([1.0, -2.0, 4.0], dtype=torch.float64)
    assert saddle.loss(theta, None).item() == pytest.approx(0.5 + 4.0 - 4.0)
    everything = torch.arange(saddle.population)
    assert saddle.loss(theta, everything).item() == pytest.approx(0.5)
    slopes = saddle.slopes(theta)
    assert slopes.std(0).numpy() == pytest.approx(1.0, abs=4 / math.sqrt(2 * 1024))


def test_the_hessian_is_that_of_autograd_on_a_batch():
    saddle = problem(eigenvalues=[1.0, -0.5])
    theta, batch = torch.ones(2, dtype=torch.float64), torch.tensor([3, 5])
    slow = torch.func.hessian(lambda t: saddle.loss(t, batch))(theta)
    assert torch.equal(saddle.hessian(theta, batch), slow)


def test_half_the_noise_at_half_the_distance_is_half_the_path():
    assert torch.allclose(path(1.0, 0.1), 2 * path(0.5, 0.05), rtol=1e-12)


def test_a_spectrum_without_a_way_down_is_refused():
    with pytest.raises(ValueError, match="one of the eigenvalues must be negative"):
        problem(eigenvalues=[1.0, 2.0])
