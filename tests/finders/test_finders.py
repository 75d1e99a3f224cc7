"""Finders.

On functions whose critical points are known, each alone and in a batch, and on what cannot be
found.
"""

import numpy as np
import pytest
import torch

from sfnbench.core.finder import Equations, Iterate
from sfnbench.core.problem import Problem
from sfnbench.experiments.critical_points.search import DONE_BELOW, PATIENCE, search
from sfnbench.finders.damped_newton import DampedNewtonSearch
from sfnbench.finders.gradient_norm import GradientNormMinimization
from sfnbench.finders.least_squares import LeastSquares
from sfnbench.finders.levenberg_marquardt import LevenbergMarquardt
from sfnbench.finders.newton_mr import NewtonMR
from sfnbench.members.contract.shared import Waves
from sfnbench.problems.autoencoder import Autoencoder
from sfnbench.problems.linear_autoencoder import LinearAutoencoder

FINDERS = {
    "lm": LevenbergMarquardt(),
    "newton": DampedNewtonSearch(),
    "newton_mr": NewtonMR(),
    "minres": NewtonMR(solver="minres", cut=1e-10),
    "trf": LeastSquares(),
    "minpack": LeastSquares(method="lm"),
    "gradient_norm": GradientNormMinimization(),
}
finders = pytest.mark.parametrize("finder", FINDERS.values(), ids=FINDERS)


class Wells(Problem):
    """sum x_i^4 / 4 - x_i^2 / 2.

    3^d critical points, at every x_i in -1, 0, 1, as many negative eigenvalues as zeros.
    """

    dim = 3

    def start(self, rng):
        return torch.randn(self.dim, generator=rng, dtype=torch.float64)

    def loss(self, theta, batch):
        return (theta**4 / 4 - theta**2 / 2).sum()


class Fold(Wells):
    """x + x^3 / 3 in every coordinate: no critical point, but at 0 the gradient is flat.

    H = 0 and |g| is smallest.
    """

    def loss(self, theta, batch):
        return (theta + theta**3 / 3).sum()


class Quadratic(Wells):
    """x^T A x / 2 - b x, with A indefinite and singular."""

    def loss(self, theta, batch):
        A = torch.diag(torch.tensor([3.0, -0.5, 0.0], dtype=theta.dtype))
        return theta @ A @ theta / 2 - theta[0] + theta[1]


def points(problem, n, seed=0, scale=0.6):
    rng = torch.Generator().manual_seed(seed)
    return scale * torch.randn(n, problem.dim, generator=rng, dtype=torch.float64)


@finders
def test_ends_at_one_of_the_27_points_where_every_coordinate_is_known(finder):
    ends = search(Wells(), finder, points(Wells(), 12), batched=True)
    found = ends.grad.square().sum(1) < 1e-20
    assert found.double().mean() >= 0.5
    nearest = ends.theta[found].round()
    assert (nearest.abs() <= 1).all()
    torch.testing.assert_close(ends.theta[found], nearest, rtol=0, atol=1e-9)
    assert (nearest == 0).any()  # saddles too, and not minima alone


@finders
def test_solves_a_singular_indefinite_linear_system(finder):
    start = points(Quadratic(), 4, seed=1)
    ends = search(Quadratic(), finder, start, batched=True)
    exact = torch.tensor([1 / 3, 2.0], dtype=torch.float64).expand(4, 2)
    torch.testing.assert_close(ends.theta[:, :2], exact, rtol=1e-6, atol=1e-6)
    # in the kernel nothing moves
    torch.testing.assert_close(ends.theta[:, 2], start[:, 2])


@finders
def test_a_gradient_flat_end_is_no_root(finder):
    ends = search(Fold(), finder, points(Fold(), 3, seed=2), batched=True)
    assert (ends.grad.norm(dim=1) > 1).all()
    assert np.isfinite(ends.seconds).all()


@finders
def test_a_search_that_is_no_number_harms_no_other(finder):
    starts = points(Wells(), 3, seed=3)
    starts[1] = torch.nan
    ends = search(Wells(), finder, starts, batched=True)
    alone = search(Wells(), finder, starts[[0, 2]], batched=True)
    torch.testing.assert_close(
        ends.theta[[0, 2]], alone.theta, rtol=1e-6, atol=1e-8
    )
    assert ends.theta[1].isnan().all()
    assert ends.steps[1] == 0


@pytest.mark.parametrize(
    "finder",
    [LevenbergMarquardt(), DampedNewtonSearch(), NewtonMR()],
    ids=["lm", "newton", "newton_mr"],
)
def test_a_batch_ends_where_each_ends_alone(finder):
    problem = LinearAutoencoder(n_inputs=3, n_hidden=1)
    starts = points(problem, 6)
    together = search(problem, finder, starts, batched=True)
    for i in range(6):
        alone = search(problem, finder, starts[i : i + 1], batched=False)
        if min(float(alone.grad[0].norm()), float(together.grad[i].norm())) < 1e-10:
            torch.testing.assert_close(
                alone.theta[0], together.theta[i], rtol=1e-6, atol=1e-6
            )


def test_a_step_of_levenberg_marquardt_is_the_damped_least_squares_step():
    problem = Waves()
    theta = problem.start(torch.Generator().manual_seed(1))[None]
    equations = Equations(problem, 1)
    g, H = equations.grad(theta), equations.hessian(theta)[0]
    after = LevenbergMarquardt(damping=10.0).step(
        equations, Iterate(theta, g, LevenbergMarquardt().init(theta))
    )
    lam = 10.0 * torch.linalg.matrix_norm(H, 2) ** 2
    step = -torch.linalg.solve(
        H @ H + lam * torch.eye(4, dtype=torch.float64), H @ g[0]
    )
    assert after.grad.norm() < g.norm()  # accepted at once
    torch.testing.assert_close(after.theta[0], theta[0] + step)


def test_minres_and_the_pseudo_inverse_step_alike():
    problem = Waves()
    theta = points(problem, 3, seed=5)
    ends = []
    for solver in ("dense", "minres"):
        equations = Equations(problem, 3)
        at = Iterate(theta, equations.grad(theta))
        ends.append(NewtonMR(solver=solver, cut=1e-12).step(equations, at).theta)
    torch.testing.assert_close(*ends, rtol=1e-6, atol=1e-6)


def test_every_question_is_counted_for_its_own_search():
    equations = Equations(Wells(), 3)
    theta = points(Wells(), 3)
    equations.grad(theta)
    equations.of(torch.tensor([2])).hessian(theta[2:])
    g, product = equations.of(torch.tensor([0])).products(theta[:1])
    product(g)
    assert equations.calls.tolist() == [[0, 2, 1, 0], [0, 1, 0, 0], [0, 1, 0, 1]]


def test_products_are_the_hessians():
    equations = Equations(Waves(), 1)
    theta, v = points(Waves(), 1), points(Waves(), 1, seed=1)[0]
    g, product = equations.products(theta)
    torch.testing.assert_close(product(v), equations.hessian(theta)[0] @ v)
    torch.testing.assert_close(g, equations.grad(theta)[0])


def test_a_search_ends_where_it_is_done_or_stalls():
    at_root = torch.zeros(1, 3, dtype=torch.float64)
    assert (
        search(Wells(), LevenbergMarquardt(), at_root, batched=True).steps[0] == 0
    )
    stalled = search(
        Fold(), LevenbergMarquardt(steps=1000), points(Fold(), 1), batched=True
    )
    assert PATIENCE <= stalled.steps[0] < 100
    short = search(
        Wells(), LevenbergMarquardt(steps=2), points(Wells(), 1), batched=True
    )
    assert short.steps[0] == 2
    assert short.grad.square().sum() > DONE_BELOW


def test_products_are_a_problem_s_own_where_it_has_some():
    problem = Autoencoder(size=4, n_examples=20, hidden=(3, 2))
    (theta,) = points(problem, 1)
    v = torch.linspace(-1, 1, problem.dim, dtype=torch.float64)
    own = problem.linearised(theta, None, "hessian")
    g, product = Equations(problem, 1).products(theta[None])
    assert torch.equal(g, own.grad)
    assert torch.equal(product(v), own.product(v))
    torch.testing.assert_close(product(v), problem.hessian(theta, None) @ v)
