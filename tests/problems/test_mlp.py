"""The multilayer perceptron against torch's own modules, its Hessian against automatic
differentiation, its dead net."""

import itertools
import math
import os
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from sfnbench.datasets import load
from sfnbench.problems import _layerwise, mlp
from sfnbench.problems.mlp import MultilayerPerceptron

MODULES = {
    "tanh": torch.nn.Tanh,
    "sigmoid": torch.nn.Sigmoid,
    "relu": torch.nn.ReLU,
    "softplus": torch.nn.Softplus,
    "silu": torch.nn.SiLU,
    "gelu": torch.nn.GELU,
}
SMALL = {"size": 3, "n_examples": 40}
FOLDER = os.environ.get("SFNBENCH_DATA")
needs_mnist = pytest.mark.skipif(
    not FOLDER or not Path(FOLDER, "mnist").is_dir(),
    reason="no SFNBENCH_DATA with MNIST in it",
)
activations = st.sampled_from(sorted(MODULES))
criteria = st.sampled_from(["cross_entropy", "squared_error"])
widths = st.lists(st.integers(1, 6), max_size=3).map(tuple)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def gradient(problem, theta, batch=None):
    return torch.func.grad(lambda t: problem.loss(t, batch))(theta)


def hessian(problem, theta, batch=None):
    """The Hessian by automatic differentiation alone."""
    return torch.func.jacrev(torch.func.grad(lambda t: problem.loss(t, batch)))(
        theta
    )


def as_modules(problem, theta):
    """The same network of torch's modules, and its parameters in theta's order.

    Weights and biases by unit.
    """
    modules = []
    for weights, biases in problem.layers(theta):
        linear = torch.nn.Linear(
            weights.shape[1], weights.shape[0], dtype=theta.dtype
        )
        linear.weight.data.copy_(weights)
        linear.bias.data.copy_(biases[:, 0])
        modules += [linear, MODULES[problem.activation]()]
    return torch.nn.Sequential(*modules[:-1])


@given(
    hidden=widths,
    activation=activations,
    criterion=criteria,
    decay=st.sampled_from([0.0, 0.1]),
    seed=st.integers(0, 9),
)
@settings(max_examples=40)
def test_loss_and_gradient_are_those_of_torch_modules(
    hidden, activation, criterion, decay, seed
):
    problem = MultilayerPerceptron(
        hidden=hidden,
        activation=activation,
        criterion=criterion,
        weight_decay=decay,
        **SMALL,
    )
    theta = torch.randn(problem.dim, generator=rng(seed), dtype=torch.float64)
    network = as_modules(problem, theta)
    images = load("digits", **SMALL)
    outputs, labels = (
        network(torch.from_numpy(images.x).flatten(1)),
        torch.from_numpy(images.y),
    )
    if criterion == "cross_entropy":
        theirs = functional.cross_entropy(outputs, labels)
    else:
        theirs = (
            functional.mse_loss(
                outputs, functional.one_hot(labels, 10).double(), reduction="sum"
            )
            / 40
            / 2
        )
    theirs = theirs + decay / 2 * sum(
        p.square().sum() for p in network.parameters()
    )
    theirs.backward()
    layers = [m for m in network if isinstance(m, torch.nn.Linear)]
    their_gradient = torch.cat(
        [
            torch.cat([m.weight.grad, m.bias.grad[:, None]], 1).ravel()
            for m in layers
        ]
    )
    torch.testing.assert_close(
        problem.loss(theta, None), theirs.detach(), rtol=1e-12, atol=1e-14
    )
    torch.testing.assert_close(
        gradient(problem, theta), their_gradient, rtol=1e-10, atol=1e-12
    )
    wrong = (outputs.argmax(1) != labels).double().mean()
    assert problem.training_error(theta).item() == wrong.item()


@pytest.mark.parametrize("hidden", [(), (3,), (12,), (3, 2)], ids=str)
@pytest.mark.parametrize("criterion", ["cross_entropy", "squared_error"])
@pytest.mark.parametrize("activation", sorted(MODULES))
def test_hessian_is_that_of_automatic_differentiation(
    hidden, criterion, activation
):
    problem = MultilayerPerceptron(
        hidden=hidden,
        activation=activation,
        criterion=criterion,
        weight_decay=0.01,
        size=3,
        n_examples=40,
    )
    theta = torch.randn(problem.dim, generator=rng(2), dtype=torch.float64)
    exact = hessian(problem, theta)
    torch.testing.assert_close(
        problem.hessian(theta, None),
        exact,
        rtol=0,
        atol=1e-13 * exact.abs().max().item(),
    )


@given(
    hidden=st.lists(st.integers(1, 6), max_size=4).map(tuple),
    activation=activations,
    criterion=criteria,
    decay=st.sampled_from([0.0, 0.1]),
    seed=st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_hessian_is_exact_at_any_depth(hidden, activation, criterion, decay, seed):
    problem = MultilayerPerceptron(
        hidden=hidden,
        activation=activation,
        criterion=criterion,
        weight_decay=decay,
        **SMALL,
    )
    theta = problem.start(rng(seed)) + 0.1 * torch.randn(
        problem.dim, generator=rng(seed + 1), dtype=torch.float64
    )
    exact, found = hessian(problem, theta), problem.hessian(theta, None)
    torch.testing.assert_close(
        found, exact, rtol=0, atol=1e-13 * exact.abs().max().item()
    )
    torch.testing.assert_close(
        found, found.mT, rtol=0, atol=1e-15 * exact.abs().max().item()
    )


@pytest.mark.parametrize("few", [0, 10**6])
@pytest.mark.parametrize("hidden", [(), (4,), (4, 3, 2)], ids=str)
def test_hessian_does_not_depend_on_how_it_is_summed(monkeypatch, few, hidden):
    """In blocks with a remainder, and by either way to take the sums."""
    problem = MultilayerPerceptron(hidden=hidden, n_examples=150, size=4)
    theta = problem.start(rng())
    whole = problem.hessian(theta, None)
    monkeypatch.setattr(_layerwise, "LEAST", 64)
    monkeypatch.setattr(_layerwise, "BLOCK", 1)  # so 64 examples a block
    monkeypatch.setattr(_layerwise, "FEW", few)
    torch.testing.assert_close(
        problem.hessian(theta, None), whole, rtol=0, atol=1e-15 * 150
    )


@pytest.fixture(params=[0, 10**6], ids=["products of inputs", "scaled inputs"])
def summed(request, monkeypatch):
    """Either way to take the sums, in blocks with a remainder."""
    monkeypatch.setattr(_layerwise, "LEAST", 3)
    monkeypatch.setattr(_layerwise, "BLOCK", 1)
    monkeypatch.setattr(_layerwise, "FEW", request.param)


@pytest.mark.usefixtures("summed")
@pytest.mark.parametrize("criterion", ["cross_entropy", "squared_error"])
@pytest.mark.parametrize("hidden", [(), (3,), (3, 2, 2)], ids=str)
@pytest.mark.parametrize("batch_size", [None, 7])
def test_hessian_takes_points_and_minibatches_together(
    batch_size, hidden, criterion
):
    problem = MultilayerPerceptron(hidden=hidden, criterion=criterion, **SMALL)
    points = torch.stack([problem.start(rng(seed)) for seed in range(3)])
    batches = [
        None if batch_size is None else problem.draw(rng(seed), batch_size)
        for seed in range(3)
    ]
    alone = torch.stack(
        [hessian(problem, t, b) for t, b in zip(points, batches, strict=True)]
    )
    # the data of `fresh` are first read inside vmap
    fresh = MultilayerPerceptron(hidden=hidden, criterion=criterion, **SMALL)
    if batch_size is None:
        together = torch.func.vmap(lambda t: fresh.hessian(t, None))(points)
    else:
        together = torch.func.vmap(fresh.hessian)(points, torch.stack(batches))
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-13)


@pytest.mark.usefixtures("summed")
@pytest.mark.parametrize("criterion", ["cross_entropy", "squared_error"])
@pytest.mark.parametrize("hidden", [(), (3,), (3, 2)], ids=str)
def test_hessian_of_one_point_on_several_minibatches(hidden, criterion):
    """Only the examples are batched, not theta."""
    problem = MultilayerPerceptron(
        hidden=hidden, criterion=criterion, weight_decay=0.1, **SMALL
    )
    theta = problem.start(rng())
    batches = torch.stack([problem.draw(rng(seed), 7) for seed in range(3)])
    alone = torch.stack([hessian(problem, theta, batch) for batch in batches])
    together = torch.func.vmap(lambda batch: problem.hessian(theta, batch))(batches)
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-13)


def test_values_follow_the_precision_of_theta():
    problem = MultilayerPerceptron(hidden=(3,), **SMALL)
    theta = problem.start(rng())
    for f in (problem.loss, gradient_of(problem), problem.hessian):
        single, double = f(theta.float(), None), f(theta, None)
        assert single.dtype == torch.float32
        torch.testing.assert_close(single.double(), double, rtol=1e-4, atol=1e-5)


def gradient_of(problem):
    return lambda theta, batch: gradient(problem, theta, batch)


# -- minibatches -----------------------------------------------------------------------------------


@given(hidden=widths, seed=st.integers(0, 9))
@settings(max_examples=20)
def test_minibatches_that_share_out_the_examples_average_to_the_full_loss(
    hidden, seed
):
    problem = MultilayerPerceptron(hidden=hidden, weight_decay=0.1, **SMALL)
    theta = problem.start(rng(seed))
    parts = torch.randperm(40, generator=rng(seed)).view(5, 8)
    for f in (problem.loss, gradient_of(problem)):
        mean = torch.stack([f(theta, part) for part in parts]).mean(0)
        torch.testing.assert_close(mean, f(theta, None), rtol=1e-12, atol=1e-14)
        torch.testing.assert_close(
            f(theta, torch.arange(40)), f(theta, None), rtol=1e-12, atol=1e-14
        )


def test_draws_are_uniform_and_reproducible():
    problem = MultilayerPerceptron(**SMALL)
    stream = rng(1)
    draws = torch.cat([problem.draw(stream, 20) for _ in range(500)])
    # 10,000 draws over 40 places: 250 each, standard deviation 15.6
    counts = torch.bincount(draws, minlength=40)
    assert counts.shape == (40,)
    assert ((counts - 250).abs() < 5 * 15.6).all()
    assert torch.equal(problem.draw(rng(3), 20), problem.draw(rng(3), 20))


# -- size and start --------------------------------------------------------------------------------


@given(hidden=widths)
def test_dim_counts_weights_and_biases_without_reading_data(hidden):
    sizes = [784, *hidden, 10]
    by_hand = sum(a * b + b for a, b in itertools.pairwise(sizes))
    assert MultilayerPerceptron(dataset="mnist", hidden=hidden).dim == by_hand


@pytest.mark.parametrize("h", [5, 25, 50])
def test_dim_of_the_paper_s_networks(h, monkeypatch):
    monkeypatch.setattr(
        mlp, "load", lambda *args, **kwargs: pytest.fail("data were read")
    )
    problem = MultilayerPerceptron(dataset="mnist", size=10, hidden=(h,))
    assert problem.dim == 111 * h + 10
    assert problem.start(rng()).shape == (problem.dim,)
    assert problem.draw(rng(), 100).max() < 60_000


def test_start_has_zero_biases_and_weights_of_variance_one_over_fan_in():
    problem = MultilayerPerceptron(hidden=(400, 100))
    for weights, biases in problem.layers(problem.start(rng())):
        assert not biases.any()
        n_in = weights.shape[1]
        assert abs(weights.mean().item()) < 5 / math.sqrt(n_in * weights.numel())
        assert abs(weights.var().item() * n_in - 1) < 5 * math.sqrt(
            2 / weights.numel()
        )


@given(hidden=widths, activation=activations)
@settings(max_examples=20)
def test_at_zero_every_class_is_as_likely(hidden, activation):
    zero = torch.zeros(10**4, dtype=torch.float64)
    for criterion, loss in (
        ("cross_entropy", math.log(10)),
        ("squared_error", 0.5),
    ):
        problem = MultilayerPerceptron(
            hidden=hidden, activation=activation, criterion=criterion, **SMALL
        )
        assert problem.loss(zero[: problem.dim], None).item() == pytest.approx(
            loss, rel=1e-14
        )


# -- the dead net ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "index"),
    [
        (
            {"hidden": (4,), "size": 4},
            36,
        ),  # rank 9: ten classes, whose deviations from the mean image add up to zero
        ({"hidden": (3,), "size": 1}, 3),  # one pixel: rank 1
        ({"hidden": (3,), "size": 4, "criterion": "squared_error"}, 27),
        (
            {
                "hidden": (3,),
                "size": 4,
                "criterion": "squared_error",
                "weight_decay": 0.5,
            },
            0,
        ),  # above every slope
    ],
)
def test_dead_net_is_critical_and_its_index_known(fields, index):
    problem = MultilayerPerceptron(**fields)
    (known,) = problem.critical_points
    spectrum = torch.linalg.eigvalsh(hessian(problem, known.point))
    assert gradient(problem, known.point).norm() < 1e-15
    assert problem.loss(known.point, None).item() == pytest.approx(
        known.loss, rel=1e-14
    )
    assert known.index == index == (spectrum < -1e-8 * spectrum.abs().max()).sum()


def test_dead_net_loses_a_descent_for_every_slope_below_the_weight_decay():
    indices = []
    for decay in (1e-3, 1e-2, 3e-2, 0.3):
        problem = MultilayerPerceptron(
            hidden=(2,), size=4, criterion="squared_error", weight_decay=decay
        )
        (known,) = problem.critical_points
        assert (
            known.index
            == (torch.linalg.eigvalsh(hessian(problem, known.point)) < 0).sum()
        )
        indices.append(known.index)
    assert indices == sorted(indices, reverse=True)
    assert len(set(indices)) > 2


def test_dead_net_has_the_entropy_of_the_labels_as_its_loss():
    counts = torch.bincount(torch.from_numpy(load("digits").y)).double()
    (known,) = MultilayerPerceptron(hidden=(1,)).critical_points
    assert known.loss == pytest.approx(
        torch.distributions.Categorical(counts).entropy().item(), rel=1e-14
    )
    assert known.loss < math.log(10)


@pytest.mark.parametrize(
    "fields",
    [
        {"hidden": ()},
        {"hidden": (3, 3)},
        {"activation": "relu"},
        {"weight_decay": 0.1},
        {"n_examples": 5},  # not every class is there: its bias would be -infinity
    ],
)
def test_no_critical_point_is_stated_where_no_formula_says(fields):
    assert MultilayerPerceptron(**fields).critical_points == ()


# -- misuse and MNIST ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"dataset": "minst"},
            r"unknown dataset 'minst' \(did you mean 'mnist'\?\)",
        ),
        ({"size": 9}, r"size must be in 1\.\.8 here, got 9"),
        ({"size": 0}, r"size must be in 1\.\.8 here, got 0"),
        ({"n_examples": 1798}, r"n_examples must be in 1\.\.1797 here"),
        ({"hidden": (3, 0)}, r"hidden widths must be positive, got \[3, 0\]"),
    ],
)
def test_misuse(fields, message):
    with pytest.raises(ValueError, match=message):
        MultilayerPerceptron(**fields)


@needs_mnist
def test_mnist_at_ten_by_ten():
    problem = MultilayerPerceptron(
        dataset="mnist", size=10, n_examples=1000, hidden=(5,)
    )
    assert problem.dim == 565
    theta = problem.start(rng())
    H = problem.hessian(theta, None)
    v = torch.randn(565, generator=rng(1), dtype=torch.float64)
    _, pull = torch.func.vjp(
        torch.func.grad(lambda t: problem.loss(t, None)), theta
    )
    torch.testing.assert_close(H @ v, pull(v)[0], rtol=1e-9, atol=1e-12)
    assert problem.critical_points[0].index == 45
