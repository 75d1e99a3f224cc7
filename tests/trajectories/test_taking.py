"""A step that is none is refused in words, alone and in a batch, before it makes a number wrong."""

from dataclasses import dataclass

import pytest
import torch

from sfnbench.core.optimizer import Optimizer
from sfnbench.errors import PluginError
from sfnbench.members.contract.shared import Waves
from sfnbench.trajectories.single import Looped
from sfnbench.trajectories.vmapped import Vmapped

THETA = "theta has shape (4,), torch.float64 on cpu"


def in_place(theta, grad):
    theta -= 0.1 * grad
    return theta, ()


def through_a_view(theta, grad):
    theta.detach()[:1].mul_(0.5)
    return theta - 0.1 * grad, ()


WRONG = {
    "none": (lambda t, g: None, "returned NoneType, not a point and a state"),
    "point alone": (lambda t, g: t - g, "returned Tensor, not a point and a state"),
    "three": (lambda t, g: (t, (), 0), "returned tuple, not a point and a state"),
    "short": (lambda t, g: (t[:1], ()), r"of shape \(1,\), torch.float64 on cpu"),
    "scalar": (lambda t, g: (t.sum(), ()), r"of shape \(\), torch.float64 on cpu"),
    "single": (lambda t, g: (t.float(), ()), r"of shape \(4,\), torch.float32"),
    "integers": (lambda t, g: (t.long(), ()), r"of shape \(4,\), torch.int64"),
    "number": (lambda t, g: (0.0, ()), "returned a point of float"),
    "in place": (in_place, "changed theta in place"),
    "view": (through_a_view, "changed theta in place"),
}


@pytest.mark.parametrize("wrong", sorted(WRONG))
@pytest.mark.parametrize("n", [None, 1, 2], ids=["alone", "batch of 1", "batch"])
def test_a_step_that_is_none_is_refused(n, wrong):
    act, message = WRONG[wrong]

    @dataclass(frozen=True, kw_only=True)
    class Odd(Optimizer):
        def step(self, oracle, theta, state):
            return act(theta, oracle.grad(theta))

    problem = Waves()
    starts = torch.ones(n or 1, problem.dim, dtype=torch.float64)
    kind = Looped if n is None else Vmapped
    trajectories = kind(problem, Odd(), starts)
    with pytest.raises(PluginError, match=message) as refused:
        trajectories.step([(None,)] * (n or 1), None)
    assert str(refused.value).startswith("step of Odd ")
    if "returned a point" in str(refused.value):
        assert str(refused.value).endswith(THETA)
