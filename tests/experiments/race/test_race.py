"""What the race promises whoever enters.

Statuses, budgets, fair draws, and numbers that nothing else decides.
"""

import sys

import numpy as np
import pytest
import torch

from sfnbench import load_suite, plan
from sfnbench.experiments.race import blocks
from sfnbench.experiments.race.at_budget import axis_of
from sfnbench.experiments.randomness import generator
from sfnbench.experiments.setup import Setup
from sfnbench.experiments.summary import summary
from sfnbench.results.cells import text
from sfnbench.session.execute import execute
from sfnbench.trajectories.single import Looped
from sfnbench.trajectories.vmapped import Vmapped

CLIFF = '''
from dataclasses import dataclass
import torch
from sfnbench import Problem, register

@register("cliff")
@dataclass(frozen=True)
class Cliff(Problem):
    """Not a number beyond x = 1; seed by seed the start comes nearer to it."""
    dim = 2
    def start(self, rng):
        corner = torch.tensor([0.0, 0.5], dtype=torch.float64)
        return corner + 0.95 * torch.rand(2, generator=rng, dtype=torch.float64)
    def loss(self, theta, batch):
        return torch.sqrt(1 - theta[0]) + theta[1] ** 2
'''

MOODY = '''
import warnings
from dataclasses import dataclass
from sfnbench import Optimizer, register

@register("moody")
@dataclass(frozen=True)
class Moody(Optimizer):
    """Branches on values, and gives up on some."""
    vmappable = False
    def step(self, oracle, theta, state):
        loss, grad = oracle.loss_and_grad(theta)
        warnings.warn("beware", stacklevel=1)
        if theta[0] > 0:
            raise ValueError("not with me")
        return theta - 0.01 * grad, state
'''


@pytest.mark.parametrize(("optimizer", "n"), [("gradient_descent", 7), ("sfn", 3)])
def test_a_seed_that_breaks_leaves_the_others_alone(make_run, plugin, optimizer, n):
    plugin("problems", "cliff", CLIFF)
    params = {"gradient_descent": {"lr": 0.05}, "sfn": {"lr": 0.6, "damping": 1.0}}[
        optimizer
    ]
    together = execute(make_run("cliff", {}, optimizer, params, seeds=6, steps=n))
    statuses = [row["status"] for row in together.rows]
    assert set(statuses) == {"ok", "diverged"}  # or this test would show nothing
    assert together.status == "diverged"
    for seed, row in enumerate(together.rows):
        alone = execute(
            make_run("cliff", {}, optimizer, params, seeds=[seed], steps=n)
        ).rows[0]
        assert (alone["status"], alone["steps"]) == (row["status"], row["steps"])
        if row["status"] == "ok":
            assert row["final_loss"] == pytest.approx(alone["final_loss"], rel=1e-9)
            assert row["n_grad"] == n
        else:
            assert row["end_point"] == "diverged"
            assert row["n_grad"] == row["steps"] <= n
            assert np.isfinite(row["best_loss"])


def test_a_seed_that_raises_is_an_error_of_its_own(make_run, plugin):
    plugin("optimizers", "moody", MOODY)
    result = execute(make_run("monkey_saddle", {}, "moody", {}, seeds=6, steps=3))
    starts = [generator(seed, "start") for seed in range(6)]
    from sfnbench.problems.monkey_saddle import MonkeySaddle

    raises = [float(MonkeySaddle().start(rng)[0]) > 0 for rng in starts]
    assert [row["status"] == "error" for row in result.rows] == raises
    assert 0 < sum(raises) < 6
    assert "beware" in result.log
    # a reader looks here for what happened
    assert result.log.splitlines()[-1] == "ValueError: not with me"
    assert result.status == "error"
    assert "ValueError: not with me" in result.log


@pytest.mark.parametrize("seeds", [1, 2, 5])
def test_a_method_that_raises_at_once_is_an_error_of_every_seed(
    make_run, plugin, seeds
):
    """Together in one batch as alone: the table counts them alike."""
    lines = [line for line in MOODY.splitlines() if "vmappable" not in line]
    broken = "\n".join(lines).replace("if theta[0] > 0:", "if True:")
    plugin("optimizers", "moody", broken)
    result = execute(
        make_run("monkey_saddle", {}, "moody", {}, seeds=seeds, steps=3)
    )
    assert [(r["seed"], r["status"]) for r in result.rows] == [
        (seed, "error") for seed in range(seeds)
    ]
    assert result.status == "error"
    assert result.log.splitlines()[-1] == "ValueError: not with me"
    (line,) = summary([result])
    assert text(line["escaped"]) == f"0/{seeds}"
    assert text(line["escape step"]) == "never"


def test_stuck_is_a_point_that_stays_though_its_gradient_is_not_zero(
    make_run, plugin
):
    still = (
        MOODY.replace("moody", "still")
        .replace("Moody", "Still")
        .replace("if theta[0] > 0:", "if False:")
    )
    plugin("optimizers", "still", still.replace("- 0.01 * grad", "+ 0 * grad"))
    (row,) = execute(
        make_run("monkey_saddle", {}, "still", {}, seeds=1, steps=3)
    ).rows
    assert row["status"] == "stuck"
    (row,) = execute(
        make_run(
            "quadratic_saddle",
            {},
            "damped_newton",
            {"damping": 0.0},
            seeds=1,
            steps=3,
        )
    ).rows
    assert row["status"] == "ok"  # it stays too, but where the gradient is zero


def test_budget_in_cost_ends_a_trajectory_at_the_step_that_uses_it_up(make_run):
    result = execute(
        make_run("quadratic_saddle", {}, "sfn", {"damping": 0.0}, steps=50, cost=12)
    )
    for row in result.rows:
        # 1 gradient and a Hessian at 2 d = 4 a step: 5, 10, and 15 is more than there was
        assert (row["steps"], row["cost"], row["limit"]) == (2, 10, "cost")
        assert (row["n_grad"], row["n_hessian"]) == (2, 2)
    assert result.series["loss"].shape == (3, 3)


def test_budget_in_seconds_ends_the_race(make_run):
    result = execute(
        make_run(
            "quadratic_saddle",
            {},
            "damped_newton",
            {"damping": 0.0},
            seeds=2,
            steps=10**6,
            seconds=0.1,
        )
    )
    for row in result.rows:
        assert row["steps"] < 10**6
        assert row["seconds"] >= 0.1


def test_one_seed_runs_by_plain_autograd(make_run):
    setup = Setup(make_run("monkey_saddle", {}, "gradient_descent", {}))
    alone, together = (
        setup.trajectories(setup.starts(seeds), seeds) for seeds in ((0,), (0, 1))
    )
    assert isinstance(alone, Looped)
    assert isinstance(together, Vmapped)


def test_the_same_run_gives_the_same_bits(make_run):
    for problem in ("monkey_saddle", "linear_autoencoder"):
        run = make_run(
            problem,
            {},
            "noisy_gradient_descent",
            {"lr": 0.02},
            steps=60,
            metrics=["loss", "gradient_norm"],
        )
        first, second = execute(run), execute(run)
        for name, values in first.series.items():
            if name != "seconds":
                np.testing.assert_array_equal(values, second.series[name])


def test_the_size_of_blocks_decides_nothing(make_run, monkeypatch):
    for problem, optimizer, metrics in (
        ("quadratic_saddle", "sfn", ["loss"]),
        ("monkey_saddle", "noisy_gradient_descent", ["loss"]),
        ("gaussian_field", "gradient_descent", ["loss", "energy"]),
    ):
        run = make_run(
            problem,
            {},
            optimizer,
            {},
            steps=60,
            metrics=[*metrics, ["gradient_norm", 7]],
            cost=200,
        )
        monkeypatch.setattr(blocks, "BLOCK_S", 1e9)
        large = execute(run)
        monkeypatch.setattr(blocks, "BLOCK_S", 0.0)
        small = execute(run)
        for name, values in large.series.items():
            if name != "seconds":
                np.testing.assert_array_equal(values, small.series[name])
        keys = set(large.rows[0]) - {"seconds", "escape_seconds"}
        assert [{k: row[k] for k in keys} for row in large.rows] == [
            {k: row[k] for k in keys} for row in small.rows
        ]


@pytest.mark.parametrize(
    "optimizer",
    ["gradient_descent", "msgd", "sfn", "torch.optim.Adam", "scipy.optimize.BFGS"],
)
def test_the_loss_series_is_the_loss_at_each_point(make_run, optimizer):
    """Losses that steps bring along are those that measuring gives.

    The distance series pins the points down.
    """
    params = {"lr": 0.05} if "scipy" not in optimizer else {}
    run = make_run("linear_autoencoder", {}, optimizer, params, seeds=2, steps=12)
    along = execute(run).series["loss"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks.Stepper, "_losses", lambda stepper, steps: None)
        measured = execute(run).series["loss"]
    np.testing.assert_allclose(along, measured, rtol=1e-12)


def test_every_optimizer_gets_the_same_starts_and_draws(make_run):
    mlp = {"size": 4, "n_examples": 60, "hidden": [3]}
    optimizers = (
        ("gradient_descent", {"lr": 0.1, "batch_size": 10}),
        ("msgd", {"lr": 0.1, "momentum": 0.0, "batch_size": 10}),
        ("torch.optim.SGD", {"lr": 0.1, "batch_size": 10}),
    )
    losses = [
        execute(make_run("mlp", mlp, use, params, steps=5)).series["loss"]
        for use, params in optimizers
    ]
    # one method under three names: equal minibatches make equal curves
    for other in losses[1:]:
        np.testing.assert_allclose(other, losses[0], rtol=1e-10)
    assert len(np.unique(losses[0][:, 1])) == 3  # and each seed has its own


def test_a_seed_draws_the_same_alone_and_in_a_batch(make_run):
    batch = execute(
        make_run(
            "monkey_saddle", {}, "noisy_gradient_descent", {}, seeds=5, steps=4
        )
    ).series["loss"]
    alone = execute(
        make_run(
            "monkey_saddle", {}, "noisy_gradient_descent", {}, seeds=[3], steps=4
        )
    ).series["loss"]
    np.testing.assert_allclose(batch[3], alone[0], rtol=1e-12)


def test_metrics_are_taken_as_often_as_asked(make_run):
    metrics = [["loss", 5], ["min_eigenvalue", 10], "distance_to_saddle"]
    series = execute(
        make_run(
            "linear_autoencoder",
            {},
            "gradient_descent",
            {},
            steps=23,
            metrics=metrics,
        )
    ).series
    assert series["loss.step"].tolist() == 3 * [[0, 5, 10, 15, 20]]
    assert series["min_eigenvalue.step"].tolist() == 3 * [[0, 10, 20]]
    assert series["distance_to_saddle.step"].tolist() == 3 * [list(range(24))]
    np.testing.assert_allclose(series["distance_to_saddle"][:, 0], 1e-3, rtol=1e-9)


def test_metrics_are_taken_each_time_so_much_cost_is_used_up(make_run):
    mlp = {"size": 4, "n_examples": 60, "hidden": [3]}
    metrics = [["loss", {"cost": 1.0}], ["gradient_norm", {"cost": 2.0}]]
    run = make_run(
        "mlp", mlp, "msgd", {"batch_size": 20}, steps=10**6, metrics=metrics, cost=4
    )
    result = execute(run)  # three steps of 20 of the 60 examples are one gradient
    assert [row["steps"] for row in result.rows] == [12, 12, 12]
    assert [(row["n_grad"], row["cost"]) for row in result.rows] == 3 * [
        (12, pytest.approx(4))
    ]
    assert result.series["loss.step"].tolist() == 3 * [[0, 3, 6, 9, 12]]
    assert result.series["gradient_norm.step"].tolist() == 3 * [[0, 6, 12]]
    assert result.series["passes.grad"][0] == pytest.approx(np.arange(13) / 3)


def test_a_run_on_minibatches_is_never_called_stuck(make_run, plugin):
    still = (
        MOODY.replace("moody", "still")
        .replace("Moody", "Still")
        .replace("if theta[0] > 0:", "if False:")
    )
    plugin("optimizers", "still", still.replace("- 0.01 * grad", "+ 0 * grad"))
    mlp = {"size": 4, "n_examples": 60, "hidden": [3]}
    for params, status in (({}, "stuck"), ({"batch_size": 10}, "ok")):
        (row,) = execute(
            make_run("mlp", mlp, "still", params, seeds=1, steps=3)
        ).rows
        assert row["status"] == status  # on another batch it might have moved


def test_measuring_costs_neither_calls_nor_numbers(make_run):
    bare = execute(make_run("linear_autoencoder", {}, "msgd", {}, steps=20))
    metrics = [
        "loss",
        "gradient_norm",
        "min_eigenvalue",
        "index_fraction",
        "distance_to_saddle",
    ]
    rich = execute(
        make_run("linear_autoencoder", {}, "msgd", {}, steps=20, metrics=metrics)
    )
    np.testing.assert_array_equal(bare.series["loss"], rich.series["loss"])
    assert [row["n_grad"] for row in rich.rows] == [20, 20, 20]
    assert all(
        row["n_loss"] == row["n_hvp"] == row["n_hessian"] == 0 for row in rich.rows
    )


def test_float32_stays_float32(make_run):
    from dataclasses import replace

    run = make_run("linear_autoencoder", {}, "sfn", {"damping": 0.1}, steps=3)
    series = execute(replace(run, dtype="float32")).series["loss"]
    assert (series == series.astype(np.float32)).all()
    assert (execute(run).series["loss"] != series)[:, 1:].any()


def test_a_gpu_that_is_not_there_is_said_so(make_run):
    from dataclasses import replace

    from sfnbench.errors import DeviceError

    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    with pytest.raises(DeviceError, match="no GPU"):
        execute(
            replace(
                make_run("monkey_saddle", {}, "sfn", {"damping": 0.0}),
                device="cuda",
            )
        )


COUNTING = '''
from dataclasses import dataclass
from sfnbench import Optimizer, register

MADE = []

@register("counting")
@dataclass(frozen=True)
class Counting(Optimizer):
    """Remembers its steps, which cost a gradient each, from the thousandth on a hundred."""
    vmappable = False
    def step(self, oracle, theta, state):
        MADE.append(1)
        for _ in range(1 if len(MADE) < 1000 else 100):
            grad = oracle.grad(theta)
        return theta - 0.01 * grad, state
'''


def test_no_step_is_made_that_the_budget_does_not_pay_for(make_run, plugin):
    """Not even where the steps before it were so cheap that a block would hold hundreds of them."""
    plugin("optimizers", "counting", COUNTING)
    run = make_run(
        "quadratic_saddle",
        {"eigenvalues": [1.0, 2.0]},
        "counting",
        {},
        seeds=1,
        steps=10**6,
        cost=1500,
    )
    (row,) = execute(run).rows
    (module,) = (
        module for name, module in sys.modules.items() if name.endswith(".counting")
    )
    warm_up, beyond = 1, 1  # the step that cost too much is dropped
    assert row["steps"] in (
        len(module.MADE) - warm_up,
        len(module.MADE) - warm_up - beyond,
    )
    assert row["n_grad"] == row["cost"]
    assert 1400 < row["cost"] <= 1500


@pytest.mark.parametrize(
    ("size", "n_steps"), [(None, 3), (300, 3), (100, 9), (7, 129)]
)
def test_an_epoch_is_as_many_steps_as_minibatches_make_up_all_examples(
    make_run, size, n_steps
):
    problem = {"size": 4, "n_examples": 300, "hidden": [2]}
    metrics = [("loss", {"epochs": 1})]
    params = {"lr": 0.1, "batch_size": size}
    run = make_run(
        "mlp",
        problem,
        "gradient_descent",
        params,
        seeds=2,
        steps=1000,
        epochs=3,
        metrics=metrics,
    )
    result = execute(run)
    assert [row["steps"] for row in result.rows] == [n_steps] * 2
    # the cost counts gradients, and an epoch is one
    assert result.rows[0]["cost"] == pytest.approx(3, abs=0.03)
    spacing = -(-300 // (size or 300))
    assert result.series["loss.step"][0].tolist()[:3] == [0, spacing, 2 * spacing]


def test_the_larger_of_two_batches_makes_the_epoch(make_run):
    problem = {"size": 4, "n_examples": 300, "hidden": [2]}
    params = {"k": 4, "batch_size": 30, "curvature_batch_size": 100}
    (row,) = execute(
        make_run(
            "mlp", problem, "krylov_sfn", params, seeds=1, steps=1000, epochs=2
        )
    ).rows
    assert row["steps"] == 6


def test_an_epoch_of_a_problem_without_examples_is_a_step(make_run):
    run = make_run(
        "quadratic_saddle",
        {},
        "gradient_descent",
        {},
        seeds=1,
        steps=1000,
        epochs=4,
    )
    assert execute(run).rows[0]["steps"] == 4


def test_a_suite_may_price_otherwise_and_its_budget_with_it(tmp_path):
    text = (
        "problems: [quadratic_saddle]\noptimizers: [{use: sfn, damping: 0}]\n"
        "seeds: 2\nbudget: {steps: 9, cost: 36}\n"
    )
    (tmp_path / "usual.yaml").write_text(text)
    (tmp_path / "dear.yaml").write_text(text + "prices: {hessian: 8, loss: 0}\n")
    usual, dear = (
        execute(plan(load_suite(tmp_path / f"{name}.yaml"))[0])
        for name in ("usual", "dear")
    )
    assert usual.run.id != dear.run.id
    assert "prices" not in usual.environment
    # a step costs 5 gradients in the usual suite, 17 in the dear one
    assert [row["steps"] for row in (*usual.rows, *dear.rows)] == [7, 7, 2, 2]
    for row, spent in zip(dear.rows, axis_of(dear, "cost"), strict=True):
        assert (
            row["cost"]
            == row["n_grad"] + 2 * 8 * row["n_hessian"]
            == np.nanmax(spent)
        )
