"""The way back: a torch module trained by sfnbench's optimizers does what the race does."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional
from waves_training import every_method, leaves, name, normal, vector, waves

from sfnbench import as_torch_optimizer, datasets
from sfnbench.members.contract.shared import Waves
from sfnbench.optimizers.krylov_sfn import KrylovSaddleFreeNewton
from sfnbench.optimizers.msgd import MomentumSGD
from sfnbench.optimizers.sfn import SaddleFreeNewton
from sfnbench.optimizers.switch import Switch
from sfnbench.problems.mlp import MultilayerPerceptron
from sfnbench.trajectories.module_loss import ModuleLoss, ModuleOracle
from sfnbench.trajectories.single import Looped


def noises(method, dim, seed):
    """What a wrapper seeded so draws: one standard normal (1, n_noise, d) a step."""
    rng = torch.Generator().manual_seed(seed)
    while True:
        n = method.n_noise
        yield (
            torch.randn(n, dim, generator=rng, dtype=torch.float64)[None]
            if n
            else None
        )


# -- the same numbers as in a race -----------------------------------------------------------------


class Perceptron(nn.Sequential):
    """The `mlp` problem in torch's own layers, whose theta has each layer's biases after
    its weights."""

    def __init__(self, problem, theta):
        n_inputs, n_hidden, n_classes = problem.widths
        super().__init__(
            nn.Linear(n_inputs, n_hidden), nn.Tanh(), nn.Linear(n_hidden, n_classes)
        )
        self.double()
        with torch.no_grad():
            for linear, (weights, biases) in zip(
                list(self)[::2], problem.layers(theta), strict=True
            ):
                linear.weight.copy_(weights)
                linear.bias.copy_(biases[:, 0])

    def theta(self):
        """In the problem's order."""
        rows = [
            torch.cat([linear.weight, linear.bias[:, None]], dim=1).reshape(-1)
            for linear in list(self)[::2]
        ]
        return torch.cat(rows).detach()


@pytest.mark.parametrize(
    "method",
    [
        MomentumSGD(lr=0.5),
        SaddleFreeNewton(damping=0.1),
        KrylovSaddleFreeNewton(k=8),
        Switch(window=1, gain=0.9),
    ],
    ids=name,
)
def test_a_network_of_torch_takes_the_steps_that_the_race_takes(method):
    problem = MultilayerPerceptron(size=4, n_examples=60, hidden=(3,))
    start = problem.start(torch.Generator().manual_seed(1))
    x, y = problem.examples(start)
    images, labels = x.mT.contiguous(), y.argmax(0)
    model, raced = Perceptron(problem, start), Looped(problem, method, start[None])
    optimizer = as_torch_optimizer(method, model.parameters())
    for _ in range(5):
        here = problem.loss(raced.theta[0], None)
        raced.step([(None,) * len(method.batch_sizes)], None)
        loss = optimizer.step(
            lambda: functional.cross_entropy(model(images), labels)
        )
        torch.testing.assert_close(loss, here, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(
            model.theta(), raced.theta[0], rtol=1e-12, atol=1e-12
        )
    np.testing.assert_array_equal(optimizer.calls.counts, raced.calls[0])
    np.testing.assert_array_equal(optimizer.calls.passes, raced.passes[0])


@every_method
@given(cuts=st.sets(st.integers(1, Waves.dim - 1)), seed=st.integers(0, 99))
@settings(max_examples=10)
def test_how_theta_is_cut_into_parameters_has_no_say(method, cuts, seed):
    start, places = normal(Waves.dim, seed=seed), [0, *sorted(cuts), Waves.dim]
    params = leaves(start, [b - a for a, b in itertools.pairwise(places)])
    raced, noise = (
        Looped(Waves(), method, start[None]),
        noises(method, Waves.dim, seed),
    )
    optimizer = as_torch_optimizer(method, params, seed=seed)
    for _ in range(4):
        raced.step([(None,) * len(method.batch_sizes)], next(noise))
        optimizer.step(lambda: waves(*params))
        torch.testing.assert_close(
            vector(params), raced.theta[0], rtol=1e-9, atol=1e-11
        )
    np.testing.assert_array_equal(optimizer.calls.counts, raced.calls[0])


def test_frozen_parameters_stay_and_unused_ones_have_no_gradient():
    start = normal(Waves.dim)
    moving, frozen, unused = (
        nn.Parameter(start[:3].clone()),
        nn.Parameter(start[3:].clone(), False),
        nn.Parameter(normal(2)),
    )
    before, raced = vector([frozen, unused]), nn.Parameter(start[:3].clone())
    method = SaddleFreeNewton(damping=0.1)
    optimizer = as_torch_optimizer(method, [moving, frozen, unused])
    alone = as_torch_optimizer(method, [raced])
    for _ in range(3):
        optimizer.step(lambda: waves(moving, frozen))
        alone.step(lambda: waves(raced, start[3:]))
    torch.testing.assert_close(moving, raced, rtol=1e-12, atol=1e-14)
    assert torch.equal(vector([frozen, unused]), before)
    assert moving.is_leaf
    assert optimizer.param_groups[0]["params"] == [moving, unused]


def test_handwritten_digits_are_learnt_in_ten_krylov_steps():
    torch.manual_seed(0)
    images = datasets.load("digits")
    x, y = (
        torch.tensor(images.x.reshape(-1, 64), dtype=torch.float32),
        torch.tensor(images.y),
    )
    model = nn.Sequential(nn.Linear(64, 16), nn.Tanh(), nn.Linear(16, 10))
    optimizer = as_torch_optimizer(KrylovSaddleFreeNewton(), model.parameters())
    losses = [
        optimizer.step(lambda: functional.cross_entropy(model(x), y)).item()
        for _ in range(10)
    ]
    # a step that lowers nothing is refused
    assert losses == sorted(losses, reverse=True)
    assert (model(x).argmax(1) == y).float().mean() > 0.98


# -- questions -------------------------------------------------------------------------------------


def test_a_curvature_outlives_questions_asked_elsewhere():
    # the curvature's graph refers to the parameters themselves, which are overwritten
    def loss(a, b):
        return (a**4).sum() + a.sum() * (b**3).sum()

    here, there, v = (normal(4, seed=seed) for seed in range(3))
    params = leaves(here, [1, 3])
    oracle = ModuleOracle(ModuleLoss(tuple(params)), (lambda: loss(*params),))
    first, second = oracle.curvature(here), oracle.curvature(there)
    oracle.loss(normal(4, seed=3))
    for point, curvature in [(here, first), (there, second)]:
        H = torch.func.hessian(lambda theta: loss(theta[:1], theta[1:]))(point)
        torch.testing.assert_close(curvature.hvp(v), H @ v)
        torch.testing.assert_close(oracle.hessian(point), H)
    assert oracle.calls.counts.tolist() == [1, 2, 2, 2]


def test_a_graph_made_before_a_step_cannot_be_used_after_it():
    (x,) = params = leaves(normal(4), [4])
    stale = (x**2).sum()
    as_torch_optimizer(MomentumSGD(lr=0.1), params).step(lambda: (x**2).sum())
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        stale.backward()


def test_a_linear_loss_has_no_curvature():
    params = leaves(normal(Waves.dim), [2, 2])
    oracle = ModuleOracle(ModuleLoss(tuple(params)), (lambda: params[0].sum(),))
    assert oracle.curvature(normal(4)).hvp(normal(4)).tolist() == [0] * 4
    assert oracle.hessian(normal(4)).count_nonzero() == 0


@every_method
def test_the_closure_runs_once_a_question_other_than_a_product(method):
    runs, params = 0, leaves(normal(Waves.dim), [1, 3])

    def closure():
        nonlocal runs
        runs += 1
        return waves(*params)

    optimizer = as_torch_optimizer(method, params)
    losses = []
    for _ in range(3):
        expected = waves(*params).detach()
        losses.append(optimizer.step(closure))
        assert torch.equal(losses[-1], expected)
    loss, grad, _, hessian = optimizer.calls.counts
    # the gradients of Nesterov's methods are taken elsewhere
    unasked = 3 if getattr(method, "nesterov", False) else 0
    assert runs == loss + grad + hessian + unasked


# -- closures --------------------------------------------------------------------------------------


@every_method
def test_a_closure_that_calls_backward_does_as_well(method):
    plain, habitual = (
        leaves(normal(Waves.dim), [1, 3]),
        leaves(normal(Waves.dim), [1, 3]),
    )
    first, second = (
        as_torch_optimizer(method, plain),
        as_torch_optimizer(method, habitual),
    )

    def closure():
        second.zero_grad()
        loss = waves(*habitual)
        loss.backward()
        return loss

    for _ in range(3):
        with torch.no_grad():
            first.step(lambda: waves(*plain))
        second.step(closure)
    assert torch.equal(vector(plain), vector(habitual))
    assert [param.grad for param in habitual] == [None, None]
    waves(*habitual).backward()  # outside of a step it does what it always does
    assert all(param.grad is not None for param in habitual)


def test_a_closure_may_differentiate_in_its_inputs():
    (x,) = params = leaves(normal(3), [3])
    optimizer = as_torch_optimizer(KrylovSaddleFreeNewton(k=3), params)

    def closure():  # as for a differential equation's residual
        t = torch.linspace(0, 1, 5, dtype=torch.float64, requires_grad=True)
        (slope,) = torch.autograd.grad(
            (x[0] + x[1] * t + x[2] * t**2).sum(), t, create_graph=True
        )
        return ((slope - 2 * t) ** 2).sum() + x[0] ** 2

    for _ in range(3):
        optimizer.step(closure)
    torch.testing.assert_close(
        x.detach(),
        torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64),
        rtol=0,
        atol=1e-3,
    )
