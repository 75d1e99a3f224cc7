"""Dense saddle-free Newton beside an independent implementation."""

import pytest
import torch

from sfnbench.core.oracle import Oracle
from sfnbench.members import registry
from sfnbench.optimizers.sfn import SaddleFreeNewton

DAMPING, N_STEPS = 0.1, 5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("quadratic_saddle", {}),
        ("committee_machine", {}),
        ("mueller_brown", {}),
        ("attention_recall", {"n_keys": 3, "width": 2}),
    ],
)
def test_steps_are_those_of_torchzero(name, params):
    """Its wheel has a package called tests, so no extra of ours installs it."""
    torchzero = pytest.importorskip("torchzero", reason="pip install torchzero")
    problem = registry.build("problem", name, params)
    theta = problem.start(torch.Generator().manual_seed(0))
    theirs = torch.nn.Parameter(theta.clone())
    newton = torchzero.m.Newton(eigval_fn=lambda L: L.abs() + DAMPING)
    optimizer = torchzero.Optimizer([theirs], newton)

    def closure(backward=True):
        loss = problem.loss(theirs, None)
        if backward:
            optimizer.zero_grad()
            loss.backward()
        return loss

    method = SaddleFreeNewton(damping=DAMPING)
    state = method.init(theta)
    for _ in range(N_STEPS):
        theta, state = method.step(Oracle(problem, eager=True), theta, state)
        optimizer.step(closure)
    torch.testing.assert_close(theirs.detach(), theta, rtol=1e-10, atol=1e-12)
