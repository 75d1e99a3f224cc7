"""What a batch of seeds gains over a loop, and what the race costs over a loop written by hand.

One thread, float64.
"""

import pytest
import torch
from side_by_side import seconds

from sfnbench.core.problem import Problem
from sfnbench.experiments.race.loop import advance
from sfnbench.experiments.randomness import generator
from sfnbench.experiments.setup import Setup
from sfnbench.members.contract.shared import Waves
from sfnbench.optimizers.sfn import SaddleFreeNewton
from sfnbench.records import Run, Spec
from sfnbench.trajectories.single import Looped
from sfnbench.trajectories.vmapped import Vmapped

N_SEEDS, DIM = 64, 10


class Waves10(Waves):
    """Ten parameters, Hessian by Hessian-vector products.

    What an author of a problem gets without writing one.
    """

    dim = DIM


def test_64_seeds_of_dense_sfn_run_40_times_faster_than_a_loop():
    """Against the loop that one writes with torch.func.

    What the package's own loop takes, its Hessian included, beside.
    """
    problem: Problem = Waves10()
    starts = torch.stack(
        [
            problem.start(torch.Generator().manual_seed(seed))
            for seed in range(N_SEEDS)
        ]
    )
    damping, n_steps = 0.1, 5
    optimizer = SaddleFreeNewton(damping=damping)

    def batch():
        trajectories = Vmapped(problem, optimizer, starts)
        for _ in range(n_steps):
            trajectories.step([(None,)] * N_SEEDS, None)
        return trajectories.theta

    def own_loop():
        ends = []
        for seed in range(N_SEEDS):
            trajectories = Looped(problem, optimizer, starts[seed : seed + 1])
            for _ in range(n_steps):
                trajectories.step([(None,)], None)
            ends.append(trajectories.theta[0])
        return torch.stack(ends)

    def by_hand():
        def f(theta):
            return problem.loss(theta, None)

        ends = []
        for theta in starts:
            for _ in range(n_steps):
                eigenvalues, Q = torch.linalg.eigh(torch.func.hessian(f)(theta))
                theta = theta - Q @ (
                    (Q.mT @ torch.func.grad(f)(theta))
                    / (eigenvalues.abs() + damping)
                )
            ends.append(theta)
        return torch.stack(ends)

    torch.testing.assert_close(batch(), own_loop(), rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(batch(), by_hand(), rtol=1e-6, atol=1e-8)
    batch_s, own_s, hand_s = seconds(batch, own_loop, by_hand)
    print(
        f"\n{N_SEEDS} seeds of dense SFN, d = {DIM}, {n_steps} steps: batch {batch_s * 1e3:.1f} ms"
    )
    print(
        f"loop by hand {hand_s:.3f} s, {hand_s / batch_s:.0f} x; own loop {own_s:.3f} "
        f"s, {own_s / batch_s:.0f} x"
    )
    assert hand_s >= 40 * batch_s


def test_a_tape_takes_python_out_of_a_vmapped_step():
    """A step of 64 seeds of dense SFN, beside the same without a tape and beside its eigh alone.

    The bits are the same. The limit is LAPACK's eigh of 64 matrices of 10 x 10.
    """
    problem: Problem = Waves10()
    starts = torch.stack(
        [
            problem.start(torch.Generator().manual_seed(seed))
            for seed in range(N_SEEDS)
        ]
    )
    optimizer = SaddleFreeNewton(damping=0.1)
    taped, plain = (Vmapped(problem, optimizer, starts) for _ in range(2))
    plain._replayed = plain._mapped
    for _ in range(20):
        for each in (taped, plain):
            each.step([(None,)] * N_SEEDS, None)
    assert taped._replayed.is_ready
    assert torch.equal(taped.theta, plain.theta)
    H = torch.func.vmap(lambda theta: problem.hessian(theta, None))(starts)
    taped_s, plain_s, eigh_s = seconds(
        lambda: taped.step([(None,)] * N_SEEDS, None),
        lambda: plain.step([(None,)] * N_SEEDS, None),
        lambda: torch.linalg.eigh(H),
        rounds=50,
    )
    print(
        f"\n{N_SEEDS} seeds of dense SFN, d = {DIM}: a step {taped_s * 1e3:.2f} ms, without a "
        f"tape {plain_s * 1e3:.2f} ms ({plain_s / taped_s:.1f} x), eigh alone {eigh_s * 1e3:.2f} ms"
    )
    assert plain_s >= 2 * taped_s


@pytest.mark.parametrize(("hidden", "limit"), [(10, 1.15), (100, 1.05)])
def test_the_race_costs_little_over_a_loop_by_hand(hidden, limit):
    """Momentum SGD on digits, full batch, its loss kept at every step.

    The cheapest steps an MLP has.

    The race adds about 0.1 ms of Python a step, whatever the step costs: 5 % of a gradient of 2 ms.
    """
    params = {"lr": 0.1, "momentum": 0.9}
    n_steps = 200
    run = Run(
        suite="benchmark",
        experiment="race",
        problem=Spec("mlp", "mlp", {"hidden": [hidden]}, ""),
        method=Spec("msgd", "msgd", params, ""),
        seeds=(0,),
        settings={"budget": {"steps": n_steps}, "metrics": [["loss", 1]]},
    )
    setup = Setup(run)
    mlp = setup.problem
    start = mlp.start(generator(0, "start"))

    def by_hand():
        theta, velocity, losses = (
            start.clone().requires_grad_(),
            torch.zeros_like(start),
            [],
        )
        for _ in range(n_steps):
            loss = mlp.loss(theta, None)
            losses.append(loss.item())
            (grad,) = torch.autograd.grad(loss, theta)
            velocity = params["momentum"] * velocity - params["lr"] * grad
            theta = (theta.detach() + velocity).requires_grad_()
        losses.append(mlp.loss(theta.detach(), None).item())
        return losses

    def raced():
        recording, outcomes = advance(
            setup, (0,), run.settings, lambda fraction: None
        )
        return recording.series(outcomes.end)["loss"][0].tolist()

    torch.testing.assert_close(
        torch.tensor(raced()), torch.tensor(by_hand()), rtol=1e-9, atol=0
    )
    hand_s, race_s = seconds(by_hand, raced, rounds=15)
    step_s = hand_s / n_steps
    print(
        f"\n{mlp.dim} parameters: a step by hand {step_s * 1e3:.2f} ms, in the race "
        f"{race_s / hand_s:.3f} times that"
    )
    assert race_s <= limit * hand_s
