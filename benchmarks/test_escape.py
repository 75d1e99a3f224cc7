"""What a trajectory-step costs when there are very many.

A race of gradient descent from 100,000 starts, on one thread.
"""

from time import perf_counter, process_time

from sfnbench.records import Run, Spec
from sfnbench.session.execute import execute

N_SEEDS, N_STEPS = 100_000, 100


def test_100_000_trajectories_on_the_monkey_saddle_cost_2_microseconds_a_step():
    """All of it: starts, steps, metrics, series, and a certified row for each.

    In processor time, for others may be there.

    Whatever is paid once a trajectory weighs a hundredth of itself here, and less in longer races.
    """
    run = Run(
        suite="benchmark",
        experiment="race",
        problem=Spec("monkey_saddle", "monkey_saddle", {}, ""),
        method=Spec("gradient_descent", "gradient_descent", {"lr": 0.05}, ""),
        seeds=tuple(range(N_SEEDS)),
        settings={"budget": {"steps": N_STEPS}, "metrics": [["loss", 1]]},
    )
    wall, used = perf_counter(), process_time()
    rows = execute(run).rows
    wall, used = perf_counter() - wall, process_time() - used
    n_steps = sum(row["steps"] for row in rows)
    in_steps = sum(row["seconds"] for row in rows) / n_steps
    print(
        f"\n{N_SEEDS} trajectories, {n_steps} steps of theirs: "
        f"{used / n_steps * 1e6:.2f} us of processor time each"
    )
    print(
        f"{wall / n_steps * 1e6:.2f} us on the wall, {in_steps * 1e6:.2f} us of it "
        "in the optimizer's steps"
    )
    assert used / n_steps <= 2e-6
