"""The tensors that theta is made of, put into torch's own modules, make the same network."""

import pytest
import torch
from torch.nn import functional

from sfnbench import Problem
from sfnbench.core.oracle import Oracle
from sfnbench.datasets import load
from sfnbench.errors import CheckError
from sfnbench.members.contract.problems import tensors_make_up_theta
from sfnbench.problems.autoencoder import Autoencoder
from sfnbench.problems.linear_autoencoder import LinearAutoencoder
from sfnbench.problems.mlp import MultilayerPerceptron
from sfnbench.problems.quadratic_saddle import QuadraticSaddle
from sfnbench.problems.rnn import RecurrentNetwork

linear = functional.linear


def digits(problem):
    images = load("digits", size=problem.size, n_examples=problem.n_examples)
    return torch.from_numpy(images.x).flatten(1), torch.from_numpy(images.y).long()


def mlp_loss(problem, t):
    x, y = digits(problem)
    hidden = torch.tanh(linear(x, t["layer1.weight"], t["layer1.bias"]))
    return functional.cross_entropy(
        linear(hidden, t["layer2.weight"], t["layer2.bias"]), y
    )


def autoencoder_loss(problem, t):
    x, _ = digits(problem)
    h = torch.sigmoid(linear(x, t["layer1.weight"], t["layer1.bias"]))
    h = linear(h, t["layer2.weight"], t["layer2.bias"])  # the code is linear
    h = torch.sigmoid(linear(h, t["layer3.weight"], t["layer3.bias"]))
    z = linear(h, t["layer4.weight"], t["layer4.bias"])
    return functional.binary_cross_entropy_with_logits(z, x, reduction="sum") / len(
        x
    )


def rnn_loss(problem, t):
    here, following = (
        codes.mT for codes in problem.sequences(t["embedding.weight"])
    )
    n_units = problem.n_units
    inner = torch.nn.RNN(n_units, n_units, dtype=torch.float64)
    weights = {
        "weight_ih_l0": torch.eye(n_units, dtype=torch.float64),
        "weight_hh_l0": t["recurrent.weight"],
        "bias_ih_l0": t["recurrent.bias"],
        "bias_hh_l0": torch.zeros(n_units, dtype=torch.float64),
    }
    x = functional.embedding(here, t["embedding.weight"])
    h, _ = torch.func.functional_call(inner, weights, (x,))
    z = linear(h, t["readout.weight"], t["readout.bias"])
    return functional.cross_entropy(z.flatten(0, 1), following.flatten())


def linear_autoencoder_loss(problem, t):
    # E |B A x - x|^2 / k over x with covariance diag(s): k examples sqrt(k s_i) e_i have it
    k = problem.n_inputs
    s = torch.tensor(problem.spectrum, dtype=torch.float64)
    x = torch.diag((k * s).sqrt())
    return functional.mse_loss(
        linear(linear(x, t["encoder.weight"]), t["decoder.weight"]), x
    )


NETWORKS = [
    (MultilayerPerceptron(size=4, n_examples=50, hidden=(5,)), mlp_loss),
    (Autoencoder(size=4, n_examples=50, hidden=(6, 2)), autoencoder_loss),
    (RecurrentNetwork(n_characters=62, n_units=3, length=6), rnn_loss),
    (LinearAutoencoder(n_inputs=5, n_hidden=2), linear_autoencoder_loss),
]


@pytest.mark.parametrize(
    ("problem", "loss"), NETWORKS, ids=lambda each: type(each).__name__
)
def test_they_make_the_same_network_with_the_same_gradients(problem, loss):
    theta = torch.randn(
        problem.dim, generator=torch.Generator().manual_seed(5), dtype=torch.float64
    )
    mine, grad = Oracle(problem, eager=True).loss_and_grad(theta)
    leaves = {
        name: t.clone().requires_grad_()
        for name, t in problem.tensors(theta).items()
    }
    theirs = loss(problem, leaves)
    theirs.backward()
    torch.testing.assert_close(mine, theirs.detach(), rtol=1e-12, atol=1e-12)
    for name, part in Oracle(problem).tensors(grad).items():
        torch.testing.assert_close(part, leaves[name].grad, rtol=1e-9, atol=1e-12)


def test_where_nothing_else_is_said_theta_is_the_one_tensor():
    theta = torch.ones(2)
    assert QuadraticSaddle().tensors(theta) == {"theta": theta}


class Copied(QuadraticSaddle):
    def tensors(self, theta):
        return {"theta": theta.clone()}


class Overlapping(QuadraticSaddle):
    def tensors(self, theta):
        return {"all": theta, "first": theta[:1]}


@pytest.mark.parametrize(
    ("problem", "message"),
    [
        (Copied(), "2 of 2 parameters are in no view"),
        (Overlapping(), "1 of 2 parameters are in more than one tensor"),
    ],
)
def test_the_contract_refuses_copies_and_overlaps(problem: Problem, message):
    with pytest.raises(CheckError, match=message):
        tensors_make_up_theta(problem)
