"""A tape gives the bits of the function it was recorded from, or is not used."""

import pytest
import torch
from torch.linalg import LinAlgError

from sfnbench.members import registry
from sfnbench.members.contract.shared import Waves
from sfnbench.trajectories import replay
from sfnbench.trajectories.replay import Replayed
from sfnbench.trajectories.vmapped import Vmapped

N_STEPS, N_SEEDS = 24, 3
OPTIMIZERS = [
    ("damped_newton", {}),
    ("damped_newton", {"damping": 0.1}),
    ("gradient_descent", {}),
    ("krylov_sfn", {"k": 3, "inner_steps": 2}),
    ("krylov_sfn", {"k": 3, "reorthogonalise": False}),
    ("msgd", {"nesterov": True, "schedule": "sutskever", "clip": 1.0}),
    ("noisy_gradient_descent", {}),
    ("perturbed_gradient_descent", {}),
    ("sfn", {"noise": 0.01, "trust_radius": 0.1}),
]
DIGITS = {"dataset": "digits", "size": 4, "n_examples": 50, "hidden": [3]}


def stepped(problem, optimizer):
    """All points (n, S, d) of a batch of trajectories, its calls, and whether a tape is in use."""
    rng = torch.Generator().manual_seed(0)
    starts = torch.stack([problem.start(rng) for _ in range(N_SEEDS)])
    trajectories, points = Vmapped(problem, optimizer, starts), []
    shape = N_SEEDS, optimizer.n_noise, problem.dim
    for _ in range(N_STEPS):
        noise, batches = None, [(None,)] * N_SEEDS
        if optimizer.n_noise:
            noise = torch.randn(shape, generator=rng, dtype=torch.float64)
        if optimizer.batch_size:
            batches = [(problem.draw(rng, optimizer.batch_size),) for _ in starts]
        trajectories.step(batches, noise)
        points.append(trajectories.theta)
    return torch.stack(points), trajectories.calls, trajectories._replayed.is_ready


def same_as_without_a_tape(monkeypatch, problem, optimizer):
    found, calls, is_ready = stepped(problem, optimizer)
    monkeypatch.setattr(replay, "N_BEFORE", 10**9)
    expected, expected_calls, _ = stepped(problem, optimizer)
    assert is_ready
    assert torch.allclose(found, expected, rtol=0, atol=0, equal_nan=True)
    assert (calls == expected_calls).all()


@pytest.mark.parametrize(("use", "params"), OPTIMIZERS)
def test_steps_from_a_tape_have_the_same_bits(monkeypatch, use, params):
    optimizer = registry.build("optimizer", use, params)
    same_as_without_a_tape(monkeypatch, Waves(), optimizer)


def test_minibatches_are_inputs(monkeypatch):
    problem = registry.build("problem", "mlp", DIGITS)
    optimizer = registry.build("optimizer", "msgd", {"lr": 0.1, "batch_size": 5})
    same_as_without_a_tape(monkeypatch, problem, optimizer)


def called(f, inputs):
    """What a replayed function gave for these inputs, and the function."""
    replayed = Replayed(f)
    return [replayed(x) for x in inputs], replayed


def test_operators_in_place_and_views_are_repeated():
    def f(x):
        made = torch.zeros(4, dtype=x.dtype)
        made[1:3] = x
        made[0].add_(x.sum())
        return made.sort().values, {"twice": 2 * x}

    inputs = [
        torch.randn(2, generator=torch.Generator().manual_seed(i))
        for i in range(20)
    ]
    found, replayed = called(f, inputs)
    assert replayed.is_ready
    for x, (values, rest) in zip(inputs, found, strict=True):
        assert torch.equal(values, f(x)[0])
        assert torch.equal(rest["twice"], 2 * x)


def test_a_function_that_is_not_pure_keeps_no_tape():
    seen = []

    def f(x):
        seen.append(0)
        return x * len(seen)

    inputs = [torch.full((2,), float(i)) for i in range(30)]
    found, replayed = called(f, inputs)
    assert not replayed.is_ready
    assert [float(x[0]) for x in found] == [i * (i + 1.0) for i in range(30)]


def test_other_shapes_and_errors_are_the_function_s():
    def f(x):
        return torch.linalg.eigh(x)[0]

    inputs = [torch.diag(torch.arange(3.0) + i) for i in range(20)]
    _, replayed = called(f, inputs)
    assert replayed.is_ready
    assert replayed(torch.eye(2)).tolist() == [1, 1]
    with pytest.raises(LinAlgError):
        replayed(torch.full((3, 3), torch.nan))
    assert replayed(2 * torch.eye(3)).tolist() == [2, 2, 2]


def test_a_tensor_that_is_two_inputs_is_not_taken_for_one():
    def f(x, y):
        return x - y

    replayed = Replayed(f)
    x = torch.ones(2)
    for _ in range(20):
        assert not replayed(x, x).any()
    assert not replayed.is_ready
    for i in range(20):
        assert torch.equal(replayed(x, i * x), (1 - i) * x)
    assert replayed.is_ready
