"""What the paper claims of small networks, measured on real data by the shipped suites.

Dauphin et al. 2014, figure 3: at equal steps saddle-free Newton is below damped Newton's method and
momentum SGD."""

import math
import os
from dataclasses import replace

import pytest

from sfnbench import Store, load_suite, plan, run_suite
from sfnbench.datasets import load
from sfnbench.errors import DataError
from sfnbench.session.execute import execute


@pytest.fixture(scope="module")
def mnist():
    if not os.environ.get("SFNBENCH_DATA"):
        pytest.skip(
            "SFNBENCH_DATA does not name a folder with MNIST; tests download nothing"
        )
    try:
        return load("mnist", size=10)
    except DataError as error:
        pytest.skip(str(error))


@pytest.mark.slow  # the digits below are the fast one
def test_on_mnist_saddle_free_newton_is_below_its_rivals_on_every_seed(
    mnist, tmp_path
):
    """Hidden 5, 10,000 examples, full batch, damping by the paper's rule, 25 steps, seeds 0
    to 2."""
    folder = run_suite("mlp_mnist", profile="five", out=tmp_path)
    with Store(folder) as store:
        losses = {
            result.run.method.label: result.series["loss"]
            for result in store.results()
        }
    for seed in range(3):
        assert losses["sfn"][seed, 25] < 0.32
        assert losses["sfn"][seed, 25] < losses["damped_newton"][seed, 25]
        assert losses["sfn"][seed, 25] < losses["msgd"][seed, 25]


@pytest.mark.slow
def test_all_60000_examples_run_too(mnist):
    (run,) = plan(load_suite("mlp_mnist", "five"), optimizers=["sfn"], seeds=1)
    assert mnist.x.shape == (60_000, 10, 10)
    everything = replace(
        run.problem, params={**run.problem.params, "n_examples": None}
    )
    settings = {
        "budget": {"steps": 25},
        "metrics": [["loss", 1], ["training_error", 25]],
    }
    result = execute(replace(run, problem=everything, settings=settings))
    assert result.status == "ok"
    assert result.rows[0]["steps"] == 25
    # a net that knows nothing has log 10
    assert result.series["loss"][0, 25] < math.log(10) / 4
    assert result.rows[0]["training_error"] < 0.2


def test_on_digits_saddle_free_newton_is_below_its_rivals_on_every_seed(tmp_path):
    """The quick profile of the main job, which needs no download."""
    folder = run_suite("digits", profile="quick", out=tmp_path)
    with Store(folder) as store:
        final = {
            result.run.method.label: [row["final_loss"] for row in result.rows]
            for result in store.summaries()
        }
    for sfn, newton, msgd in zip(
        final["sfn"], final["damped_newton"], final["msgd"], strict=True
    ):
        assert sfn < min(newton, msgd)
