"""The autoencoder against torch's own modules, its starts, its measure, and what is known
of it at simple points."""

import itertools
import math
import os
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from sfnbench.core.linearise import linearise
from sfnbench.core.oracle import Oracle
from sfnbench.datasets import load
from sfnbench.problems import autoencoder
from sfnbench.problems.autoencoder import Autoencoder

SMALL = {"size": 3, "n_examples": 40}
PAPER = {
    "dataset": "mnist",
    "size": None,
    "n_examples": None,
    "hidden": (1000, 500, 250, 30),
}
FOLDER = os.environ.get("SFNBENCH_DATA")
needs_mnist = pytest.mark.skipif(
    not FOLDER or not Path(FOLDER, "mnist").is_dir(),
    reason="no SFNBENCH_DATA with MNIST in it",
)
widths = st.lists(st.integers(1, 6), min_size=1, max_size=3).map(tuple)
codes = st.sampled_from(["linear", "sigmoid"])


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(dim, seed=0):
    return torch.randn(dim, generator=rng(seed), dtype=torch.float64)


def gradient(problem, theta, batch=None):
    return torch.func.grad(lambda t: problem.loss(t, batch))(theta)


def images(**fields):
    return torch.from_numpy(load("digits", **fields).x).flatten(1)


def as_modules(problem, theta):
    """The same network of torch's modules."""
    n = problem.shapes[0][1]
    sizes = [n, *problem.hidden, *reversed(problem.hidden[:-1]), n]
    modules = []
    for place, (n_in, n_out) in enumerate(itertools.pairwise(sizes), start=1):
        modules.append(torch.nn.Linear(n_in, n_out, dtype=theta.dtype))
        if problem.code == "sigmoid" or place != len(problem.hidden):
            modules.append(torch.nn.Sigmoid())
    network = torch.nn.Sequential(*modules[:-1])
    vector_to_parameters(theta, network.parameters())
    return network


@given(
    hidden=widths,
    code=codes,
    decay=st.sampled_from([0.0, 0.1]),
    seed=st.integers(0, 9),
)
@settings(max_examples=30)
def test_loss_gradient_and_error_are_those_of_torch_modules(
    hidden, code, decay, seed
):
    problem = Autoencoder(hidden=hidden, code=code, weight_decay=decay, **SMALL)
    theta, x = normal(problem.dim, seed), images(**SMALL)
    network = as_modules(problem, theta)
    outputs = network(x)
    theirs = (
        functional.binary_cross_entropy_with_logits(outputs, x, reduction="none")
        .sum(1)
        .mean()
    )
    theirs = theirs + decay / 2 * sum(
        p.square().sum() for p in network.parameters()
    )
    theirs.backward()
    torch.testing.assert_close(
        problem.loss(theta, None), theirs.detach(), rtol=1e-12, atol=0
    )
    their_gradient = parameters_to_vector([p.grad for p in network.parameters()])
    torch.testing.assert_close(
        gradient(problem, theta), their_gradient, rtol=1e-10, atol=1e-12
    )
    error = (
        functional.mse_loss(torch.sigmoid(outputs), x, reduction="sum").detach()
        / 40
    )
    torch.testing.assert_close(
        problem.reconstruction_error(theta), error, rtol=1e-12, atol=0
    )


@pytest.mark.parametrize("eager", [True, False])
@pytest.mark.parametrize("code", ["linear", "sigmoid"])
def test_curvature_products_are_slopes_of_the_gradient(code, eager):
    problem = Autoencoder(code=code, hidden=(5, 2), weight_decay=0.1, **SMALL)
    theta, v, h = normal(problem.dim), normal(problem.dim, 1), 1e-5
    slope = (
        gradient(problem, theta + h * v) - gradient(problem, theta - h * v)
    ) / (2 * h)
    product = Oracle(problem, eager=eager).curvature(theta).hvp(v)
    torch.testing.assert_close(
        product, slope, rtol=1e-6, atol=1e-7 * product.norm().item()
    )


def test_points_and_minibatches_run_together():
    problem = Autoencoder(**SMALL)
    points = torch.stack([problem.start(rng(seed)) for seed in range(3)])
    batches = torch.stack([problem.draw(rng(seed), 7) for seed in range(3)])
    v = normal(problem.dim)

    def product(p):
        return lambda theta, batch: (
            Oracle(p, batches=(batch,)).curvature(theta).hvp(v)
        )

    alone = torch.stack(
        [product(problem)(t, b) for t, b in zip(points, batches, strict=True)]
    )
    fresh = Autoencoder(**SMALL)  # its data are first read inside vmap
    torch.testing.assert_close(
        torch.func.vmap(product(fresh))(points, batches), alone, rtol=0, atol=1e-12
    )


@given(hidden=widths, seed=st.integers(0, 9))
@settings(max_examples=20)
def test_minibatches_that_share_out_the_examples_average_to_the_full_loss(
    hidden, seed
):
    problem = Autoencoder(hidden=hidden, weight_decay=0.1, **SMALL)
    theta = normal(problem.dim, seed)
    minibatches = torch.randperm(40, generator=rng(seed)).view(5, 8)
    for f in (problem.loss, lambda t, b: gradient(problem, t, b)):
        mean = torch.stack([f(theta, minibatch) for minibatch in minibatches]).mean(
            0
        )
        torch.testing.assert_close(mean, f(theta, None), rtol=1e-12, atol=1e-13)


def test_error_does_not_depend_on_the_blocks_it_is_measured_in(monkeypatch):
    problem = Autoencoder()
    theta = problem.start(rng())
    whole = problem.reconstruction_error(theta)
    # 300 images: with a remainder
    monkeypatch.setattr(autoencoder, "EXAMPLES_A_BLOCK", 64)
    torch.testing.assert_close(
        problem.reconstruction_error(theta), whole, rtol=1e-13, atol=0
    )


def test_values_follow_the_precision_of_theta():
    problem = Autoencoder(**SMALL)
    theta = problem.start(rng())
    for f in (
        lambda t: problem.loss(t, None),
        problem.reconstruction_error,
        lambda t: gradient(problem, t),
    ):
        single = f(theta.float())
        assert single.dtype == torch.float32
        torch.testing.assert_close(single.double(), f(theta), rtol=1e-4, atol=1e-5)


# -- known answers ---------------------------------------------------------------------------------


@given(hidden=widths, code=codes)
@settings(max_examples=10)
def test_at_zero_every_pixel_is_half_grey(hidden, code):
    problem = Autoencoder(hidden=hidden, code=code, **SMALL)
    zero = torch.zeros(problem.dim, dtype=torch.float64)
    assert problem.loss(zero, None).item() == pytest.approx(
        9 * math.log(2), rel=1e-13
    )
    expected = (images(**SMALL) - 0.5).square().sum(1).mean()
    torch.testing.assert_close(
        problem.reconstruction_error(zero), expected, rtol=1e-13, atol=0
    )


def test_with_output_biases_alone_the_mean_image_is_best_and_its_error_the_variance():
    problem = Autoencoder()
    x = images(size=4, n_examples=300)
    mean = x.mean(0)
    theta = torch.zeros(problem.dim, dtype=torch.float64)
    problem.layers(theta)[-1][1].copy_(mean.logit())
    torch.testing.assert_close(
        problem.reconstruction_error(theta),
        x.var(0, correction=0).sum(),
        rtol=1e-12,
        atol=0,
    )
    entropy = torch.distributions.Bernoulli(mean).entropy().sum()
    torch.testing.assert_close(
        problem.loss(theta, None), entropy, rtol=1e-12, atol=0
    )
    assert problem.layers(gradient(problem, theta))[-1][1].abs().max() < 1e-14


def test_loss_is_finite_and_right_however_far_the_outputs_are():
    problem = Autoencoder(**SMALL)
    x = images(**SMALL).mT
    z = 1e4 * normal(360).view(9, 40)
    torch.testing.assert_close(
        problem.fit(z, None), (z.relu() - x * z).sum(0).mean(), rtol=1e-12, atol=0
    )
    slope = torch.func.grad(lambda outputs: problem.fit(outputs, None))(z)
    torch.testing.assert_close(
        slope, (torch.sigmoid(z) - x) / 40, rtol=1e-12, atol=1e-15
    )


# -- size and start --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "dim"),
    [
        (PAPER, 2_837_314),  # 784-1000-500-250-30-250-500-1000-784
        ({"size": 2, "hidden": (3,)}, 4 * 3 + 3 + 3 * 4 + 4),
        (
            {"size": 2, "hidden": (3, 2)},
            4 * 3 + 3 + 3 * 2 + 2 + 2 * 3 + 3 + 3 * 4 + 4,
        ),
    ],
)
def test_dim_counts_weights_and_biases_without_reading_data(
    fields, dim, monkeypatch
):
    monkeypatch.setattr(
        autoencoder, "load", lambda *args, **kwargs: pytest.fail("data were read")
    )
    problem = Autoencoder(**fields)
    assert problem.dim == dim
    assert problem.start(rng()).shape == (dim,)


def test_sparse_start_has_fifteen_normal_weights_coming_into_each_unit():
    problem = Autoencoder(size=8, hidden=(400, 10))
    for weights, biases in problem.layers(problem.start(rng())):
        assert not biases.any()
        n_in = weights.shape[1]
        n_incoming = min(15, n_in)  # 10 code units: all of them
        assert (weights.count_nonzero(1) == n_incoming).all()
        drawn = weights[weights != 0]
        assert abs(drawn.mean().item()) < 5 / math.sqrt(drawn.numel())
        assert abs(drawn.var().item() - 1) < 5 * math.sqrt(2 / drawn.numel())
        # the share of the units that each input is connected to is binomial
        share = n_incoming / n_in
        spread = math.sqrt(weights.shape[0] * share * (1 - share))
        assert (
            (weights.count_nonzero(0) - weights.shape[0] * share).abs()
            <= 5 * spread
        ).all()


def test_glorot_start_is_uniform_with_the_variance_of_both_fans():
    problem = Autoencoder(size=8, hidden=(200, 50), initialisation="glorot")
    for weights, biases in problem.layers(problem.start(rng())):
        assert not biases.any()
        bound = math.sqrt(6 / sum(weights.shape))
        assert 0.98 * bound < weights.abs().max() <= bound
        # the deviation of the mean square of a uniform variable, in units of its variance
        spread = math.sqrt(4 / 5 / weights.numel())
        assert (
            abs(weights.square().mean().item() * sum(weights.shape) / 2 - 1)
            < 5 * spread
        )


# -- misuse and MNIST ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"dataset": "minst"},
            r"unknown dataset 'minst' \(did you mean 'mnist'\?\)",
        ),
        ({"dataset": "text"}, r"text is text, not images"),
        ({"size": 9}, r"size must be in 1\.\.8 here, got 9"),
        ({"n_examples": 1798}, r"n_examples must be in 1\.\.1797 here, got 1798"),
        (
            {"hidden": (3, 0)},
            r"hidden must be one or more positive widths, the code's last, got \[3, 0\]",
        ),
        (
            {"hidden": ()},
            r"hidden must be one or more positive widths, the code's last, got \[\]",
        ),
    ],
)
def test_misuse(fields, message):
    with pytest.raises(ValueError, match=message):
        Autoencoder(**fields)


@needs_mnist
def test_the_paper_s_network_on_mnist():
    problem = Autoencoder(**PAPER | {"n_examples": 100})
    theta = problem.start(rng()).float()
    x = torch.from_numpy(load("mnist", n_examples=100).x).flatten(1).float()
    theirs = (
        functional.binary_cross_entropy_with_logits(
            as_modules(problem, theta)(x), x, reduction="sum"
        )
        / 100
    )
    torch.testing.assert_close(
        problem.loss(theta, None), theirs.detach(), rtol=1e-5, atol=0
    )


@pytest.mark.parametrize("kind", ["hessian", "gauss_newton", "fisher"])
@given(
    hidden=st.sampled_from([(3,), (5, 3), (8, 4, 2)]),
    code=st.sampled_from(["linear", "sigmoid"]),
    decay=st.sampled_from([0.0, 0.1]),
    batch=st.sampled_from([None, 7]),
    seed=st.integers(0, 9),
)
@settings(max_examples=15)
def test_products_by_hand_are_those_of_autograd(
    kind, hidden, code, decay, batch, seed
):
    problem = Autoencoder(hidden=hidden, code=code, weight_decay=decay)
    theta, *vectors = torch.randn(
        3, problem.dim, generator=rng(seed), dtype=torch.float64
    )
    drawn = None if batch is None else problem.draw(rng(seed), batch)
    by_hand, known = (
        linearise(problem, theta, drawn, kind, eager=eager)
        for eager in (True, False)
    )
    torch.testing.assert_close(by_hand.loss, known.loss)
    torch.testing.assert_close(by_hand.grad, known.grad, rtol=1e-9, atol=1e-12)
    for v in (*vectors, vectors[0]):  # a product leaves no trace in the next
        torch.testing.assert_close(
            by_hand.product(v), known.product(v), rtol=1e-9, atol=1e-11
        )
