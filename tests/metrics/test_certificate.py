"""Certificates of end points whose answers are known."""

import math
from dataclasses import dataclass, replace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sfnbench.core.problem import Problem
from sfnbench.metrics.certificate import certify
from sfnbench.metrics.measuring import measure
from sfnbench.problems.linear_autoencoder import LinearAutoencoder
from sfnbench.problems.mlp import MultilayerPerceptron
from sfnbench.problems.monkey_saddle import MonkeySaddle
from sfnbench.problems.quadratic_saddle import QuadraticSaddle

SADDLE = QuadraticSaddle(eigenvalues=(3.0, 1.0, -0.5, -2.0), rotation=1)


def points(*rows):
    return torch.tensor(rows, dtype=torch.float64)


@pytest.mark.parametrize(
    ("problem", "theta", "kind", "alpha"),
    [
        (SADDLE, [0.0] * 4, "min-max saddle", 0.5),
        (SADDLE, [0.1] * 4, "not certified", 0.5),
        (QuadraticSaddle(eigenvalues=(1.0, 2.0)), [0.0, 0.0], "minimum", 0.0),
        (QuadraticSaddle(eigenvalues=(1.0, 0.0)), [0.0, 5.0], "degenerate", 0.0),
        (MonkeySaddle(), [0.0, 0.0], "degenerate", 0.0),
        # near in which units? In any, one of its two curvatures is negative
        (MonkeySaddle(), [1e-120, 1e-120], "not certified", 0.5),
        (MonkeySaddle(), [math.nan, 0.0], "diverged", None),
    ],
)
def test_end_points_are_called_what_they_are(problem, theta, kind, alpha):
    certificate = certify(problem, points(theta)[0])
    assert (certificate.end_point, certificate.index_fraction) == (kind, alpha)


def test_every_known_critical_point_is_certified_with_its_index():
    problem = LinearAutoencoder(n_inputs=4, n_hidden=2)
    for known in problem.critical_points:
        certificate = certify(problem, known.point)
        assert certificate.gradient_norm < 1e-9
        n_counted = problem.dim - known.n_zero  # directions that are no symmetry's
        assert certificate.index_fraction * n_counted == pytest.approx(known.index)
        assert certificate.end_point == (
            "min-max saddle" if known.index else "minimum"
        )


@pytest.mark.parametrize(
    ("theta", "kind"),
    [([0.0] * 4, "min-max saddle"), ([0.1] * 4, "not certified")],
    ids=["saddle", "slope"],
)
def test_beyond_the_dense_limit_lanczos_proves_what_it_can(
    monkeypatch, theta, kind
):
    monkeypatch.setattr("sfnbench.metrics._hessian.DENSE_LIMIT", 3)
    certificate = certify(SADDLE, points(theta)[0])
    assert certificate.end_point == kind
    assert certificate.min_eigenvalue == pytest.approx(-2)
    # four dimensions are soon exhausted
    assert certificate.min_eigenvalue_residual == pytest.approx(0, abs=1e-9)
    assert certificate.index_fraction is None
    values = measure(SADDLE, "min_eigenvalue", points(theta))
    assert values["min_eigenvalue"].item() == pytest.approx(-2)
    assert values["min_eigenvalue_residual"].item() == pytest.approx(0, abs=1e-9)


@pytest.fixture
def by_products(monkeypatch):
    """No Hessian is taken whole."""
    monkeypatch.setattr("sfnbench.metrics._hessian.DENSE_LIMIT", 0)


def test_beyond_the_dense_limit_there_is_no_index(by_products):
    values = measure(SADDLE, "index_fraction", points([0.0] * 4))
    assert torch.isnan(values["index_fraction"]).all()


SPREAD = QuadraticSaddle(eigenvalues=(5.0, 2.0, 1.0, -0.5, -3.0), rotation=2)
BOWL = QuadraticSaddle(eigenvalues=(1.0, 2.0, 7.0), rotation=3)
VALLEY = QuadraticSaddle(eigenvalues=(1.0, 2.0, 0.0), rotation=3)
RIDGE = LinearAutoencoder(n_inputs=4, n_hidden=2, saddle_at=(0, 1))
NETWORK = MultilayerPerceptron(dataset="digits", size=4, n_examples=60, hidden=(3,))


def ended(problem, seed, share):
    """A start (d,), and an end that has gone a share of the way from it to a known point."""
    rng = torch.Generator().manual_seed(seed)
    start = problem.start(rng)
    if problem is NETWORK:
        return start, start + 0.1 * torch.randn(len(start), generator=rng).double()
    known = problem.saddle or problem.critical_points[0]
    return start, known.point + (1 - share) * (start - known.point)


@pytest.mark.parametrize("share", [0.5, 0.999, 1 - 1e-9, 1.0])
@pytest.mark.parametrize(
    "problem", [SPREAD, BOWL, VALLEY, MonkeySaddle(), RIDGE, NETWORK], ids=repr
)
def test_products_certify_what_hessians_certify(problem, share, monkeypatch):
    for seed in range(2):
        start, end = ended(problem, seed, share)
        dense = certify(problem, end, start)
        with monkeypatch.context() as here:
            here.setattr("sfnbench.metrics._hessian.DENSE_LIMIT", 0)
            found = certify(problem, end, start)
        assert (found.end_point, found.is_held) == (dense.end_point, dense.is_held)
        if dense.root_distance is not None:
            reach = 1e-6 * float((end - start).norm())
            assert found.root_distance == pytest.approx(
                dense.root_distance, abs=reach
            )


@given(st.floats(-30, 30), st.floats(-30, 30))
@settings(
    max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_words_are_the_same_in_any_units(by_products, loss_power, length_power):
    """The loss times c and the parameters times s."""
    c, s = 10.0**loss_power, 10.0**length_power
    eigenvalues = tuple(c / s**2 * value for value in SPREAD.eigenvalues)
    problem = replace(SPREAD, eigenvalues=eigenvalues, radius=1e-3 * s)
    start, end = ended(problem, 0, 0.999)
    assert certify(problem, end, start).end_point == "min-max saddle"
    assert certify(problem, start, end).end_point == "not certified"


@pytest.mark.parametrize(
    ("lowest", "kind"),
    [
        (1.0, "minimum"),
        (-0.1, "min-max saddle"),
        (1e-2, "not certified"),  # a negative one could hide beside it
        (0.0, "not certified"),
    ],
)
def test_five_thousand_parameters_are_certified_as_far_as_products_see(
    lowest, kind
):
    eigenvalues = (lowest, *torch.linspace(1, 3, 4999).tolist())
    problem = QuadraticSaddle(eigenvalues=eigenvalues, radius=1.0)
    start = torch.ones(5000).double()
    found = certify(problem, 1e-5 * start, start)
    assert (found.end_point, found.is_held) == (kind, lowest < 0)
    upside_down = tuple(-value for value in eigenvalues)
    found = certify(replace(problem, eigenvalues=upside_down), 1e-5 * start, start)
    assert found.end_point == kind.replace("minimum", "maximum")
    assert found.is_held


@dataclass(frozen=True)
class Tails(Problem):
    """Sums of log(1 + exp(-x)): it falls for ever, wherever x goes to infinity."""

    dim: int = 40

    def start(self, rng):
        return torch.zeros(self.dim, dtype=torch.float64)

    def loss(self, theta, batch):
        return torch.nn.functional.softplus(-theta).sum()


@pytest.mark.parametrize("dim", [40, 5000])
def test_a_tail_runs_away_at_any_size(dim):
    problem = Tails(dim)
    start = torch.zeros(dim).double()
    for far in (12.0, 15.0):
        end = torch.linspace(far - 2, far, dim).double()
        assert certify(problem, end, start).end_point == "ran away"
    # by products as with the Hessian: a step back is none away
    assert certify(problem, start, end).end_point == "not certified"


class Kink(QuadraticSaddle):
    """|x|^(3/2) - y^2: its Hessian is infinite at x = 0, where its gradient is zero."""

    def loss(self, theta, batch):
        x, y = theta
        return x.abs() ** 1.5 - y**2

    def hessian(self, theta, batch):
        x, _ = theta
        return torch.diag(torch.stack([0.75 * x.abs() ** -0.5, 0 * x - 2.0]))


@pytest.mark.parametrize("theta", [[0.0, 0.0], [0.0, 1e-9], [1e-9, 0.0]])
def test_where_the_hessian_is_not_finite_nothing_is_certified(theta):
    end, start = points(theta)[0], points([0.1, 1e-3])[0]
    for found in (certify(Kink(), end), certify(Kink(), end, start)):
        assert (found.end_point, found.is_held) == ("not certified", False)
        if not theta[0]:
            assert found.min_eigenvalue is None or math.isnan(found.min_eigenvalue)
            assert found.index_fraction is None or math.isnan(found.index_fraction)


def test_products_that_are_not_finite_certify_nothing(by_products):
    end, start = points([0.0, 0.0])[0], points([0.1, 1e-3])[0]
    assert certify(Kink(), end, start).end_point == "not certified"


class Steps(Kink):
    """Newton's method arrives at 0, where the Hessian is not a number."""

    def loss(self, theta, batch):
        return theta @ theta / 2

    def hessian(self, theta, batch):
        H = torch.eye(2, dtype=theta.dtype)
        return torch.where(theta.abs().sum() < 1e-12, torch.nan, H)


def test_a_critical_point_without_a_hessian_has_no_kind():
    found = certify(Steps(), points([1e-7, 1e-7])[0], points([1.0, 1.0])[0])
    assert found.end_point == "not certified"
