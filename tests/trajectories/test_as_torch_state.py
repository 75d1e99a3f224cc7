"""The way back.

Saved and loaded it goes on as it was, nothing is left half done, and misuse is said.
"""

import copy
import io
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils._pytree import tree_map_only
from waves_training import (
    METHODS,
    every_method,
    leaves,
    name,
    normal,
    vector,
    waves,
)

from sfnbench import as_torch_optimizer
from sfnbench.core.optimizer import Optimizer
from sfnbench.members.contract.shared import Waves
from sfnbench.optimizers.gradient_descent import GradientDescent
from sfnbench.optimizers.krylov_sfn import KrylovSaddleFreeNewton
from sfnbench.optimizers.msgd import MomentumSGD
from sfnbench.optimizers.sfn import SaddleFreeNewton
from sfnbench.optimizers.switch import Switch


def remembered(state_dict):
    """A state dict as text, every number to the bit and NaN like NaN."""
    return repr(tree_map_only(torch.Tensor, torch.Tensor.tolist, state_dict))


# -- saving and going on ---------------------------------------------------------------------------


def saved(*stateful):
    buffer = io.BytesIO()
    torch.save([each.state_dict() for each in stateful], buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)


@every_method
@given(before=st.integers(0, 4), after=st.integers(1, 4), seed=st.integers(0, 99))
@settings(max_examples=8)
def test_who_is_saved_and_loaded_goes_on_as_if_never_stopped(
    method, before, after, seed
):
    def train(params, optimizer, n_steps):
        for _ in range(n_steps):
            optimizer.step(lambda: waves(*params))

    params, resumed = (
        nn.ParameterList(leaves(normal(4), [1, 3])),
        nn.ParameterList(leaves(normal(4, seed=9), [1, 3])),
    )
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


@every_method
def test_a_state_dict_stays_what_it_was(method):
    params = leaves(normal(Waves.dim), [1, 3])
    optimizer = as_torch_optimizer(method, params)
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
    expected = (
        x.detach()
        + 0.9 * velocity
        - 0.01 * torch.func.grad(Waves().loss)(x.detach(), None)
    )
    slow.step(lambda: waves(x))
    torch.testing.assert_close(x.detach(), expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            as_torch_optimizer(GradientDescent(), [nn.Parameter(normal(4))]),
            "state of GradientDescent, which MomentumSGD",
        ),
        (
            torch.optim.SGD([nn.Parameter(normal(4))], lr=0.1),
            "another class of optimizer",
        ),
        (
            as_torch_optimizer(MomentumSGD(), [nn.Parameter(normal(5))]),
            r"tensors are \[\(5,\), \(\)\]",
        ),
        (
            as_torch_optimizer(MomentumSGD(), leaves(normal(4), [2, 2])),
            "doesn't match the size",
        ),
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


# -- numbers that break ----------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS[:8], ids=name)
def test_a_loss_that_is_no_number_breaks_the_step_and_changes_nothing(method):
    params = leaves(normal(Waves.dim), [1, 3])
    optimizer = as_torch_optimizer(method, params)
    optimizer.step(lambda: waves(*params))
    kept, there = remembered(optimizer.state_dict()), vector(params)
    with pytest.raises(
        FloatingPointError, match=f"{type(method).__name__}: no finite step"
    ):
        optimizer.step(lambda: waves(*params) * math.nan)
    assert remembered(optimizer.state_dict()) == kept
    assert torch.equal(vector(params), there)


def test_a_trial_without_a_finite_loss_is_the_method_s_own_affair():
    (x,) = params = leaves(normal(Waves.dim), [4])
    start = x.detach().clone()
    optimizer = as_torch_optimizer(KrylovSaddleFreeNewton(k=4), params)
    optimizer.step(
        lambda: waves(x) if torch.equal(x, start) else waves(x) * math.nan
    )
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


# -- misuse ----------------------------------------------------------------------------------------


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
        (
            MomentumSGD(lr=-1.0),
            [parameter(2)],
            ValueError,
            "MomentumSGD: lr must be greater than 0, not -1.0",
        ),
        (
            MomentumSGD(batch_size=8),
            [parameter(2)],
            ValueError,
            "batch size of 8.*closure",
        ),
        (
            KrylovSaddleFreeNewton(curvature_batch_size=9),
            [parameter(2)],
            ValueError,
            "batch size of 9.*closure",
        ),
        (
            KrylovSaddleFreeNewton(curvature="gauss_newton"),
            [parameter(2)],
            ValueError,
            "gauss_newton needs a network",
        ),
        (
            Switch(then=KrylovSaddleFreeNewton(curvature="fisher")),
            [parameter(2)],
            ValueError,
            "fisher needs a network",
        ),
        (
            KrylovSaddleFreeNewton(k=3),
            [parameter(2)],
            ValueError,
            "only 2 parameters",
        ),
        (
            MomentumSGD(),
            parameter(2),
            TypeError,
            r"such as model.parameters\(\), got a Parameter",
        ),
        (
            MomentumSGD(),
            nn.Sequential(nn.Linear(2, 2)),
            TypeError,
            "in one vector, got a Linear at 0",
        ),
        (MomentumSGD(), nn.Linear(2, 2), TypeError, "got a Linear"),
        (
            MomentumSGD(),
            [{"params": [parameter(2)], "lr": 0.1}],
            ValueError,
            r"no settings of its own, got \['lr'\]",
        ),
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
        (
            MomentumSGD(),
            [parameter(2), parameter(2, device="meta")],
            ValueError,
            "on cpu, torch.float32 on meta",
        ),
        (
            MomentumSGD(),
            [parameter(2, dtype=torch.complex64)],
            ValueError,
            "floating-point dtype.*complex64",
        ),
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
        (
            lambda x: x.sum().detach(),
            ValueError,
            "depends on none of the parameters",
        ),
        (
            lambda x: torch.zeros((), requires_grad=True) ** 2,
            ValueError,
            "depends on none of the parameters",
        ),
    ],
)
@pytest.mark.parametrize(
    "method",
    [MomentumSGD(), SaddleFreeNewton(), KrylovSaddleFreeNewton()],
    ids=name,
)
def test_what_no_step_can_be_made_from_is_said(method, closure, error, message):
    (x,) = params = leaves(normal(Waves.dim), [4])
    start = x.detach().clone()
    with pytest.raises(error, match=message):
        as_torch_optimizer(method, params).step(lambda: closure(x))
    assert torch.equal(x.detach(), start)


@pytest.mark.parametrize(
    "method", [MomentumSGD(), KrylovSaddleFreeNewton()], ids=name
)
def test_a_graph_that_the_closure_has_freed_is_said(method):
    (x,) = params = leaves(normal(Waves.dim), [4])

    def closure():
        loss = waves(x)
        torch.autograd.backward(loss)
        return loss

    with pytest.raises(
        ValueError,
        match=r"has freed the graph of its loss.*need only return the loss",
    ):
        as_torch_optimizer(method, params).step(closure)


def test_what_a_step_or_its_groups_cannot_be_is_said():
    (x,) = params = leaves(normal(Waves.dim), [4])
    optimizer = as_torch_optimizer(MomentumSGD(lr=0.25), params)
    assert "optimizer: MomentumSGD(batch_size=None, lr=0.25" in repr(optimizer)
    for closure in (None, waves(x)):
        with pytest.raises(
            TypeError, match="step needs a closure that returns the loss"
        ):
            optimizer.step(closure)
    with pytest.raises(ValueError, match="none can be added"):
        optimizer.add_param_group({"params": [parameter(2)]})
    with pytest.raises(ValueError, match="fisher needs a network"):
        as_torch_optimizer(Unfit(), params).step(lambda: waves(x))
