"""What thousands of seeds of torch's elementwise optimizers cost, beside momentum SGD of our own.

One thread, float64. Each seed is its own: tests/trajectories/test_stock.py.
"""

import pytest
import torch
from side_by_side import seconds

from sfnbench.experiments.race.loop import advance
from sfnbench.experiments.setup import Setup
from sfnbench.records import Run, Spec
from sfnbench.trajectories.torch_entry import ELEMENTWISE

N_SEEDS, N_STEPS = 4096, 50
MSGD = Spec("msgd", "msgd", {"lr": 0.01, "momentum": 0.9}, "")


def raced(method):
    """A race of all seeds on a saddle of two parameters."""
    params = {"eigenvalues": [10.0, -2.0], "radius": 1e-3}
    run = Run(
        suite="benchmark",
        experiment="race",
        problem=Spec("quadratic_saddle", "quadratic_saddle", params, ""),
        method=method,
        seeds=tuple(range(N_SEEDS)),
        settings={
            "budget": {"steps": N_STEPS},
            "metrics": [["loss", {"steps": 1}]],
        },
    )
    setup = Setup(run)
    return lambda: advance(setup, run.seeds, run.settings, lambda fraction: None)


@pytest.mark.parametrize("name", sorted(cls.__name__ for cls in ELEMENTWISE))
def test_4096_seeds_take_at_most_twice_as_long_as_momentum_sgd(name):
    torch.set_num_threads(1)
    use = f"torch.optim.{name}"
    msgd_s, stock_s = seconds(raced(MSGD), raced(Spec(use, use, {}, "")))
    print(
        f"\n{N_SEEDS} seeds, {N_STEPS} steps: {use} {stock_s:.3f} s, msgd {msgd_s:.3f} s, "
        f"{stock_s / msgd_s:.2f} times that"
    )
    assert stock_s <= 2 * msgd_s
