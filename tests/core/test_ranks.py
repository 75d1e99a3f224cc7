"""The parts that processes take of a batch make up the whole of it."""

import pytest
import torch

from sfnbench.core.derivatives import loss_and_grad
from sfnbench.core.oracle import Oracle
from sfnbench.core.ranks import Ranks, shared_by
from sfnbench.problems.mlp import MultilayerPerceptron

PROBLEM = MultilayerPerceptron(
    dataset="digits", n_examples=10, hidden=(2,), weight_decay=0.1
)
THETA = torch.linspace(-1, 1, PROBLEM.dim, dtype=torch.float64)
BATCHES = [None, torch.tensor([3, 1, 4, 1, 5]), torch.tensor([9])]


@pytest.mark.parametrize("batch", BATCHES, ids=["all", "five", "one"])
@pytest.mark.parametrize("n", [2, 3, 12])
def test_losses_and_gradients_of_all_parts_add_up(batch, n):
    whole = loss_and_grad(lambda t: PROBLEM.loss(t, batch), THETA, eager=True)
    total = [torch.zeros_like(each) for each in whole]
    for rank in range(n):
        weight, own = Ranks(n, rank).own(PROBLEM, batch)
        terms = loss_and_grad(
            lambda t, own=own: PROBLEM.loss(t, own), THETA, eager=True
        )
        total = [a + weight * b for a, b in zip(total, terms, strict=True)]
    for found, expected in zip(total, whole, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)


def answers_of(oracle):
    product = oracle.curvature(THETA).hvp(torch.ones_like(THETA))
    hessian = oracle.hessian(THETA)
    return oracle.loss(THETA), oracle.grad(THETA), product, hessian


def test_each_answer_is_one_message_of_all_its_numbers(monkeypatch):
    """Where the other process holds as much as this one, sums are twice its own terms."""
    sent = []

    def doubled(message):
        sent.append(message.numel())
        message.mul_(2)

    monkeypatch.setattr("torch.distributed.all_reduce", doubled)
    ranks = Ranks(2, 0)
    with shared_by(ranks):
        together = Oracle(PROBLEM, eager=True)
        answers = answers_of(together)
    alone = Oracle(PROBLEM, (torch.arange(5),), eager=True)  # of ten examples
    for found, expected in zip(answers, answers_of(alone), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)
    d = PROBLEM.dim
    assert sent == [d + 1, d, d * d, 1, d + 1]
    assert ranks.n_bytes == 8 * sum(sent)
    assert together.calls.counts.tolist() == alone.calls.counts.tolist()
