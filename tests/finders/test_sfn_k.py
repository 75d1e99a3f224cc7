"""Finders of an asked index: the points of chemistry's landscapes whose numbers are known."""

import pytest
import torch

from sfnbench.core.finder import Equations, Iterate
from sfnbench.experiments.critical_points.search import search
from sfnbench.finders.damped_newton import DampedNewtonSearch
from sfnbench.finders.prfo import PartitionedRationalFunction
from sfnbench.finders.sfn_k import SaddleFreeNewtonOfIndex
from sfnbench.members import registry
from sfnbench.problems.quadratic_saddle import QuadraticSaddle

FINDERS = [SaddleFreeNewtonOfIndex, PartitionedRationalFunction]


def starts(problem, n):
    rng = torch.Generator().manual_seed(0)
    return torch.stack([problem.start(rng) for _ in range(n)])


def found(problem, finder, n):
    """Losses and indices of where searches from n starts converged."""
    ends = search(problem, finder, starts(problem, n), batched=True)
    is_done = ends.grad.norm(dim=1) < 1e-8
    points = ends.theta[is_done]
    losses = [round(float(problem.loss(point, None)), 4) for point in points]
    H = torch.stack([problem.hessian(point, None) for point in points])
    L = torch.linalg.eigvalsh(H)
    negative = (-1e-6 * L.abs().amax(1, keepdim=True) > L).sum(1)
    return losses, negative.tolist()


@pytest.mark.parametrize("Finder", FINDERS)
@pytest.mark.parametrize("index", [0, 1])
def test_mueller_brown_three_minima_and_two_saddles(Finder, index):
    problem = registry.load(registry.find("problem", "mueller_brown"))(
        start_at="box"
    )
    losses, indices = found(problem, Finder(index=index), 100)
    known = {
        round(point.loss, 4)
        for point in problem.critical_points
        if point.index == index
    }
    assert set(losses) == known
    assert set(indices) == {index}


@pytest.mark.parametrize("index", [0, 1])
def test_six_atoms_two_minima_and_three_saddles(index):
    problem = registry.load(registry.find("problem", "lennard_jones"))(
        n_atoms=6, start_at="random"
    )
    finder = SaddleFreeNewtonOfIndex(index=index, longest=0.2, floor=1e-3)
    losses, indices = found(problem, finder, 60)
    bound = [
        (loss, at) for loss, at in zip(losses, indices, strict=True) if loss < -11.3
    ]
    assert {at for _, at in bound} == {index}
    assert {loss for loss, _ in bound} == {
        round(energy, 4) for energy in problem.energies[index]
    }


def test_other_indices_repel_by_a_factor_of_two():
    """Near an index-j point |j - k| coordinates double in a step, and the others vanish."""
    problem = QuadraticSaddle(eigenvalues=(3.0, 2.0, -1.0))
    theta = torch.full((1, 3), 1e-3, dtype=torch.float64)
    equations = Equations(problem, 1)
    for index, factors in ((0, [0, 0, 2]), (1, [0, 0, 0]), (2, [0, 2, 0])):
        at = Iterate(theta, equations.grad(theta))
        after = SaddleFreeNewtonOfIndex(index=index).step(equations, at)
        assert (after.theta / theta)[0].tolist() == pytest.approx(factors, abs=1e-9)


def test_no_step_leads_along_a_zero_mode():
    problem = registry.load(registry.find("problem", "lennard_jones"))(
        n_atoms=4, start_at="random"
    )
    theta = starts(problem, 3)
    for Finder in FINDERS:
        equations = Equations(problem, 3)
        after = Finder().step(equations, Iterate(theta, equations.grad(theta)))
        for before, moved in zip(theta, after.theta - theta, strict=True):
            modes = problem.zero_modes(before)
            along = (modes @ moved).abs() / modes.norm(dim=1)
            assert along.max() < 1e-5 * moved.norm()


def test_only_finders_of_an_index_may_let_the_gradient_grow():
    assert DampedNewtonSearch.descends_gradient
    assert not any(Finder.descends_gradient for Finder in FINDERS)
