"""What trajectories in the plane are drawn from: their points, and the loss around the saddle."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sfnbench.experiments.race import execute as race
from sfnbench.experiments.race.landscape import N_SIDE, landscape
from sfnbench.problems.monkey_saddle import MonkeySaddle
from sfnbench.problems.quadratic_saddle import QuadraticSaddle
from sfnbench.session.execute import execute

BROKEN = """
from dataclasses import dataclass
import torch
from sfnbench import Problem, register

@register("cliff")
@dataclass(frozen=True, kw_only=True)
class Cliff(Problem):
    @property
    def dim(self):
        return 2

    def start(self, rng):
        return torch.full((2,), 1.0, dtype=torch.float64)

    def loss(self, theta, batch):
        raise ValueError("no loss here")
"""


def quadratic(run, problem=(10.0, -2.0)):
    return run(
        "quadratic_saddle",
        {"eigenvalues": list(problem), "radius": 0.01},
        "gradient_descent",
        {"lr": 0.05},
    )


def test_points_are_those_of_the_exact_law(make_run):
    """Along an axis with eigenvalue a, gradient descent multiplies by 1 - lr a in every step."""
    series = execute(quadratic(make_run)).series
    steps = np.arange(series["theta.0"].shape[1])
    for name, factor in (("theta.0", 1 - 0.05 * 10), ("theta.1", 1 + 0.05 * 2)):
        np.testing.assert_allclose(
            series[name], series[name][:, :1] * factor**steps, rtol=1e-12
        )
    np.testing.assert_allclose(
        np.hypot(series["theta.0"][:, 0], series["theta.1"][:, 0]), 0.01
    )


# sfn runs in one batch, trust-krylov seed by seed
@pytest.mark.parametrize("optimizer", ["sfn", "scipy.optimize.trust-krylov"])
def test_points_of_the_first_seeds_alone_are_kept_and_end_with_their_trajectory(
    make_run, optimizer
):
    result = execute(
        make_run("quadratic_saddle", {}, optimizer, {}, seeds=race.N_PATHS + 3)
    )
    assert result.series["seconds"].shape[0] == race.N_PATHS + 3
    ended = np.isnan(result.series["seconds"][: race.N_PATHS])
    for name in ("theta.0", "theta.1"):
        np.testing.assert_array_equal(np.isnan(result.series[name]), ended)
    x, y, ends = (result.series[name] for name in ("theta.0", "theta.1", "loss"))
    np.testing.assert_allclose(
        5 * x**2 - y**2, ends[: race.N_PATHS], rtol=1e-9, atol=1e-20
    )


def test_other_problems_keep_none(make_run):
    series = execute(
        make_run(
            "quadratic_saddle", {"eigenvalues": [1, 2, -1]}, "sfn", {"damping": 0.0}
        )
    ).series
    assert not [name for name in series if name.startswith(("theta", "landscape"))]


def starts(problem, n=3):
    return torch.stack(
        [problem.start(torch.Generator().manual_seed(seed)) for seed in range(n)]
    )


def coordinates(found):
    """Of the grid, along either axis, and its unit."""
    ((x, y, unit, reach),) = found["landscape.frame"]
    line = unit * np.sinh(reach * np.linspace(-1, 1, N_SIDE))
    return x + line, y + line, unit


@pytest.mark.parametrize(
    "problem",
    [QuadraticSaddle(), QuadraticSaddle(rotation=3, radius=5.0), MonkeySaddle()],
)
def test_the_frame_has_the_saddle_in_its_centre_and_shows_the_way_out(problem):
    found = landscape(problem, starts(problem))
    (x, y, unit), loss = coordinates(found), found["landscape"]
    middle = N_SIDE // 2
    assert (x[middle], y[middle], loss[middle, middle]) == (0, 0, 0)
    assert problem.radius / np.sqrt(2) <= unit <= problem.radius
    assert loss.min() < -problem.escape_drop
    for i, j in ((0, 0), (5, 30), (40, 1)):
        point = torch.tensor([x[j], y[i]], dtype=torch.float64)
        assert loss[i, j] == pytest.approx(
            float(problem.loss(point, None)), rel=1e-12
        )


def test_the_frame_ends_twice_as_far_as_the_first_doubling_that_escapes():
    """y^2 = 1 is left behind at 2^10 thousandths, and the unit is the start's larger coordinate."""
    found = landscape(
        QuadraticSaddle(start_at=(0.0, 1e-3)),
        torch.tensor([[0.0, 1e-3]], dtype=torch.float64),
    )
    x, y, unit = coordinates(found)
    assert unit == 1e-3
    assert (x[-1], y[0]) == pytest.approx((2.048, -2.048))


def test_without_a_saddle_the_frame_is_around_starts_and_critical_points():
    problem = QuadraticSaddle(eigenvalues=(1.0, 2.0), start_at=(3.0, 1.0))
    x, y, unit = coordinates(landscape(problem, starts(problem, 1)))
    np.testing.assert_allclose(
        [x[0], x[-1], y[0], y[-1], unit], [-1.5, 4.5, -2.5, 3.5, 1.5]
    )


def test_all_optimizers_share_the_frame(make_run):
    one, other = (
        execute(make_run("monkey_saddle", {}, use, {}, steps=2)).series
        for use in ("sfn", "gradient_descent")
    )
    for name in ("landscape", "landscape.frame"):
        np.testing.assert_array_equal(one[name], other[name])


def test_a_loss_that_breaks_costs_no_result(plugin):
    plugin("problems", "cliff", BROKEN)
    from sfnbench.members import registry

    class Plane:
        problem = registry.build("problem", "cliff", {})

        def starts(self, seeds):
            return torch.stack(
                [self.problem.start(torch.Generator()) for _ in seeds]
            )

    series = {
        "loss": np.ones((9, 3)),
        "theta.0": np.ones((9, 3)),
        "theta.1": np.ones((9, 3)),
    }
    assert {
        name: len(kept)
        for name, kept in race._drawable(Plane(), (1, 2), series).items()
    } == {"loss": 9, "theta.0": 2, "theta.1": 2}


def test_it_is_drawn_once_for_all_optimizers_and_each_has_its_own():
    starts = torch.tensor([[0.1, 0.2]], dtype=torch.float64)
    first, second = (landscape(MonkeySaddle(), starts) for _ in range(2))
    for name, array in first.items():
        np.testing.assert_array_equal(array, second[name])
        array[:] = 0.0
    third = landscape(MonkeySaddle(), starts)
    moved = landscape(MonkeySaddle(), 2 * starts)
    for name, array in second.items():
        np.testing.assert_array_equal(array, third[name])
        assert not np.array_equal(array, moved[name])
