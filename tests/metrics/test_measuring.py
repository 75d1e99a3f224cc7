"""Metrics at points whose answers are known."""

import math

import pytest
import torch

from sfnbench.errors import PluginError
from sfnbench.members import registry
from sfnbench.metrics import _hessian, measuring
from sfnbench.metrics.certificate import certify
from sfnbench.metrics.measuring import measure
from sfnbench.problems.monkey_saddle import MonkeySaddle
from sfnbench.problems.quadratic_saddle import QuadraticSaddle

SADDLE = QuadraticSaddle(eigenvalues=(3.0, 1.0, -0.5, -2.0), rotation=1)


def points(*rows):
    return torch.tensor(rows, dtype=torch.float64)


def measured(problem, name, theta):
    return measure(problem, name, theta)[name]


def test_metrics_of_a_quadratic_are_those_of_its_eigenvalues():
    theta = SADDLE.start(torch.Generator().manual_seed(0))[None] * 1e3
    assert measured(SADDLE, "min_eigenvalue", theta).item() == pytest.approx(-2)
    assert measured(SADDLE, "index_fraction", theta).item() == 0.5
    assert measured(SADDLE, "distance_to_saddle", theta).item() == pytest.approx(1)
    gradient = SADDLE.hessian(theta[0], None) @ theta[0]
    assert measured(SADDLE, "gradient_norm", theta).item() == pytest.approx(
        float(gradient.norm())
    )


def test_points_that_are_not_finite_measure_nan_and_the_others_their_own():
    theta = points([0.1, 0.2], [math.nan, 0.0], [math.inf, 1.0], [0.3, 0.1])
    for name in registry.members("metric"):
        values = measured(MonkeySaddle(), name, theta)
        assert torch.isfinite(values).tolist() == [True, False, False, True]
        alone = measured(MonkeySaddle(), name, theta[3:])
        assert values[3].item() == pytest.approx(alone.item())


PLUGIN = """
from dataclasses import dataclass
from typing import ClassVar
import torch
from sfnbench import Metric, register

@register("steepest")
@dataclass(frozen=True, kw_only=True)
class Steepest(Metric):
    \'\'\'The largest entry of the gradient, and which it is.\'\'\'
    companions: ClassVar[tuple[str, ...]] = ("steepest_place",)

    def measure(self, oracle, theta):
        size = oracle.grad(theta).abs()
        return {"steepest": size.max(), "steepest_place": size.argmax().to(theta)}
"""


def test_a_plugin_brings_a_metric_and_its_companions(plugin):
    plugin("metrics", "steepest", PLUGIN)
    bowl = QuadraticSaddle(eigenvalues=(1.0, 4.0))
    found = measure(
        bowl, "steepest", points([2.0, 1.0], [5.0, 1.0], [math.nan, 0.0])
    )
    gradients = torch.stack(
        [
            bowl.hessian(theta, None) @ theta
            for theta in points([2.0, 1.0], [5.0, 1.0])
        ]
    )
    assert torch.allclose(found["steepest"][:2], gradients.abs().amax(1))
    assert (
        found["steepest_place"][:2].tolist() == gradients.abs().argmax(1).tolist()
    )
    assert found["steepest"][2].isnan()
    assert found["steepest_place"][2].isnan()


def test_a_broken_metric_says_where(plugin):
    path = plugin("metrics", "steepest", PLUGIN.replace("import torch", "1 / 0"))
    with pytest.raises(PluginError, match=f"{path}:4: .*division by zero"):
        measure(SADDLE, "steepest", torch.zeros(1, 4, dtype=torch.float64))


def test_another_problem_s_measure_is_nan():
    found = measure(
        SADDLE, "training_error", torch.zeros(2, 4, dtype=torch.float64)
    )
    assert list(found) == ["training_error"]
    assert found["training_error"].isnan().tolist() == [True, True]


def test_large_problems_are_measured_point_by_point_with_the_same_numbers(
    monkeypatch,
):
    theta = torch.randn(
        5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    together = {
        name: measured(SADDLE, name, theta) for name in registry.members("metric")
    }
    monkeypatch.setattr(measuring, "BATCHED_DIM", 1)
    for name, values in together.items():
        assert torch.allclose(
            measured(SADDLE, name, theta), values, rtol=1e-12, atol=1e-12
        )


def test_an_end_point_that_was_measured_last_is_certified_without_another_product(
    monkeypatch,
):
    monkeypatch.setattr(_hessian, "DENSE_LIMIT", 3)
    monkeypatch.setattr(measuring, "BATCHED_DIM", 1)
    problem = QuadraticSaddle(eigenvalues=(5.0, 2.0, -1.0, -3.0))
    asked = []
    own = _hessian.extreme_eigenvalues
    monkeypatch.setattr(
        _hessian, "extreme_eigenvalues", lambda *a: (asked.append(1), own(*a))[1]
    )
    ends = points([0.1, 0.2, 0.3, 0.4], [1.0, 0.0, 0.0, 2.0], [0.0, 1.0, 2.0, 0.0])
    lowest = measured(problem, "min_eigenvalue", ends)
    assert len(asked) == 3
    for i in (1, 2):  # the last two are remembered
        assert certify(problem, ends[i]).min_eigenvalue == float(lowest[i])
    assert len(asked) == 3
    assert certify(problem, ends[0]).min_eigenvalue == pytest.approx(-3.0)
    assert len(asked) == 4
