"""Newton's method as a certificate: it arrives at critical points, and at nothing on a tail."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfnbench.linalg.newton import newton_roots


def newton_root(gradient, hessian, start):
    """The root (d,) from one start; None where there is none."""
    found = newton_roots(
        lambda x: np.array([gradient(each) for each in x]),
        lambda x: np.array([hessian(each) for each in x]),
        start[None],
    )
    if not found.found[0]:
        return None
    return SimpleNamespace(
        point=found.points[0],
        distance=np.linalg.norm(found.points[0] - start),
        convergence="linear" if found.is_linear[0] else "quadratic",
    )


def power(n):
    """|x|^n / n in one dimension, whose Newton steps fall by (n - 2) / (n - 1)."""
    return (
        lambda x: np.sign(x) * np.abs(x) ** (n - 1),
        lambda x: (n - 1) * np.diag(np.abs(x) ** (n - 2)),
    )


def monkey():
    """x^3 - 3 x y^2: its Hessian vanishes at the saddle."""

    def gradient(p):
        x, y = p
        return np.array([3 * x**2 - 3 * y**2, -6 * x * y])

    def hessian(p):
        x, y = p
        return np.array([[6 * x, -6 * y], [-6 * y, -6 * x]])

    return gradient, hessian


@pytest.mark.parametrize("n", [3, 4, 6, 10])
def test_degenerate_points_are_found_from_where_their_steps_lead(n):
    root = newton_root(*power(n), np.array([1e-3]))
    assert root.convergence == "linear"
    assert abs(root.point[0]) < 1e-3 * 0.05
    assert root.distance == pytest.approx(1e-3, rel=0.05)


def test_the_monkey_saddle_is_found():
    root = newton_root(*monkey(), np.array([1e-4, 2e-4]))
    assert root.convergence == "linear"
    assert np.linalg.norm(root.point) < 1e-5


TAILS = {
    "exponential": (lambda x: -np.exp(-x), lambda x: np.diag(np.exp(-x)), 15.0),
    "logistic": (
        lambda x: -1 / (1 + np.exp(x)),
        lambda x: np.diag(np.exp(x) / (1 + np.exp(x)) ** 2),
        15.0,
    ),
    "Lennard-Jones": (lambda x: 6 * x**-7, lambda x: np.diag(-42 * x**-8), 50.0),
    "Coulomb": (lambda x: -(x**-2), lambda x: np.diag(2 * x**-3), 1e6),
    "Gaussian": (
        lambda x: 2 * x * np.exp(-(x**2)),
        lambda x: np.diag((2 - 4 * x**2) * np.exp(-(x**2))),
        8.0,
    ),
    "linear": (lambda x: np.ones_like(x), lambda x: np.zeros((1, 1)), 3.0),
}


@pytest.mark.parametrize("name", TAILS)
def test_a_tail_has_no_critical_point(name):
    gradient, hessian, x = TAILS[name]
    assert newton_root(gradient, hessian, np.array([x])) is None


def test_a_hessian_that_is_not_finite_gives_no_root():
    nan = np.full((2, 2), np.nan)
    assert newton_root(lambda x: x, lambda x: nan, np.ones(2)) is None


def rosenbrock(x):
    gradient = np.array(
        [
            -2 * (1 - x[0]) - 400 * x[0] * (x[1] - x[0] ** 2),
            200 * (x[1] - x[0] ** 2),
        ]
    )
    hessian = np.array(
        [[2 - 400 * x[1] + 1200 * x[0] ** 2, -400 * x[0]], [-400 * x[0], 200.0]]
    )
    return gradient, hessian


@given(
    loss=st.floats(-12, 12),
    unit=st.floats(-6, 6),
    angle=st.floats(0, 3.1),
    shift=st.floats(-1, 1),
)
def test_units_of_loss_and_parameters_change_nothing(loss, unit, angle, shift):
    """f(x) as c f(R(x - b) / u): the same root, u times as far."""
    c, u = 10.0**loss, 10.0**unit
    R = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    start = np.array([1.0002, 1.0003])

    def own(x):
        return R @ (x / u - shift)

    def place(y):
        return u * (R.T @ y + shift)

    plain = newton_root(
        lambda x: rosenbrock(x)[0], lambda x: rosenbrock(x)[1], start
    )
    other = newton_root(
        lambda x: c / u * R.T @ rosenbrock(own(x))[0],
        lambda x: c / u**2 * R.T @ rosenbrock(own(x))[1] @ R,
        place(start),
    )
    assert plain.distance == pytest.approx(np.hypot(0.0002, 0.0003), rel=1e-9)
    assert other.distance == pytest.approx(u * plain.distance, rel=1e-5)
    assert other.convergence == plain.convergence == "quadratic"


def test_many_starts_at_once_are_as_one_by_one():
    gradient, hessian = monkey()
    starts = np.array([[1e-3, 2e-3], [0.5, 0.1], [3.0, -2.0], [0.0, 0.0]])
    together = newton_roots(
        lambda x: np.array([gradient(each) for each in x]),
        lambda x: np.array([hessian(each) for each in x]),
        starts,
    )
    for i, start in enumerate(starts):
        alone = newton_root(gradient, hessian, start)
        np.testing.assert_allclose(together.points[i], alone.point, atol=1e-12)


def test_a_first_step_beyond_reach_ends_the_search():
    H = np.diag([1.0, -1.0])
    starts = np.array([[3.0, 4.0], [0.3, 0.4]])
    found = newton_roots(
        lambda x: x @ H, lambda x: H[None], starts, reach=np.array([1.0, 1.0])
    )
    assert found.found.tolist() == [False, True]
    np.testing.assert_allclose(found.first_steps, -starts)


def test_a_gradient_in_the_kernel_of_the_hessian_is_no_root_however_far_one_has_come():
    """x^2 / 2 + y: Newton's steps do not see the slope along y."""
    found = newton_roots(
        lambda x: np.array([[x[0, 0], 1.0]]),
        lambda x: np.diag([1.0, 0.0])[None],
        np.array([[1e-3, 5.0]]),
        units=np.array([1e12]),
    )
    assert not found.found[0]


def test_a_slope_that_jumps_is_no_root_either():
    """As a saturated network's: a curvature that fits the step to nothing."""
    found = newton_roots(
        lambda x: np.array([[1e-3 * np.sign(x[0, 0]), 1.0]]),
        lambda x: np.diag([1.0, 0.0])[None],
        np.array([[1e-3, 5.0]]),
        units=np.array([1e12]),
    )
    assert not found.found[0]
