"""What a module of torch costs as a problem, beside the hand-written network of the same sizes."""

import pytest
import torch
from side_by_side import seconds
from torch import nn

from sfnbench import ModuleProblem, Oracle
from sfnbench.problems.mlp import MultilayerPerceptron

N_STEPS = 20


@pytest.mark.parametrize("batch_size", [128, 512])
@pytest.mark.parametrize(
    "hidden", [(50,), (64, 64)], ids=["64-50-10", "64-64-64-10"]
)
def test_a_step_costs_at_most_a_tenth_more(hidden, batch_size):
    """A minibatch's gradient, in double precision, on one thread."""
    mlp = MultilayerPerceptron(hidden=hidden)
    layers: list[nn.Module] = []
    for n_in, n_out in zip(mlp.widths[:-1], mlp.widths[1:], strict=True):
        layers += [nn.Linear(n_in, n_out), nn.Tanh()]
    x, y = mlp.by_example(torch.zeros(0, dtype=torch.float64))
    model = nn.Sequential(*layers[:-1])
    module = ModuleProblem(model, nn.CrossEntropyLoss(), (x, y.argmax(1)))
    theta = mlp.start(torch.Generator().manual_seed(0))
    batch = mlp.draw(torch.Generator().manual_seed(0), batch_size)

    def steps(problem):
        oracle = Oracle(problem, (batch,), eager=True)
        return lambda: [oracle.grad(theta) for _ in range(N_STEPS)]

    by_hand, by_module = seconds(steps(mlp), steps(module), rounds=15)
    ratio = by_module / by_hand
    print(f"{ratio:.2f} times the hand-written network's {by_hand / N_STEPS:.2g} s")
    assert ratio < 1.1
