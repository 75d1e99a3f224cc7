"""The recurrent network against torch's own modules, its start, its measure, and what is
known of it at simple points."""

import math
import os
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from sfnbench.core.oracle import Oracle
from sfnbench.datasets import find_text, load_text
from sfnbench.problems import rnn
from sfnbench.problems.rnn import RecurrentNetwork, Stack

# ten sequences, and a character left over
SMALL = {"n_characters": 62, "n_units": 3, "length": 6}
PAPER = {
    "dataset": "penn_treebank",
    "n_characters": None,
    "n_units": 120,
    "length": 50,
}
N_SYMBOLS = len(find_text("text").alphabet)
FOLDER = os.environ.get("SFNBENCH_DATA")
needs_treebank = pytest.mark.skipif(
    not FOLDER or not Path(FOLDER, "ptb").is_dir(),
    reason="no SFNBENCH_DATA with Penn Treebank in it",
)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(dim, seed=0):
    return torch.randn(dim, generator=rng(seed), dtype=torch.float64)


def gradient(problem, theta, batch=None):
    return torch.func.grad(lambda t: problem.loss(t, batch))(theta)


def as_modules(problem, theta):
    """The same network of torch's modules, which has two vectors of hidden biases where one
    does."""
    embedding, recurrent, biases, readout, out_biases = problem.weights(theta)
    cell = torch.nn.RNN(problem.n_symbols, problem.n_units, dtype=theta.dtype)
    linear = torch.nn.Linear(problem.n_units, problem.n_symbols, dtype=theta.dtype)
    given = {
        "weight_ih_l0": embedding.mT,
        "weight_hh_l0": recurrent,
        "bias_ih_l0": biases,
        "bias_hh_l0": 0 * biases,
    }
    cell.load_state_dict(given)
    linear.load_state_dict({"weight": readout, "bias": out_biases})
    return cell, linear


def in_theta_s_order(embedding, recurrent, biases, readout, out_biases):
    """What torch's modules have in those places, as one vector."""
    return torch.cat(
        [
            part.ravel()
            for part in (embedding.mT, recurrent, biases, readout, out_biases)
        ]
    )


@given(
    n_units=st.integers(1, 6),
    length=st.integers(1, 9),
    decay=st.sampled_from([0.0, 0.1]),
    seed=st.integers(0, 9),
)
@settings(max_examples=25)
def test_loss_and_gradient_are_those_of_torch_modules(n_units, length, decay, seed):
    problem = RecurrentNetwork(
        n_characters=62, n_units=n_units, length=length, weight_decay=decay
    )
    theta = normal(problem.dim, seed)
    cell, linear = as_modules(problem, theta)
    codes = torch.from_numpy(load_text("text", n_characters=62).codes)
    # windows: (T + 1, n), a sequence and the character that follows it
    windows = codes.unfold(0, length + 1, length).mT
    states, _ = cell(functional.one_hot(windows[:-1], N_SYMBOLS).double())
    theirs = functional.cross_entropy(
        linear(states).flatten(0, 1), windows[1:].ravel()
    )
    parts = [
        cell.weight_ih_l0,
        cell.weight_hh_l0,
        cell.bias_ih_l0,
        linear.weight,
        linear.bias,
    ]
    theirs = theirs + decay / 2 * sum(part.square().sum() for part in parts)
    their_gradient = in_theta_s_order(*torch.autograd.grad(theirs, parts))
    torch.testing.assert_close(
        problem.loss(theta, None), theirs.detach(), rtol=1e-12, atol=0
    )
    torch.testing.assert_close(
        gradient(problem, theta), their_gradient, rtol=1e-10, atol=1e-12
    )
    assert problem.outputs(theta, None).shape == (
        N_SYMBOLS,
        length,
        windows.shape[1],
    )


@pytest.mark.parametrize("eager", [True, False])
def test_curvature_products_are_slopes_of_the_gradient(eager):
    problem = RecurrentNetwork(weight_decay=0.1, **SMALL)
    theta, v, h = normal(problem.dim), normal(problem.dim, 1), 1e-5
    slope = (
        gradient(problem, theta + h * v) - gradient(problem, theta - h * v)
    ) / (2 * h)
    product = Oracle(problem, eager=eager).curvature(theta).hvp(v)
    torch.testing.assert_close(
        product, slope, rtol=1e-6, atol=1e-7 * product.norm().item()
    )


def test_stack_is_torch_s_stack_to_second_order():
    tensors = [normal(6, seed).view(2, 3).requires_grad_() for seed in range(4)]
    torch.testing.assert_close(
        Stack.apply(*tensors), torch.stack(tensors), rtol=0, atol=0
    )
    assert torch.autograd.gradcheck(
        Stack.apply, tensors, check_forward_ad=True, check_batched_grad=True
    )
    assert torch.autograd.gradgradcheck(Stack.apply, tensors)


@pytest.mark.parametrize("kind", ["hessian", "gauss_newton"])
def test_points_and_minibatches_run_together(kind):
    problem = RecurrentNetwork(**SMALL)
    points = torch.stack([problem.start(rng(seed)) for seed in range(3)])
    batches = torch.stack([problem.draw(rng(seed), 7) for seed in range(3)])
    v = normal(problem.dim)

    def product(p):
        return lambda theta, batch: (
            Oracle(p, batches=(batch,)).curvature(theta, kind).hvp(v)
        )

    alone = torch.stack(
        [product(problem)(t, b) for t, b in zip(points, batches, strict=True)]
    )
    fresh = RecurrentNetwork(**SMALL)  # its data are first read inside vmap
    torch.testing.assert_close(
        torch.func.vmap(product(fresh))(points, batches), alone, rtol=0, atol=1e-13
    )


@given(seed=st.integers(0, 9))
@settings(max_examples=10)
def test_minibatches_that_share_out_the_sequences_average_to_the_full_loss(seed):
    problem = RecurrentNetwork(weight_decay=0.1, **SMALL)
    theta = normal(problem.dim, seed)
    minibatches = torch.randperm(10, generator=rng(seed)).view(5, 2)
    for f in (problem.loss, lambda t, b: gradient(problem, t, b)):
        mean = torch.stack([f(theta, minibatch) for minibatch in minibatches]).mean(
            0
        )
        torch.testing.assert_close(mean, f(theta, None), rtol=1e-12, atol=1e-13)


def test_sequences_lie_end_to_end_and_their_last_prediction_is_of_the_next_one_s_first():
    problem = RecurrentNetwork(**SMALL)
    here, following = problem.sequences(torch.zeros(1))
    codes = torch.from_numpy(load_text("text", n_characters=62).codes)
    assert here.shape == following.shape == (problem.population, 6) == (10, 6)
    assert torch.equal(here.ravel(), codes[:60])
    assert torch.equal(following.ravel(), codes[1:61])


def test_values_follow_the_precision_of_theta():
    problem = RecurrentNetwork(**SMALL)
    theta = problem.start(rng())
    for f in (
        lambda t: problem.loss(t, None),
        problem.bits_per_character,
        lambda t: gradient(problem, t),
    ):
        single = f(theta.float())
        assert single.dtype == torch.float32
        torch.testing.assert_close(single.double(), f(theta), rtol=1e-4, atol=1e-5)


# -- known answers ---------------------------------------------------------------------------------


def mute(problem, out_biases):
    """A point that predicts the same of every character.

    No weights to the outputs, and any others.
    """
    theta = normal(problem.dim)
    *_, readout, a = problem.weights(theta)
    readout.zero_()
    a.copy_(out_biases)
    return theta


def test_a_uniform_predictor_needs_the_logarithm_of_the_alphabet():
    # the weight decay is no part of the bits
    problem = RecurrentNetwork(weight_decay=0.1, **SMALL)
    bits = problem.bits_per_character(mute(problem, torch.zeros(N_SYMBOLS)))
    assert bits.item() == pytest.approx(math.log2(N_SYMBOLS), rel=1e-13)


def test_the_best_predictor_without_context_needs_the_entropy_of_the_characters():
    problem = RecurrentNetwork(**SMALL)
    counts = torch.bincount(
        problem.sequences(torch.zeros(1))[1].ravel(), minlength=N_SYMBOLS
    ).double()
    theta = mute(problem, (counts / counts.sum()).clamp_min(1e-300).log())
    entropy = torch.distributions.Categorical(counts).entropy().item()
    assert problem.loss(theta, None).item() == pytest.approx(entropy, rel=1e-12)
    assert problem.bits_per_character(theta).item() == pytest.approx(
        entropy / math.log(2), rel=1e-12
    )
    assert problem.weights(gradient(problem, theta))[-1].abs().max() < 1e-14


def test_bits_are_the_loss_in_another_unit_in_whatever_blocks_they_are_measured(
    monkeypatch,
):
    problem = RecurrentNetwork(**SMALL)
    theta = problem.start(rng())
    for block in (10**6, 25):  # 60 characters: in parts of 4, 4 and 2 sequences
        monkeypatch.setattr(rnn, "NUMBERS_A_BLOCK", block)
        bits = problem.bits_per_character(theta) * math.log(2)
        torch.testing.assert_close(
            bits, problem.loss(theta, None), rtol=1e-13, atol=0
        )


# -- size and start --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "dim"),
    [(PAPER, 26_570), ({"n_units": 3}, 2 * 3 * N_SYMBOLS + 3 * 3 + 3 + N_SYMBOLS)],
)
def test_dim_counts_weights_and_biases_without_reading_data(
    fields, dim, monkeypatch
):
    monkeypatch.setattr(
        rnn, "load_text", lambda *args, **kwargs: pytest.fail("data were read")
    )
    problem = RecurrentNetwork(**fields)
    assert problem.dim == dim
    assert problem.start(rng()).shape == (dim,)
    assert problem.draw(rng(), 5).max() < problem.population


def test_start_is_orthogonal_in_the_recurrence_and_scaled_by_fan_in_elsewhere():
    problem = RecurrentNetwork(n_units=64)
    first, second = (problem.weights(problem.start(rng(seed))) for seed in range(2))
    embedding, recurrent, biases, readout, out_biases = first
    torch.testing.assert_close(
        recurrent @ recurrent.mT,
        torch.eye(64, dtype=torch.float64),
        rtol=0,
        atol=1e-13,
    )
    assert not torch.allclose(recurrent, second[1])
    assert not biases.any()
    assert not out_biases.any()
    for weights, fan_in in ((embedding, N_SYMBOLS), (readout, 64)):
        assert abs(weights.mean().item()) < 5 / math.sqrt(fan_in * weights.numel())
        assert abs(weights.var().item() * fan_in - 1) < 5 * math.sqrt(
            2 / weights.numel()
        )


def test_signs_of_the_orthogonal_start_are_not_those_of_the_factorisation():
    """Of a rotation drawn uniformly each entry has mean zero.

    Without the sign fix, QR's diagonal is of one sign.
    """
    problem = RecurrentNetwork(n_units=2)
    corners = torch.stack(
        [problem.weights(problem.start(rng(seed)))[1][0, 0] for seed in range(200)]
    )
    positive = int((corners > 0).sum())  # 100, standard deviation 7.1
    assert abs(positive - 100) < 5 * 7.1


# -- misuse and Penn Treebank ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"dataset": "tekst"},
            r"unknown dataset 'tekst' \(did you mean 'text'\?\)",
        ),
        ({"dataset": "digits"}, r"digits is images, not text"),
        (
            {"n_characters": 400_001},
            r"n_characters must be in 1\.\.400000 here, got 400001",
        ),
        ({"n_characters": 0}, r"n_characters must be in 1\.\.400000 here, got 0"),
        (
            {"n_characters": 50, "length": 50},
            r"length must be positive and less than the 50 characters of the text, got 50",
        ),
        ({"length": 0}, r"length must be positive and less than"),
        ({"n_units": 0}, r"n_units must be positive, got 0"),
    ],
)
def test_misuse(fields, message):
    with pytest.raises(ValueError, match=message):
        RecurrentNetwork(**fields)


@needs_treebank
def test_the_paper_s_network_on_penn_treebank():
    problem = RecurrentNetwork(**PAPER | {"n_characters": 1001})
    theta = problem.start(rng())
    assert problem.n_symbols == 50
    bits = problem.bits_per_character(mute(problem, torch.zeros(50)))
    assert bits.item() == pytest.approx(math.log2(50), rel=1e-13)
    v, h = normal(problem.dim), 1e-5
    slope = (
        gradient(problem, theta + h * v) - gradient(problem, theta - h * v)
    ) / (2 * h)
    product = Oracle(problem, eager=True).curvature(theta).hvp(v)
    torch.testing.assert_close(
        product, slope, rtol=1e-4, atol=1e-6 * product.norm().item()
    )
