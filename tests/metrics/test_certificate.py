"""Certificates of end points whose answers are known."""

import math

import pytest
import torch

from sfnbench.metrics.certificate import certify
from sfnbench.metrics.measuring import measure
from sfnbench.problems.linear_autoencoder import LinearAutoencoder
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
        # near in which units?
        (MonkeySaddle(), [1e-120, 1e-120], "not certified", 0.0),
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
        assert certificate.index_fraction * problem.dim == pytest.approx(known.index)
        assert certificate.end_point == (
            "min-max saddle" if known.index else "degenerate"
        )  # its minima are valleys


@pytest.mark.parametrize(
    ("theta", "kind"),
    [([0.0] * 4, "not certified"), ([0.1] * 4, "not certified")],
    ids=["saddle", "slope"],
)
def test_beyond_the_dense_limit_lanczos_proves_what_it_can(monkeypatch, theta, kind):
    monkeypatch.setattr("sfnbench.metrics._hessian.DENSE_LIMIT", 3)
    certificate = certify(SADDLE, points(theta)[0])
    assert certificate.end_point == kind
    assert certificate.min_eigenvalue == pytest.approx(-2)
    assert certificate.min_eigenvalue_residual == pytest.approx(
        0, abs=1e-9
    )  # four dimensions are soon exhausted
    assert certificate.index_fraction is None
    values = measure(SADDLE, "min_eigenvalue", points(theta))
    assert values["min_eigenvalue"].item() == pytest.approx(-2)
    assert values["min_eigenvalue_residual"].item() == pytest.approx(0, abs=1e-9)


def test_beyond_the_dense_limit_no_minimum_is_claimed(monkeypatch):
    monkeypatch.setattr("sfnbench.metrics._hessian.DENSE_LIMIT", 1)
    bowl = QuadraticSaddle(eigenvalues=(1.0, 2.0))
    certificate = certify(bowl, points([0.0, 0.0])[0])
    assert certificate.end_point == "not certified"
    assert torch.isnan(
        measure(bowl, "index_fraction", points([0.0, 0.0]))["index_fraction"]
    ).all()


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
