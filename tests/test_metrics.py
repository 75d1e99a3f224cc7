"""Metrics and certificates at points whose answers are known."""

import math

import pytest
import torch

from sfnbench import metrics
from sfnbench.problems.linear_autoencoder import LinearAutoencoder
from sfnbench.problems.monkey_saddle import MonkeySaddle
from sfnbench.problems.quadratic_saddle import QuadraticSaddle

SADDLE = QuadraticSaddle(eigenvalues=(3.0, 1.0, -0.5, -2.0), rotation=1)


def points(*rows):
    return torch.tensor(rows, dtype=torch.float64)


def test_metrics_of_a_quadratic_are_those_of_its_eigenvalues():
    theta = SADDLE.start(torch.Generator().manual_seed(0))[None] * 1e3
    assert metrics.measure(SADDLE, "min_eigenvalue", theta).item() == pytest.approx(-2)
    assert metrics.measure(SADDLE, "index_fraction", theta).item() == 0.5
    assert metrics.measure(SADDLE, "distance_to_saddle", theta).item() == pytest.approx(1)
    gradient = SADDLE.hessian(theta[0], None) @ theta[0]
    assert metrics.measure(SADDLE, "gradient_norm", theta).item() == pytest.approx(float(gradient.norm()))


def test_points_that_are_not_finite_measure_nan_and_the_others_their_own():
    theta = points([0.1, 0.2], [math.nan, 0.0], [math.inf, 1.0], [0.3, 0.1])
    for name in metrics.METRICS:
        values = metrics.measure(MonkeySaddle(), name, theta)
        assert torch.isfinite(values).tolist() == [True, False, False, True]
        alone = metrics.measure(MonkeySaddle(), name, theta[3:])
        assert values[3].item() == pytest.approx(alone.item())


@pytest.mark.parametrize(
    ("problem", "theta", "kind", "alpha"),
    [
        (SADDLE, [0.0] * 4, "strict saddle", 0.5),
        (SADDLE, [0.1] * 4, "not critical", 0.5),
        (QuadraticSaddle(eigenvalues=(1.0, 2.0)), [0.0, 0.0], "minimum", 0.0),
        (QuadraticSaddle(eigenvalues=(1.0, 0.0)), [0.0, 5.0], "degenerate", 0.0),
        (MonkeySaddle(), [0.0, 0.0], "degenerate", 0.0),
        (MonkeySaddle(), [1e-120, 1e-120], "degenerate", 0.0),
        (MonkeySaddle(), [math.nan, 0.0], "diverged", None),
    ],
)
def test_end_points_are_called_what_they_are(problem, theta, kind, alpha):
    certificate = metrics.certify(problem, points(theta)[0])
    assert (certificate.end_point, certificate.index_fraction) == (kind, alpha)


def test_every_known_critical_point_is_certified_with_its_index():
    problem = LinearAutoencoder(n_inputs=4, n_hidden=2)
    for known in problem.critical_points:
        certificate = metrics.certify(problem, known.point)
        assert certificate.gradient_norm < 1e-9
        assert certificate.index_fraction * problem.dim == pytest.approx(known.index)
        assert certificate.end_point == ("strict saddle" if known.index else "degenerate")  # its minima are valleys


def test_beyond_the_dense_limit_nothing_is_claimed(monkeypatch):
    monkeypatch.setattr(metrics, "DENSE_LIMIT", 3)
    certificate = metrics.certify(SADDLE, torch.zeros(4, dtype=torch.float64))
    assert certificate == (0.0, None, None, "critical, of unknown index")
    assert torch.isnan(metrics.measure(SADDLE, "min_eigenvalue", torch.zeros(1, 4, dtype=torch.float64))).all()
