"""Trajectories: batches of seeds do what each seed does alone, whoever breaks."""

import numpy as np
import pytest
import torch

from sfnbench.members import registry
from sfnbench.members.contract.shared import Waves
from sfnbench.optimizers.gradient_descent import GradientDescent
from sfnbench.optimizers.msgd import MomentumSGD
from sfnbench.optimizers.sfn import SaddleFreeNewton
from sfnbench.trajectories.single import Looped
from sfnbench.trajectories.vmapped import Vmapped


def starts(n, problem=None):
    return torch.stack(
        [
            (problem or Waves()).start(torch.Generator().manual_seed(seed))
            for seed in range(n)
        ]
    )


@pytest.mark.parametrize(
    "optimizer",
    [
        GradientDescent(),
        MomentumSGD(nesterov=True),
        SaddleFreeNewton(damping="paper"),
    ],
)
def test_a_batch_follows_the_same_path_as_each_seed_alone(optimizer):
    together = Vmapped(Waves(), optimizer, starts(5))
    alone = [Looped(Waves(), optimizer, start[None]) for start in starts(5)]
    for _ in range(8):
        together.step([(None,)] * 5, None)
        for one in alone:
            one.step([(None,)], None)
    torch.testing.assert_close(
        together.theta,
        torch.cat([one.theta for one in alone]),
        rtol=1e-8,
        atol=1e-10,
    )
    np.testing.assert_array_equal(
        together.calls, np.concatenate([one.calls for one in alone])
    )


def test_the_loss_before_a_step_comes_with_the_gradient():
    points = starts(4)
    expected = torch.stack([Waves().loss(point, None) for point in points])
    together = Vmapped(Waves(), GradientDescent(), points)
    together.step([(None,)] * 4, None)
    torch.testing.assert_close(together.loss_before, expected)
    nesterov = Vmapped(Waves(), MomentumSGD(nesterov=True), points)
    nesterov.step([(None,)] * 4, None)
    assert nesterov.loss_before is None  # its gradient is taken elsewhere


def test_parked_trajectories_stay_home_and_count_nothing():
    points = starts(3)
    trajectories, free = (Vmapped(Waves(), MomentumSGD(), points) for _ in range(2))
    trajectories.park(np.array([False, True, False]))
    for _ in range(4):
        trajectories.step([(None,)] * 3, None)
        free.step([(None,)] * 3, None)
    assert torch.isnan(trajectories.theta[1]).all()
    assert trajectories.calls[:, 1].tolist() == [4, 0, 4]
    # these are equal to the bit: the batch kept its shape
    assert torch.equal(trajectories.theta[[0, 2]], free.theta[[0, 2]])


def test_a_trajectory_that_linear_algebra_refuses_becomes_nan_and_no_other_does():
    points = starts(3)
    points[1] = torch.nan
    trajectories = Vmapped(Waves(), SaddleFreeNewton(), points)
    trajectories.step([(None,)] * 3, None)
    assert torch.isnan(trajectories.theta).all(1).tolist() == [False, True, False]
    assert trajectories.parked.tolist() == [False, True, False]
    for i in (0, 2):
        alone = Looped(Waves(), SaddleFreeNewton(), points[i : i + 1])
        alone.step([(None,)], None)
        torch.testing.assert_close(
            trajectories.theta[i], alone.theta[0], rtol=1e-9, atol=1e-12
        )


def test_minibatches_are_each_trajectory_s_own():
    mlp = registry.build(
        "problem", "mlp", {"size": 4, "n_examples": 50, "hidden": [3]}
    )
    points = starts(3, mlp)
    batches = [
        mlp.draw(torch.Generator().manual_seed(seed), 5) for seed in range(3)
    ]
    together = Vmapped(mlp, GradientDescent(lr=0.1), points)
    together.step([(batch,) for batch in batches], None)
    for i in range(3):
        expected = points[i] - 0.1 * torch.func.grad(mlp.loss)(
            points[i], batches[i]
        )
        torch.testing.assert_close(
            together.theta[i], expected, rtol=1e-10, atol=1e-12
        )
