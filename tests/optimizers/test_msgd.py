"""Momentum against torch's own, Sutskever's schedule by its table, clipping."""

import math

import pytest
import torch

from sfnbench.core.oracle import Oracle
from sfnbench.members.contract.shared import Waves
from sfnbench.optimizers.msgd import MomentumSGD


def trajectory(optimizer, n_steps, problem=None):
    problem = problem or Waves()
    theta = problem.start(torch.Generator().manual_seed(0))
    state, points = optimizer.init(theta), [theta]
    for _ in range(n_steps):
        theta, state = optimizer.step(Oracle(problem, eager=True), theta, state)
        points.append(theta)
    return torch.stack(points)


def test_classical_momentum_is_torch_s():
    problem = Waves()
    theirs = problem.start(torch.Generator().manual_seed(0)).requires_grad_()
    sgd = torch.optim.SGD([theirs], lr=0.05, momentum=0.8)
    points = trajectory(MomentumSGD(lr=0.05, momentum=0.8), 30)
    for theta in points:
        torch.testing.assert_close(theirs.detach(), theta, rtol=1e-10, atol=1e-12)
        sgd.zero_grad()
        problem.loss(theirs, None).backward()
        sgd.step()


@pytest.mark.parametrize("nesterov", [True, False])
@pytest.mark.parametrize("most", [0.9, 0.995])
def test_the_schedule_is_sutskever_s(nesterov, most):
    """mu_t = min(1 - 2^(-1 - log2(floor(t / 250) + 1)), mu_max), read off a trajectory of a
    constant slope."""

    class Slope(Waves):
        dim = 1

        def loss(self, theta, batch):
            return theta.sum()

    optimizer = MomentumSGD(
        lr=1.0, momentum=most, schedule="sutskever", nesterov=nesterov
    )
    velocities = trajectory(optimizer, 2100, Slope()).diff(dim=0)[:, 0]
    for t in (1, 2, 100, 249, 250, 499, 500, 999, 1000, 1999, 2000):
        mu = (velocities[t] + 1) / velocities[t - 1]
        assert mu == pytest.approx(
            min(1 - 2 ** (-1 - math.log2(t // 250 + 1)), most), rel=1e-9
        )


def test_a_long_gradient_is_scaled_down_and_a_short_one_left():
    theta = Waves().start(torch.Generator().manual_seed(0))
    grad = torch.func.grad(lambda t: Waves().loss(t, None))(theta)
    for clip in (0.1 * grad.norm().item(), 10 * grad.norm().item()):
        optimizer = MomentumSGD(lr=1.0, clip=clip)
        after, _ = optimizer.step(Oracle(Waves()), theta, optimizer.init(theta))
        expected = grad * min(1.0, clip / grad.norm().item())
        torch.testing.assert_close(theta - after, expected, rtol=1e-12, atol=0)
