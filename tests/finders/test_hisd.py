"""High-index saddle dynamics: the law near a critical point, and Mueller-Brown's points."""

import math

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


def test_by_curvature_the_law_holds_in_units_of_the_largest():
    curvatures = (3.0, 2.0, -4.0)
    problem = QuadraticSaddle(eigenvalues=curvatures)
    theta = torch.full((1, 3), 1e-3, dtype=torch.float64)
    at = Iterate(theta, Equations(problem, 1).grad(theta))
    finder = HighIndexSaddleDynamics(lr=0.5, by_curvature=True)
    after = finder.step(Equations(problem, 1), at)
    law = [1 - 0.5 * abs(each) / 4 for each in curvatures]
    assert (after.theta / theta)[0].tolist() == pytest.approx(law, abs=1e-9)


@pytest.mark.parametrize("n_atoms", [4, 7])
def test_by_curvature_zero_modes_are_no_unit(n_atoms):
    """The slowest coordinate shrinks by 1 - lr min |lambda| / max |lambda| a step."""
    problem = registry.build("problem", "lennard_jones", {"n_atoms": n_atoms})
    saddle = problem.saddle.point
    L = torch.linalg.eigvalsh(problem.hessian(saddle, None)).abs()
    counted = L.sort().values[6:]  # not the zero modes
    rate = 1 - 1.5 * float(counted.min() / counted.max())
    steps = math.ceil(math.log(1e-8) / math.log(rate))
    finder = HighIndexSaddleDynamics(lr=1.5, by_curvature=True, steps=steps)
    generator = torch.Generator().manual_seed(0)
    start = saddle + 1e-3 * torch.randn(
        saddle.shape, generator=generator, dtype=saddle.dtype
    )
    end = search(problem, finder, start[None], True)
    assert end.grad.norm() < 1e-6 * problem_gradient(problem, start)
    assert float(problem.loss(end.theta[0], None)) == pytest.approx(
        problem.saddle.loss, abs=1e-9
    )


def problem_gradient(problem, theta):
    return torch.func.grad(lambda at: problem.loss(at, None))(theta).norm()


def test_by_curvature_a_step_that_no_point_attracts_is_refused():
    with pytest.raises(ValueError, match="by_curvature needs an lr below 2, got 2"):
        HighIndexSaddleDynamics(lr=2.0, by_curvature=True)


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
