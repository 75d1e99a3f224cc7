"""High-index saddle dynamics: the law near a critical point, and Mueller-Brown's points."""

import pytest
import torch

from sfnbench.core.finder import Equations, Iterate
from sfnbench.experiments.critical_points.search import search
from sfnbench.finders.hisd import HighIndexSaddleDynamics
from sfnbench.members import registry
from sfnbench.problems.quadratic_saddle import QuadraticSaddle


@pytest.mark.parametrize("index", [0, 1, 2])
def test_coordinates_shrink_by_one_minus_lr_times_the_turned_curvature(index):
    curvatures = (3.0, 2.0, -1.0)  # the lowest is the last
    problem = QuadraticSaddle(eigenvalues=curvatures)
    theta = torch.full((1, 3), 1e-3, dtype=torch.float64)
    at = Iterate(theta, Equations(problem, 1).grad(theta))
    finder = HighIndexSaddleDynamics(index=index, lr=0.1)
    after = finder.step(Equations(problem, 1), at)
    signs = [-1 if 2 - i < index else 1 for i in range(3)]
    law = [1 - 0.1 * s * each for s, each in zip(signs, curvatures, strict=True)]
    assert (after.theta / theta)[0].tolist() == pytest.approx(law, abs=1e-9)


@pytest.mark.parametrize("index", [0, 1])
def test_mueller_brown_three_minima_and_two_saddles(index):
    """Each of its points of the asked index attracts from a hundredth away."""
    problem = registry.build("problem", "mueller_brown", {"start_at": "box"})
    known = [each for each in problem.critical_points if each.index == index]
    assert len(known) == (3, 2)[index]
    points = torch.stack([each.point for each in known])
    ends = search(
        problem,
        HighIndexSaddleDynamics(index=index, lr=4e-4, steps=400),
        points + 0.01,
        True,
    )
    assert (ends.grad.norm(dim=1) < 1e-6).all()
    assert (ends.theta - points).norm(dim=1).max() < 1e-7


def test_the_saddle_between_two_minima_from_a_start_far_from_it():
    problem = registry.build("problem", "mueller_brown", {"start_at": "box"})
    start = torch.tensor([[0.15, 0.25]], dtype=torch.float64)
    ends = search(problem, HighIndexSaddleDynamics(lr=4e-4, steps=400), start, True)
    assert ends.theta[0].tolist() == pytest.approx([0.212487, 0.292988], abs=1e-6)
