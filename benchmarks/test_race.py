"""What a batch of seeds gains over a loop, and what the race costs over a loop written by hand. One thread, float64."""

import torch
from side_by_side import seconds

from sfnbench import registry
from sfnbench.checks import Waves
from sfnbench.core import Problem
from sfnbench.experiments import race
from sfnbench.lift import Looped, Vmapped
from sfnbench.optimizers.sfn import SaddleFreeNewton
from sfnbench.planning import Chosen, Run

N_SEEDS, DIM = 64, 10


class Waves10(Waves):
    """Ten parameters, Hessian by Hessian-vector products: what an author of a problem gets without writing one."""

    dim = DIM


def test_64_seeds_of_dense_sfn_run_40_times_faster_than_a_loop():
    problem: Problem = Waves10()
    starts = torch.stack([problem.start(torch.Generator().manual_seed(seed)) for seed in range(N_SEEDS)])
    optimizer, n_steps = SaddleFreeNewton(damping=0.1), 5

    def batch():
        trajectories = Vmapped(problem, optimizer, starts)
        for _ in range(n_steps):
            trajectories.step([None] * N_SEEDS, None)
        return trajectories.theta

    def loop():
        ends = []
        for seed in range(N_SEEDS):
            trajectories = Looped(problem, optimizer, starts[seed : seed + 1])
            for _ in range(n_steps):
                trajectories.step([None], None)
            ends.append(trajectories.theta[0])
        return torch.stack(ends)

    torch.testing.assert_close(batch(), loop(), rtol=1e-6, atol=1e-8)
    batch_s, loop_s = seconds(batch, loop)
    print(
        f"\n64 seeds of dense SFN, d = 10, {n_steps} steps: batch {batch_s:.4f} s, loop {loop_s:.3f} s, {loop_s / batch_s:.0f} x"
    )
    assert loop_s >= 40 * batch_s


def test_the_race_costs_at_most_5_percent_over_a_loop_by_hand():
    """Momentum SGD on the digits net, full batch, its loss kept at every step: the cheapest steps an MLP has."""
    params = {"lr": 1.0, "momentum": 0.9}
    n_steps = 200
    run = Run(
        suite="benchmark",
        experiment="race",
        problem=Chosen("mlp", "mlp", {}, ""),
        optimizer=Chosen("msgd", "msgd", params, ""),
        seeds=(0,),
        settings={"budget": {"steps": n_steps}, "metrics": [["loss", 1]]},
    )
    mlp = registry.build("problem", "mlp", {})
    start = mlp.start(race.generator(0, "start"))
    entrant = race.Entrant(run)
    entrant.problem.loss(start, None)  # reads the data

    def by_hand():
        theta, velocity, losses = start.clone().requires_grad_(), torch.zeros_like(start), []
        for _ in range(n_steps):
            loss = mlp.loss(theta, None)
            losses.append(float(loss))
            (grad,) = torch.autograd.grad(loss, theta)
            velocity = params["momentum"] * velocity - params["lr"] * grad
            theta = (theta.detach() + velocity).requires_grad_()
        losses.append(float(mlp.loss(theta.detach(), None)))
        return losses

    def raced():
        return race._advance(entrant, (0,), run.settings, lambda fraction: None).series()["loss"][0].tolist()

    torch.testing.assert_close(torch.tensor(raced()), torch.tensor(by_hand()), rtol=1e-9, atol=0)
    hand_s, race_s = seconds(by_hand, raced, rounds=9)
    print(
        f"\n{n_steps} steps of momentum SGD on digits: by hand {hand_s:.3f} s, race {race_s:.3f} s, {race_s / hand_s:.3f} x"
    )
    assert race_s <= 1.05 * hand_s
