"""What runs on a GPU, shown without one on torch's device `meta`; and how often a step waits."""

from dataclasses import dataclass

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from sfnbench.core.optimizer import Optimizer
from sfnbench.core.problem import Problem
from sfnbench.errors import CheckError
from sfnbench.experiments.draws import Draws
from sfnbench.experiments.setup import Setup
from sfnbench.members import registry
from sfnbench.members.contract.devices import META, stays_on_its_device
from sfnbench.metrics.measuring import by_name, oracle
from sfnbench.records import Run, Spec

DIGITS = {"dataset": "digits", "size": 4, "n_examples": 50, "hidden": [3]}
MLP = Spec("mlp", "mlp", DIGITS, "")
FIRST_ORDER = [
    ("gradient_descent", {}),
    ("msgd", {"clip": 1.0, "schedule": "sutskever", "nesterov": True}),
    ("msgd", {"batch_size": 8}),
    ("noisy_gradient_descent", {}),
    ("torch.optim.SGD", {"lr": 0.1, "momentum": 0.9}),
    ("torch.optim.Adam", {"lr": 0.1, "batch_size": 8}),
    ("torch.optim.RMSprop", {"lr": 0.1}),
]
SECOND_ORDER = [
    ("damped_newton", {}),
    ("sfn", {"noise": 0.1}),
    ("krylov_sfn", {"k": 3, "inner_steps": 2, "batch_size": 8}),
]
# operators by which the host reads one value, or waits to know a shape
VALUES = {
    "aten::_local_scalar_dense": 1.0,
    "aten::is_nonzero": True,
    "aten::equal": True,
}
SHAPES = {"aten::nonzero", "aten::masked_select", "aten::_unique2"}


class Waits(TorchDispatchMode):
    """Counts how often the host asks the device for values, and answers with ones.

    The device is `meta`; tensors on the CPU, such as Adam's counter of steps, are read at once.
    """

    n = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs, name = kwargs or {}, func._schema.name
        tensors = [
            x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)
        ]
        if any(x.device == META for x in tensors):
            if name in VALUES:
                self.n += 1
                return VALUES[name]
            if name == "aten::_to_copy" and str(kwargs.get("device")) == "cpu":
                self.n += 1
                return torch.ones(
                    args[0].shape, dtype=kwargs.get("dtype", args[0].dtype)
                )
            if name in SHAPES or any(
                _is_mask(x) for x in self._indices(name, args)
            ):
                self.n += 1
                return torch.empty(1, device=META)
        return func(*args, **kwargs)

    @staticmethod
    def _indices(name, args):
        return args[1] if name == "aten::index" else ()


def _is_mask(index):
    return index is not None and index.dtype == torch.bool


def stepping(use, params, n_seeds):
    """A function that makes one step of a run with these seeds, their draws made beforehand."""
    method = Spec(use, use, params, "")
    seeds = tuple(range(n_seeds))
    run = Run("", "race", MLP, method, seeds, {}, "float32", "meta")
    setup = Setup(run)
    trajectories = setup.trajectories(setup.starts(seeds), seeds)
    drawn = Draws(setup, seeds).next()
    return lambda: (trajectories.step(*drawn), trajectories)[1]


@pytest.mark.parametrize("n_seeds", [1, 3])
@pytest.mark.parametrize(("use", "params"), FIRST_ORDER)
def test_a_first_order_step_waits_for_no_value(use, params, n_seeds):
    step = stepping(use, params, n_seeds)
    with Waits() as waits:
        step()
        step()
    assert waits.n == 0


def test_waits_are_counted():
    x = torch.ones(3, device=META)
    with Waits() as waits:
        float(x[0])
        bool(x.any())
        x[x > 0]
        x.nonzero()
        x.cpu()
        torch.ones(()).item()
    assert waits.n == 5


@pytest.mark.parametrize("n_seeds", [1, 3])
@pytest.mark.parametrize(("use", "params"), [*FIRST_ORDER, *SECOND_ORDER])
def test_the_steps_of_a_run_stay_on_their_device(use, params, n_seeds):
    trajectories = stepping(use, params, n_seeds)()
    assert trajectories.theta.device == META
    assert all(value.device == META for value in trajectories.reports().values())


@pytest.mark.parametrize("name", registry.members("metric"))
def test_metrics_stay_on_their_device(name):
    problem = registry.build("problem", "mlp", DIGITS)
    metric = registry.build("metric", name, {})
    theta = torch.zeros(problem.dim, device=META)
    found = by_name(name, metric.measure(oracle(problem), theta))
    assert all(value.device == META for value in found.values())


@dataclass(frozen=True, kw_only=True)
class Mixed(Problem):
    """|theta - 1|^2, the one being on the CPU always."""

    dim = 2

    def start(self, rng):
        return torch.randn(2, generator=rng, dtype=torch.float64)

    def loss(self, theta, batch):
        return (theta - torch.ones(2, dtype=theta.dtype)).square().sum()


@dataclass(frozen=True, kw_only=True)
class Picking(Mixed):
    """|picked numbers - theta|^2, picked on the CPU by places on theta's device."""

    def loss(self, theta, batch):
        places = torch.zeros(2, dtype=torch.long, device=theta.device)
        picked = torch.ones(3, dtype=theta.dtype)[places].to(theta.device)
        return (theta - picked).square().sum()


@dataclass(frozen=True, kw_only=True)
class Branching(Optimizer):
    """Gradient descent that looks at the gradient's length."""

    def step(self, oracle, theta, state):
        g = oracle.grad(theta)
        return theta - 0.1 * (g if float(g.norm()) < 1 else g / g.norm()), state


@dataclass(frozen=True, kw_only=True)
class BranchingAlone(Branching):
    """The same, which says that it does."""

    vmappable = False


@pytest.mark.parametrize("problem", [Mixed(), Picking()])
def test_a_problem_that_mixes_devices_is_found(problem):
    with pytest.raises(RuntimeError, match="device"):
        stays_on_its_device(problem)


def test_a_step_that_reads_a_value_is_found_unless_it_says_so():
    with pytest.raises(CheckError, match="makes a GPU wait"):
        stays_on_its_device(Branching())
    stays_on_its_device(BranchingAlone())
