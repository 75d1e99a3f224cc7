"""The kernels, each timed by pytest-benchmark: what a change must not make slower.

One thread, float64 but for products.

`make bench-keep` before a change, `make bench-guard` after it, on the same quiet machine: the
latter fails where the fastest round of any kernel takes a quarter longer than it did."""

import pytest
import torch

from sfnbench.core.oracle import Oracle
from sfnbench.linalg.absolute import directions, newton_directions
from sfnbench.linalg.lanczos import lanczos
from sfnbench.members import registry
from sfnbench.problems.autoencoder import Autoencoder
from sfnbench.problems.mlp import MultilayerPerceptron
from sfnbench.problems.rnn import RecurrentNetwork

SMALL = MultilayerPerceptron(hidden=(10,))  # 760 parameters, all of digits
LARGE = {
    "mlp": MultilayerPerceptron(hidden=(64, 32)),
    "autoencoder": Autoencoder(size=None, n_examples=1000, hidden=(64, 32, 12)),
    "rnn": RecurrentNetwork(n_characters=4001, n_units=32, length=20),
}


def start(problem, dtype=torch.float64):
    return problem.start(torch.Generator().manual_seed(0)).to(dtype)


@pytest.mark.parametrize("name", LARGE)
def test_gradient(benchmark, name):
    theta = start(LARGE[name], torch.float32)
    benchmark(lambda: Oracle(LARGE[name], eager=True).grad(theta))


@pytest.mark.parametrize("kind", ["hessian", "gauss_newton", "fisher"])
@pytest.mark.parametrize("name", LARGE)
def test_product(benchmark, name, kind):
    theta = start(LARGE[name], torch.float32)
    benchmark(
        Oracle(LARGE[name], eager=True).curvature(theta, kind).hvp,
        torch.ones_like(theta),
    )


@pytest.mark.parametrize("name", LARGE)
def test_lanczos(benchmark, name):
    linear = Oracle(LARGE[name], eager=True).curvature(
        start(LARGE[name], torch.float32)
    )
    benchmark(lanczos, linear.hvp, linear.grad, 20)


def test_dense_hessian(benchmark):
    benchmark(SMALL.hessian, start(SMALL), None)


def test_absolute_inverse(benchmark):
    theta = start(SMALL)
    H, g = SMALL.hessian(theta, None), Oracle(SMALL).grad(theta)
    benchmark(lambda: directions(g, H, torch.abs)(0.1))


@pytest.mark.parametrize("way", ["solve", "eigenbasis"])
def test_newton_direction(benchmark, way):
    theta = start(SMALL)
    H, g = SMALL.hessian(theta, None), Oracle(SMALL).grad(theta)
    if way == "solve":
        benchmark(newton_directions, g, H, (0.1,))
    else:
        benchmark(lambda: directions(g, H, torch.clone)(0.1))


@pytest.mark.parametrize("name", sorted(registry.members("optimizer")))
def test_step(benchmark, name):
    optimizer, theta = registry.build("optimizer", name, {}), start(SMALL)
    noise = torch.ones(optimizer.n_noise, SMALL.dim, dtype=theta.dtype)
    state = optimizer.init(theta)
    batches = (None,) * len(optimizer.batch_sizes)
    benchmark(
        lambda: optimizer.step(
            Oracle(SMALL, batches, noise, eager=True), theta, state
        )
    )
