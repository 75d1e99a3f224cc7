"""The way back: a torch module trained by sfnbench's optimizers does what the race does, and misuse is said."""

import copy
import io
import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional
from torch.utils._pytree import tree_map_only

from sfnbench import as_torch_optimizer, datasets, registry
from sfnbench.checks import Waves
from sfnbench.core import Optimizer
from sfnbench.lift import Looped
from sfnbench.optimizers.damped_newton import DampedNewton
from sfnbench.optimizers.gradient_descent import GradientDescent
from sfnbench.optimizers.krylov_sfn import KrylovSaddleFreeNewton
from sfnbench.optimizers.msgd import MomentumSGD
from sfnbench.optimizers.sfn import SaddleFreeNewton
from sfnbench.optimizers.switch import Switch
from sfnbench.problems.mlp import MultilayerPerceptron
from sfnbench.torch_optimizer import ModuleLoss, ModuleOracle

NOISY = registry.load(registry.find("optimizer", "noisy_gradient_descent"))
METHODS = [
    GradientDescent(lr=0.1),
    MomentumSGD(lr=0.1),
    MomentumSGD(lr=0.1, nesterov=True, schedule="sutskever", clip=0.5),
    DampedNewton(damping=2.0),
    SaddleFreeNewton(damping=0.1),
    SaddleFreeNewton(damping="paper", noise=1e-3),
    KrylovSaddleFreeNewton(k=4),
    KrylovSaddleFreeNewton(k=3, inner_steps=2, damping=0.3),
    NOISY(lr=0.1, noise=0.1),
    Switch(first=MomentumSGD(lr=0.1), then=KrylovSaddleFreeNewton(k=4), window=1, gain=0.9),  # switches after two steps
]


def name(method):
    return type(method).name


every_method = pytest.mark.parametrize("method", METHODS, ids=name)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def waves(*params):
    return Waves().loss(torch.cat([param.reshape(-1) for param in params]), None)


def leaves(theta, sizes):
    return [nn.Parameter(part.clone()) for part in theta.split(sizes)]


def vector(params):
    return torch.cat([param.detach().reshape(-1) for param in params])


def noises(method, dim, seed):
    """What a wrapper seeded so draws: one standard normal (1, n_noise, d) a step."""
    rng = torch.Generator().manual_seed(seed)
    while True:
        n = method.n_noise
        yield torch.randn(n, dim, generator=rng, dtype=torch.float64)[None] if n else None


def remembered(state_dict):
    """A state dict as text, every number to the bit and NaN like NaN."""
    return repr(tree_map_only(torch.Tensor, torch.Tensor.tolist, state_dict))


# -- the same numbers as in a race ------------------------------------------------------------------------------------


class Perceptron(nn.Sequential):
    """The `mlp` problem in torch's own layers, whose theta has each layer's biases after its weights."""

    def __init__(self, problem, theta):
        n_inputs, n_hidden, n_classes = problem.widths
        super().__init__(nn.Linear(n_inputs, n_hidden), nn.Tanh(), nn.Linear(n_hidden, n_classes))
        self.double()
        with torch.no_grad():
            for linear, (weights, biases) in zip(list(self)[::2], problem.layers(theta), strict=True):
                linear.weight.copy_(weights)
                linear.bias.copy_(biases[:, 0])

    def theta(self):
        """In the problem's order."""
        rows = [torch.cat([linear.weight, linear.bias[:, None]], dim=1).reshape(-1) for linear in list(self)[::2]]
        return torch.cat(rows).detach()


@pytest.mark.parametrize(
    "method", [MomentumSGD(lr=0.5), SaddleFreeNewton(damping=0.1), KrylovSaddleFreeNewton(k=8), Switch(window=2)], ids=name
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
        raced.step([(None,) * len(method.batches)], None)
        loss = optimizer.step(lambda: functional.cross_entropy(model(images), labels))
        torch.testing.assert_close(loss, here, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(model.theta(), raced.theta[0], rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(optimizer.calls.counts, raced.calls[0])
    np.testing.assert_array_equal(optimizer.calls.passes, raced.passes[0])


@every_method
@given(cuts=st.sets(st.integers(1, Waves.dim - 1)), seed=st.integers(0, 99))
@settings(max_examples=10)
def test_how_theta_is_cut_into_parameters_has_no_say(method, cuts, seed):
    start, places = normal(Waves.dim, seed=seed), [0, *sorted(cuts), Waves.dim]
    params = leaves(start, [b - a for a, b in itertools.pairwise(places)])
    raced, noise = Looped(Waves(), method, start[None]), noises(method, Waves.dim, seed)
    optimizer = as_torch_optimizer(method, params, seed=seed)
    for _ in range(4):
        raced.step([(None,) * len(method.batches)], next(noise))
        optimizer.step(lambda: waves(*params))
        torch.testing.assert_close(vector(params), raced.theta[0], rtol=1e-9, atol=1e-11)
    np.testing.assert_array_equal(optimizer.calls.counts, raced.calls[0])


def test_frozen_parameters_stay_and_unused_ones_have_no_gradient():
    start = normal(Waves.dim)
    moving, frozen, unused = nn.Parameter(start[:3].clone()), nn.Parameter(start[3:].clone(), False), nn.Parameter(normal(2))
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


def test_handwritten_digits_are_learnt_in_thirty_krylov_steps():
    torch.manual_seed(0)
    images = datasets.load("digits")
    x, y = torch.tensor(images.x.reshape(-1, 64), dtype=torch.float32), torch.tensor(images.y)
    model = nn.Sequential(nn.Linear(64, 16), nn.Tanh(), nn.Linear(16, 10))
    optimizer = as_torch_optimizer(KrylovSaddleFreeNewton(), model.parameters())
    losses = [optimizer.step(lambda: functional.cross_entropy(model(x), y)).item() for _ in range(30)]
    assert losses == sorted(losses, reverse=True)  # a step that lowers nothing is refused
    assert (model(x).argmax(1) == y).float().mean() > 0.99


# -- questions --------------------------------------------------------------------------------------------------------


def test_a_curvature_outlives_questions_asked_elsewhere():
    here, there = normal(Waves.dim), normal(Waves.dim, seed=1)
    params = leaves(here, [1, 3])
    oracle = ModuleOracle(ModuleLoss(tuple(params)), (lambda: waves(*params),))
    first, second = oracle.curvature(here), oracle.curvature(there)
    oracle.loss(normal(Waves.dim, seed=2))
    for point, curvature in [(here, first), (there, second)]:
        H = torch.func.hessian(Waves().loss)(point, None)
        v = normal(Waves.dim, seed=3)
        torch.testing.assert_close(curvature.hvp(v), H @ v)
        torch.testing.assert_close(oracle.hessian(point), H)
    assert oracle.calls.counts.tolist() == [1, 2, 2, 2]


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
    unasked = 3 if getattr(method, "nesterov", False) else 0  # its gradients are taken elsewhere
    assert runs == loss + grad + hessian + unasked


# -- closures ---------------------------------------------------------------------------------------------------------


@every_method
def test_a_closure_that_calls_backward_does_as_well(method):
    plain, habitual = leaves(normal(Waves.dim), [1, 3]), leaves(normal(Waves.dim), [1, 3])
    first, second = as_torch_optimizer(method, plain), as_torch_optimizer(method, habitual)

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
        (slope,) = torch.autograd.grad((x[0] + x[1] * t + x[2] * t**2).sum(), t, create_graph=True)
        return ((slope - 2 * t) ** 2).sum() + x[0] ** 2

    for _ in range(3):
        optimizer.step(closure)
    torch.testing.assert_close(x.detach(), torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64), rtol=0, atol=1e-3)


# -- saving and going on ----------------------------------------------------------------------------------------------


def saved(*stateful):
    buffer = io.BytesIO()
    torch.save([each.state_dict() for each in stateful], buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)


@every_method
@given(before=st.integers(0, 4), after=st.integers(1, 4), seed=st.integers(0, 99))
@settings(max_examples=8)
def test_who_is_saved_and_loaded_goes_on_as_if_never_stopped(method, before, after, seed):
    def train(params, optimizer, n_steps):
        for _ in range(n_steps):
            optimizer.step(lambda: waves(*params))

    params, resumed = nn.ParameterList(leaves(normal(4), [1, 3])), nn.ParameterList(leaves(normal(4, seed=9), [1, 3]))
    optimizer = as_torch_optimizer(method, params, seed=seed)
    train(params, optimizer, before)
    of_params, of_optimizer = saved(params, optimizer)
    train(params, optimizer, after)
    fresh = as_torch_optimizer(method, resumed, seed=seed + 1)
    resumed.load_state_dict(of_params)
    fresh.load_state_dict(of_optimizer)
    train(resumed, fresh, after)
    assert torch.equal(vector(params), vector(resumed))
    np.testing.assert_array_equal(optimizer.calls.counts, fresh.calls.counts)


def test_a_state_dict_stays_what_it_was():
    params = leaves(normal(Waves.dim), [1, 3])
    optimizer = as_torch_optimizer(MomentumSGD(lr=0.1), params)
    kept = optimizer.state_dict()
    expected = remembered(kept)
    optimizer.step(lambda: waves(*params))
    assert remembered(kept) == expected


def test_a_copy_trains_its_own_parameters():
    (x,) = params = leaves(normal(Waves.dim), [4])
    model = nn.ParameterList(params)
    optimizer = as_torch_optimizer(MomentumSGD(lr=0.1), model)
    optimizer.step(lambda: waves(x))
    twin, twins = copy.deepcopy((model, optimizer))
    twins.step(lambda: waves(*twin))
    assert not torch.equal(twin[0], x)
    optimizer.step(lambda: waves(x))
    assert torch.equal(twin[0], x)


def test_other_hyperparameters_go_on_from_the_same_memory():
    (x,) = params = leaves(normal(Waves.dim), [4])
    fast = as_torch_optimizer(MomentumSGD(lr=0.1), params)
    fast.step(lambda: waves(x))
    velocity = fast.state_dict()["state"]["sfnbench"]["memory"][0]
    slow = as_torch_optimizer(MomentumSGD(lr=0.01), params)
    slow.load_state_dict(saved(fast)[0])
    assert "lr=0.01" in repr(slow)
    expected = x.detach() + 0.9 * velocity - 0.01 * torch.func.grad(Waves().loss)(x.detach(), None)
    slow.step(lambda: waves(x))
    torch.testing.assert_close(x.detach(), expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (as_torch_optimizer(GradientDescent(), [nn.Parameter(normal(4))]), "state of GradientDescent, which MomentumSGD"),
        (torch.optim.SGD([nn.Parameter(normal(4))], lr=0.1), "another class of optimizer"),
        (as_torch_optimizer(MomentumSGD(), [nn.Parameter(normal(5))]), r"tensors are \[\(5,\), \(\)\]"),
        (as_torch_optimizer(MomentumSGD(), leaves(normal(4), [2, 2])), "doesn't match the size"),
    ],
)
def test_a_state_of_something_else_is_refused_and_changes_nothing(other, message):
    (x,) = params = leaves(normal(Waves.dim), [4])
    optimizer = as_torch_optimizer(MomentumSGD(), params)
    optimizer.step(lambda: waves(x))
    kept = remembered(optimizer.state_dict())
    with pytest.raises(ValueError, match=message):
        optimizer.load_state_dict(other.state_dict())
    assert remembered(optimizer.state_dict()) == kept


# -- numbers that break -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS[:8], ids=name)
def test_a_loss_that_is_no_number_breaks_the_step_and_changes_nothing(method):
    params = leaves(normal(Waves.dim), [1, 3])
    optimizer = as_torch_optimizer(method, params)
    optimizer.step(lambda: waves(*params))
    kept, there = remembered(optimizer.state_dict()), vector(params)
    with pytest.raises(FloatingPointError, match=f"{type(method).__name__}: the step"):
        optimizer.step(lambda: waves(*params) * math.nan)
    assert remembered(optimizer.state_dict()) == kept
    assert torch.equal(vector(params), there)


def test_a_trial_without_a_finite_loss_is_the_method_s_own_affair():
    (x,) = params = leaves(normal(Waves.dim), [4])
    start = x.detach().clone()
    optimizer = as_torch_optimizer(KrylovSaddleFreeNewton(k=4), params)
    optimizer.step(lambda: waves(x) if torch.equal(x, start) else waves(x) * math.nan)
    assert torch.equal(x.detach(), start)  # every damping refused


@every_method
def test_a_closure_that_raises_leaves_everything(method):
    params = leaves(normal(Waves.dim), [1, 3])
    optimizer = as_torch_optimizer(method, params)
    start, kept = vector(params), remembered(optimizer.state_dict())
    runs = 0

    def closure():
        nonlocal runs
        runs += 1
        if runs == fatal:
            raise KeyError("no more examples")
        return waves(*params)

    for fatal in (1, 2, 3):  # the closure reads it
        runs = 0
        try:
            optimizer.step(closure)
        except KeyError:
            assert torch.equal(vector(params), start)
            assert remembered(optimizer.state_dict()) == kept
        else:
            assert fatal > 1
            break


# -- misuse -----------------------------------------------------------------------------------------------------------


def parameter(*shape, **options):
    return nn.Parameter(torch.zeros(*shape, **options))


class Unfit(Optimizer):
    """Asks in its step for what only a network has."""

    def step(self, oracle, theta, state):
        return oracle.curvature(theta, "fisher").grad, state


@pytest.mark.parametrize(
    ("optimizer", "params", "error", "message"),
    [
        ("sfn", [parameter(2)], TypeError, "such as MomentumSGD.*got 'sfn'"),
        (MomentumSGD, [parameter(2)], TypeError, "got <class"),
        (MomentumSGD(lr=-1.0), [parameter(2)], ValueError, "MomentumSGD: lr: input should be greater than 0"),
        (MomentumSGD(batch_size=8), [parameter(2)], ValueError, "batch size of 8.*closure"),
        (KrylovSaddleFreeNewton(curvature_batch_size=9), [parameter(2)], ValueError, "batch size of 9.*closure"),
        (KrylovSaddleFreeNewton(curvature="gauss_newton"), [parameter(2)], ValueError, "gauss_newton needs a network"),
        (Switch(then=KrylovSaddleFreeNewton(curvature="fisher")), [parameter(2)], ValueError, "fisher needs a network"),
        (KrylovSaddleFreeNewton(k=3), [parameter(2)], ValueError, "only 2 parameters"),
        (MomentumSGD(), parameter(2), TypeError, r"such as model.parameters\(\), got a Parameter"),
        (MomentumSGD(), nn.Sequential(nn.Linear(2, 2)), TypeError, "without groups, got a Linear at 0"),
        (MomentumSGD(), nn.Linear(2, 2), TypeError, "got a Linear"),
        (MomentumSGD(), nn.Linear(2, 2).named_parameters(), TypeError, "without groups, got a tuple at 0"),
        (MomentumSGD(), [{"params": [parameter(2)]}], TypeError, "without groups, got a dict at 0"),
        (MomentumSGD(), [], ValueError, "got none"),
        (MomentumSGD(), [torch.zeros(2)], ValueError, "got 1 frozen ones"),
        (MomentumSGD(), [parameter(2)] * 2, ValueError, "one of them twice"),
        (MomentumSGD(), [parameter(2) * 2], ValueError, "non-leaf"),
        (
            MomentumSGD(),
            [parameter(2), parameter(2, dtype=torch.float64)],
            ValueError,
            "float32 on cpu, torch.float64",
        ),
        (MomentumSGD(), [parameter(2), parameter(2, device="meta")], ValueError, "on cpu, torch.float32 on meta"),
        (MomentumSGD(), [parameter(2, dtype=torch.complex64)], ValueError, "floating-point dtype.*complex64"),
    ],
)
def test_what_does_not_fit_is_refused_at_once(optimizer, params, error, message):
    with pytest.raises(error, match=message) as raised:
        as_torch_optimizer(optimizer, params)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("closure", "error", "message"),
    [
        (lambda x: None, TypeError, "as a tensor, got NoneType"),
        (lambda x: x.sum().item(), TypeError, "as a tensor, got float"),
        (lambda x: (x.sum(), x), TypeError, "as a tensor, got tuple"),
        (lambda x: x**2, ValueError, r"scalar loss, got a tensor of shape \(4,\)"),
        (lambda x: x.sum().detach(), ValueError, "depends on none of the parameters"),
        (lambda x: torch.zeros((), requires_grad=True) ** 2, ValueError, "depends on none of the parameters"),
    ],
)
@pytest.mark.parametrize("method", [MomentumSGD(), SaddleFreeNewton(), KrylovSaddleFreeNewton()], ids=name)
def test_what_no_step_can_be_made_from_is_said(method, closure, error, message):
    (x,) = params = leaves(normal(Waves.dim), [4])
    start = x.detach().clone()
    with pytest.raises(error, match=message):
        as_torch_optimizer(method, params).step(lambda: closure(x))
    assert torch.equal(x.detach(), start)


@pytest.mark.parametrize("method", [MomentumSGD(), KrylovSaddleFreeNewton()], ids=name)
def test_a_graph_that_the_closure_has_freed_is_said(method):
    (x,) = params = leaves(normal(Waves.dim), [4])

    def closure():
        loss = waves(x)
        torch.autograd.backward(loss)
        return loss

    with pytest.raises(ValueError, match="the closure has freed the loss's graph: return the loss"):
        as_torch_optimizer(method, params).step(closure)


def test_what_a_step_or_its_groups_cannot_be_is_said():
    (x,) = params = leaves(normal(Waves.dim), [4])
    optimizer = as_torch_optimizer(MomentumSGD(lr=0.25), params)
    assert "optimizer: MomentumSGD(batch_size=None, lr=0.25" in repr(optimizer)
    for closure in (None, waves(x)):
        with pytest.raises(TypeError, match="step needs a closure that returns the loss"):
            optimizer.step(closure)
    with pytest.raises(ValueError, match="none can be added"):
        optimizer.add_param_group({"params": [parameter(2)]})
    with pytest.raises(KeyError, match="lr"):
        torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
    with pytest.raises(ValueError, match="fisher needs a network"):
        as_torch_optimizer(Unfit(), params).step(lambda: waves(x))
