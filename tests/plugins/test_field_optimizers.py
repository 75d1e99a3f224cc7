"""Rivals of saddle-free Newton: each does in closed form what its theory says."""

import importlib
import itertools
import math

import numpy as np
import pytest
import torch
from scipy import optimize

from sfnbench.core.oracle import Oracle
from sfnbench.members import registry
from sfnbench.optimizers.krylov_sfn import KrylovSaddleFreeNewton
from sfnbench.optimizers.sfn import SaddleFreeNewton
from sfnbench.problems.quadratic_saddle import QuadraticSaddle

CLASSES = {
    name: registry.load(registry.find("optimizer", name))
    for name in (
        "cubic_newton",
        "curveball",
        "hessian_free",
        "hsodm",
        "low_rank_sfn",
        "newton_cg",
        "nonconvex_newton",
        "perturbed_accelerated_gradient_descent",
        "regularized_sfn",
        "series_sfn",
    )
}
TOY = QuadraticSaddle(eigenvalues=(10.0, -2.0))  # 5 x^2 - y^2
START = torch.tensor([1e-3, 1e-3], dtype=torch.float64)


def module(name):
    return importlib.import_module(CLASSES[name].__module__)


def noise_of(method, dim, seed=0):
    if not method.n_noise:
        return None
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(method.n_noise, dim, generator=rng, dtype=torch.float64)


def steps(method, problem, theta, n):
    """The points after 1, 2, ..., n steps."""
    state, points = method.init(theta), []
    for seed in range(n):
        oracle = Oracle(
            problem, noise=noise_of(method, len(theta), seed), eager=True
        )
        theta, state = method.step(oracle, theta, state)
        points.append(theta)
    return points


def n_to_leave(method, theta=START, most=300):
    """Steps until |y| > 1 on 5 x^2 - y^2."""
    points = steps(method, TOY, theta, most)
    return next(i for i, point in enumerate(points, 1) if abs(point[1]) > 1)


def quadratic(eigenvalues, seed=0):
    """A problem with these eigenvalues in a random basis, and a point."""
    problem = QuadraticSaddle(eigenvalues=tuple(eigenvalues), rotation=seed)
    rng = torch.Generator().manual_seed(seed)
    return problem, torch.randn(
        len(eigenvalues), generator=rng, dtype=torch.float64
    )


# -- cubic regularisation


@pytest.mark.parametrize("seed", range(30))
def test_the_cubic_model_is_at_its_global_minimum(seed):
    rng = np.random.default_rng(seed)
    n, sigma = 8, 10 ** rng.uniform(-3, 3)
    L = torch.from_numpy(np.sort(rng.normal(size=n) * 10 ** rng.uniform(-2, 2, n)))
    g = torch.from_numpy(rng.normal(size=n) * 10 ** rng.uniform(-8, 1, n))
    s = module("cubic_newton").cubic_minimum(L, g, sigma)
    lam = sigma * float(s.norm())
    backward = (L * s + lam * s + g).norm() / (g.norm() + L.abs().max() * s.norm())
    assert backward < 1e-12
    assert float(L[0]) + lam >= -1e-12 * float(L.abs().max())  # so it is global


def test_the_hard_case_goes_along_the_lowest_eigenvector():
    L, g = torch.tensor([-2.0, 10.0]).double(), torch.tensor([0.0, 1e-2]).double()
    s = module("cubic_newton").cubic_minimum(L, g, 0.5)
    assert float(s.norm()) == pytest.approx(2 / 0.5)
    assert float(s[1]) == pytest.approx(-1e-2 / 12)
    model = float(g @ s + s @ (L * s) / 2 + 0.5 / 3 * s.norm() ** 3)
    assert model < 0


@pytest.mark.parametrize("start", [(1e-3, 1e-3), (1e-3, 1e-9), (1e-3, 0), (0, 0)])
def test_cubic_newton_leaves_in_one_step_of_the_known_length(start):
    theta = torch.tensor(start, dtype=torch.float64)
    (after,) = steps(CLASSES["cubic_newton"](sigma=1.0), TOY, theta, 1)
    assert abs(float(after[1])) == pytest.approx(2 + 2 * abs(start[1]), abs=1e-3)


def test_the_models_fall_at_a_saddle():
    s = module("cubic_newton").cubic_minimum(
        torch.tensor([-3.0, 1.0]).double(), torch.zeros(2).double(), 0.7
    )
    model = float(-3 * s[0] ** 2 / 2 + 0.7 / 3 * s.norm() ** 3)
    assert model == pytest.approx(-(3**3) / (6 * 0.7**2))


def test_the_whole_krylov_space_gives_the_cubic_step():
    problem, theta = quadratic([5.0, 2.0, -1.0, -3.0], 1)
    (dense,) = steps(CLASSES["cubic_newton"](), problem, theta, 1)
    (krylov,) = steps(CLASSES["cubic_newton"](k=4), problem, theta, 1)
    torch.testing.assert_close(krylov, dense, rtol=1e-8, atol=1e-8)


def test_a_step_that_does_not_pay_is_refused_and_the_weight_doubled():
    problem = registry.load(registry.find("problem", "rosenbrock"))(n=2)
    method = CLASSES["cubic_newton"](sigma=1e-6)
    theta = torch.tensor([-1.2, 1.0], dtype=torch.float64)
    after, state = method.step(Oracle(problem), theta, method.init(theta))
    refused = torch.equal(after, theta)
    assert float(state.sigma) == (
        2e-6 if refused else pytest.approx(1e-6, rel=0.51)
    )
    end = steps(CLASSES["cubic_newton"](), problem, theta, 60)[-1]
    assert end.tolist() == pytest.approx([1, 1], abs=1e-6)


# -- Newton-CG and HSODM


@pytest.mark.parametrize("seed", range(20))
def test_capped_cg_ends_with_a_solution_or_negative_curvature(seed):
    rng = np.random.default_rng(seed)
    n, epsilon, zeta = 30, 10 ** rng.uniform(-3, -1), 0.5
    B = torch.from_numpy(rng.normal(size=(n, n)))
    shift = rng.uniform(0, 4)
    H = (B @ B.mT) / n - (4 - shift) / 4 * torch.eye(n, dtype=torch.float64)
    g = torch.from_numpy(rng.normal(size=n))
    products = []

    def product(v):
        products.append(v)
        return H @ v

    d, kind = module("newton_cg").capped_conjugate_gradients(
        product, g, epsilon, zeta
    )
    if kind == "solution":
        left = H @ d + 2 * epsilon * d + g
        assert left.norm() <= zeta / 3 * g.norm()
    else:
        assert d @ H @ d < -epsilon * (d @ d) * (1 - 1e-6)
    assert len(products) <= 2 * n + 20
    if torch.linalg.eigvalsh(H)[0] > 0:
        assert kind == "solution"


def test_newton_cg_takes_steps_as_long_as_the_eigenvalue():
    assert n_to_leave(CLASSES["newton_cg"]()) == 1
    (after,) = steps(CLASSES["newton_cg"](), TOY, torch.zeros(2).double(), 1)
    assert float(after.norm()) == pytest.approx(2, rel=1e-6)


def test_newton_cg_stays_at_a_second_order_point():
    problem = QuadraticSaddle(eigenvalues=(3.0, 1e-4, -1e-4))
    theta = torch.zeros(3, dtype=torch.float64)
    (after,) = steps(CLASSES["newton_cg"](), problem, theta, 1)
    assert torch.equal(after, theta)


def test_the_homogeneous_direction_is_a_regularised_newton_step():
    problem, theta = quadratic([4.0, 1.0, -0.5, -2.0], 2)
    method = CLASSES["hsodm"]()
    oracle = Oracle(problem, noise=noise_of(method, 4))
    linear = oracle.curvature(theta)
    found = method.direction(oracle, linear.grad, linear.hvp)
    H = problem.hessian(theta, None)
    lam = -found.eigenvalue
    assert lam > 2
    assert lam >= method.delta
    left = H @ found.d + lam * found.d + linear.grad
    assert float(left.norm()) < 1e-11 * float(found.d.norm())


def test_hsodm_leaves_from_the_saddle_itself_by_its_radius():
    (after,) = steps(CLASSES["hsodm"](radius=0.5), TOY, torch.zeros(2).double(), 1)
    assert after.abs().tolist() == pytest.approx([0, 0.5], abs=1e-9)
    assert n_to_leave(CLASSES["hsodm"](radius=0.3)) == math.ceil((1 - 1e-3) / 0.3)


# -- |H| in other ways


def test_nonconvex_newton_grows_by_its_law():
    for floor, rate in ((1e-3, 2), (2.0, 2), (8.0, 1 + 2 / 8)):
        method = CLASSES["nonconvex_newton"](floor=floor)
        (after,) = steps(method, TOY, START, 1)
        assert float(after[1] / START[1]) == pytest.approx(rate)


def test_nonconvex_newton_adds_noise_where_it_would_stay():
    method, origin = (
        CLASSES["nonconvex_newton"](),
        torch.zeros(2, dtype=torch.float64),
    )
    (after,) = steps(method, TOY, origin, 1)
    assert after.norm() > 0
    assert n_to_leave(method, origin) < 20


@pytest.mark.parametrize("ratio", [1.0, 0.5, 0.1, 0.01])
def test_the_series_responds_as_its_polynomial_says(ratio):
    """A direction's 1 - |lambda| step = 1 - r sum c_n (1 - r^2)^n: for small r, 2 r sqrt(K/pi)."""
    problem = QuadraticSaddle(eigenvalues=(10.0, -10.0 * ratio))
    theta = torch.tensor([0.0, 1.0], dtype=torch.float64)
    method = CLASSES["series_sfn"](shanks=0)  # V = 100 is lambda_max^2
    (after,) = steps(method, problem, theta, 1)
    terms = [math.comb(2 * n, n) / 4**n * (1 - ratio**2) ** n for n in range(20)]
    assert float(after[1]) == pytest.approx(1 + ratio * math.fsum(terms), rel=1e-10)
    if ratio == 0.01:
        law = 2 * ratio * math.sqrt(20 / math.pi)
        assert float(after[1]) - 1 == pytest.approx(law, rel=0.02)
    if ratio == 1:
        assert float(after[1]) == pytest.approx(2)


def test_acceleration_and_damping_of_the_series():
    problem = QuadraticSaddle(eigenvalues=(10.0, 3.0, -0.1))
    theta = torch.tensor([0.1, 1 / 3, -10.0], dtype=torch.float64)  # g = (1, 1, 1)
    for shanks, share in ((0, (1, 0.946, 0.050)), (1, (1, 0.566, 0.086))):
        (after,) = steps(CLASSES["series_sfn"](shanks=shanks), problem, theta, 1)
        moved = (after - theta) * torch.tensor(
            [-10.0, -3.0, -0.1], dtype=torch.float64
        )
        assert moved.tolist() == pytest.approx(share, abs=1e-3)
    damped = CLASSES["series_sfn"](terms=400, shanks=0, damping=9.9)
    (after,) = steps(damped, problem, theta, 1)
    expected = theta[0] - 1 / (10 + 9.9)
    assert float(after[0]) == pytest.approx(float(expected), rel=1e-9)


def test_coefficients_keep_their_digits():
    c = module("series_sfn").coefficients(
        torch.tensor(0.99, dtype=torch.float64), 40
    )
    for x in (0.1, 0.5):
        series = math.fsum(float(c[n]) * x**n for n in range(40))
        assert series == pytest.approx(1 / (math.sqrt(1 - x) + 0.99), rel=1e-9)


def test_a_bound_from_below_diverges_where_the_power_method_does_not():
    problem = QuadraticSaddle(eigenvalues=(10.0, 1.0))
    theta = torch.tensor([1e-4, 1.0], dtype=torch.float64)
    low = CLASSES["series_sfn"](first_scale=1e-6, shanks=0)
    power = CLASSES["series_sfn"](scale="power", first_scale=1e-6, shanks=0)
    (diverged,), (fine,) = (steps(m, problem, theta, 1) for m in (low, power))
    assert diverged[0].abs() > 1e10
    assert fine[0].abs() < 1e-4


def test_regularised_sfn_is_sfn_without_regularisation_and_obeys_its_law():
    problem, theta = quadratic([6.0, 3.0, 1.0, -0.5, -2.0], 3)
    (found,) = steps(
        CLASSES["regularized_sfn"](hessian_lipschitz=0.0), problem, theta, 1
    )
    (sfn,) = steps(SaddleFreeNewton(damping=0.0), problem, theta, 1)
    torch.testing.assert_close(found, sfn, rtol=1e-9, atol=1e-9)
    theta = torch.tensor([0.3, 0.4], dtype=torch.float64)
    (after,) = steps(
        CLASSES["regularized_sfn"](hessian_lipschitz=2.0), TOY, theta, 1
    )
    g = math.hypot(3.0, 0.8)
    law = [1 - lam / math.sqrt(lam**2 + 2 * g) for lam in (10, -2)]
    assert (after / theta).tolist() == pytest.approx(law)


def test_low_rank_sfn_is_sfn_at_full_rank_and_gradient_descent_beside_its_subspace():
    problem, theta = quadratic([6.0, 3.0, 1.0, -0.5, -2.0], 4)
    (found,) = steps(
        CLASSES["low_rank_sfn"](damping=0.1, rank=20), problem, theta, 1
    )
    (sfn,) = steps(SaddleFreeNewton(damping=0.1), problem, theta, 1)
    torch.testing.assert_close(found, sfn, rtol=1e-9, atol=1e-9)
    flat = QuadraticSaddle(eigenvalues=(10.0, -10.0, 1e-9, 1e-9))
    theta = torch.tensor([0.0, 1.0, 1.0, 1.0], dtype=torch.float64)
    method = CLASSES["low_rank_sfn"](damping=2.0, rank=2, lr=1.0)
    (after,) = steps(method, flat, theta, 1)
    assert float(after[1]) == pytest.approx(1 + 10 / 12)
    assert after[2:].tolist() == pytest.approx([1 - 1e-9 / 2] * 2, abs=1e-8)


@pytest.mark.parametrize("Method", [SaddleFreeNewton, KrylovSaddleFreeNewton])
def test_a_damping_by_the_gradient_lets_go_of_a_saddle_of_order_five(Method):
    chain = registry.load(registry.find("problem", "scalar_chain"))(layers=5)
    w = torch.full((5,), 1e-2, dtype=torch.float64)
    for settings, leaves in (
        ({"damping": 1e-4}, False),
        ({"damping": 0.0, "gradient_damping": 1.0}, True),
    ):
        end = steps(Method(**settings), chain, w, 20)[-1]
        assert bool(end[0] > 0.2) == leaves
    g = 5 * 1e-8  # |g|^2 = 5 eps^8 (1 - eps^5)^2
    (after,) = steps(Method(damping=0.0, gradient_damping=1.0), chain, w, 1)
    rate = 1e-6 / (4e-6 + math.sqrt(g * 1e-8))
    assert float(after[0] / w[0]) - 1 == pytest.approx(rate, rel=1e-6)


# -- first order, and Gauss-Newton


def test_momentum_alone_leaves_the_toy_as_known():
    settings = {"lr": 1 / 40, "exploits": False, "accuracy": 1e-12}
    for friction, known in ((0.008, 32), (0.05, 34), (0.1, 37)):
        method = CLASSES["perturbed_accelerated_gradient_descent"](
            **settings, friction=friction
        )
        assert n_to_leave(method) == known


def test_negative_curvature_is_exploited_from_rest_only_after_a_step():
    name = "perturbed_accelerated_gradient_descent"
    method = CLASSES[name](lr=1 / 40, friction=0.05, length=0.1, accuracy=1e-12)
    points = steps(method, TOY, START, 40)
    assert not torch.equal(points[0], START)
    lengths = [float((b - a).norm()) for a, b in itertools.pairwise(points)]
    assert any(length == pytest.approx(0.1) for length in lengths)
    assert n_to_leave(method) < 40


def test_accelerated_descent_adds_noise_at_the_saddle():
    method = CLASSES["perturbed_accelerated_gradient_descent"](
        smoothness=10.0, radius=1e-3
    )
    (first,) = steps(method, TOY, torch.zeros(2).double(), 1)
    assert 0 < float(first.norm()) <= 2e-3
    assert n_to_leave(method, torch.zeros(2).double()) < 100


def test_hessian_free_solves_a_convex_quadratic_in_one_step():
    problem, theta = quadratic([7.0, 4.0, 2.0, 1.0], 5)
    method = CLASSES["hessian_free"](damping=1e-12, progress=1e-12)
    (after,) = steps(method, problem, theta, 1)
    assert after.abs().max() < 1e-9
    state = method.init(theta)
    _, state = method.step(Oracle(problem, eager=True), theta, state)
    assert float(state.damping) == pytest.approx(1e-12 / 1.5)


def test_gauss_newton_steps_leave_the_zero_network_where_it_is():
    """At the zero of a parity network only the output's bias has a curvature, and no gradient."""
    parity = registry.load(registry.find("problem", "parity"))()
    for name in ("hessian_free", "curveball"):
        method = CLASSES[name](curvature="gauss_newton")
        (after,) = steps(method, parity, torch.zeros(41, dtype=torch.float64), 1)
        assert after.abs().max() < 1e-12
        start = parity.start(torch.Generator().manual_seed(0))
        before, end = (
            float(parity.loss(t, None))
            for t in (start, steps(method, parity, start, 60)[-1])
        )
        assert end < before
        assert "needs a network" in method.misfit(TOY)
        assert method.misfit(parity) is None


def test_curveball_minimises_the_model_over_its_plane():
    problem, theta = quadratic([7.0, 4.0, 2.0, 1.0], 6)
    method = CLASSES["curveball"](damping=0.0)
    before, after = steps(method, problem, theta, 2)
    H = problem.hessian(theta, None)
    z, g = before - theta, H @ before
    D = H @ z + g
    left = H @ (after - before) + g
    assert abs(float(left @ D)) < 1e-9 * float(g.norm() * D.norm())
    assert abs(float(left @ z)) < 1e-9 * float(g.norm() * z.norm())
    g = H @ theta  # from rest, the steepest descent of Cauchy
    torch.testing.assert_close(before, theta - (g @ g) / (g @ H @ g) * g)


def test_misuse():
    with pytest.raises(
        ValueError, match="shanks must be below terms / 2 = 2, got 2"
    ):
        CLASSES["series_sfn"](terms=4, shanks=2)


@pytest.mark.slow
@pytest.mark.parametrize("n", [2, 5])
def test_methods_end_where_scipys_do(n):
    """trust-exact, trust-krylov and ours from the same start: the same minimum of Rosenbrock."""
    rosenbrock = registry.load(registry.find("problem", "rosenbrock"))(n=n)
    start = np.full(n, 0.5)
    theirs = [
        optimize.minimize(
            optimize.rosen,
            start,
            method=method,
            jac=optimize.rosen_der,
            hess=optimize.rosen_hess,
            options={"gtol": 1e-9},
        ).x
        for method in ("trust-exact", "trust-krylov")
    ]
    for name in ("cubic_newton", "newton_cg", "hsodm", "nonconvex_newton"):
        end = steps(CLASSES[name](), rosenbrock, torch.from_numpy(start), 200)[-1]
        for other in theirs:
            np.testing.assert_allclose(end.numpy(), other, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_a_cubic_step_is_the_trust_region_step_of_its_length(seed):
    """More and Sorensen: the cubic model's minimum is that of the quadratic one in its ball."""
    from scipy.optimize._trustregion_exact import IterativeSubproblem

    rng = np.random.default_rng(seed)
    B = rng.normal(size=(6, 6))
    H, g = B + B.T, rng.normal(size=6)
    L, Q = np.linalg.eigh(H)
    cubic = module("cubic_newton").cubic_minimum
    s = Q @ cubic(torch.from_numpy(L), torch.from_numpy(Q.T @ g), 0.8).numpy()
    problem = IterativeSubproblem(
        np.zeros(6),
        lambda x: 0.0,
        lambda x: g,
        lambda x: H,
        k_easy=1e-10,
        k_hard=1e-10,
    )
    found, _ = problem.solve(np.linalg.norm(s))
    np.testing.assert_allclose(found, s, rtol=1e-4, atol=1e-5)
