"""Stock optimizers: what comes out is what torch and scipy do by themselves."""

import numpy as np
import pytest
import scipy.optimize
import torch

from sfnbench.core.problem import Problem
from sfnbench.members.contract.shared import Waves
from sfnbench.trajectories import stock


def starts(n):
    return torch.stack([Waves().start(torch.Generator().manual_seed(seed)) for seed in range(n)])


def advance(use, params, points, n_steps):
    trajectories = stock.lift_stock(Waves(), use, params, points)
    path = []
    for _ in range(n_steps):
        trajectories.step([(None,)] * len(points), None)
        path.append(trajectories.theta)
    trajectories.close()
    return trajectories, path


@pytest.mark.parametrize("name", ["SGD", "Adam", "Adafactor", "Rprop", "LBFGS"])
def test_torch_optimizers_do_what_they_do_in_a_plain_loop(name):
    cls = getattr(torch.optim, name)
    points = starts(1 if name == "LBFGS" else 3)
    trajectories, path = advance(f"torch.optim.{name}", {"lr": 0.05}, points, 6)
    for lane, start in enumerate(points):
        theta = start.clone().requires_grad_()
        optimizer = cls([theta], lr=0.05)
        n_calls = 0

        def closure(theta=theta, optimizer=optimizer):
            nonlocal n_calls
            n_calls += 1
            optimizer.zero_grad()
            loss = Waves().loss(theta, None)
            loss.backward()
            return loss

        for _ in range(6):
            if name == "LBFGS":
                optimizer.step(closure)
            else:
                closure()
                optimizer.step()
        torch.testing.assert_close(path[-1][lane], theta.detach(), rtol=1e-12, atol=1e-14)
        assert trajectories.calls[lane].tolist() == [0, n_calls, 0, 0]


def test_a_parked_lane_has_no_say_in_the_others():
    free, path = advance("torch.optim.Adam", {"lr": 0.05}, starts(3), 5)
    held = stock.lift_stock(Waves(), "torch.optim.Adam", {"lr": 0.05}, starts(3))
    held.park(np.array([False, True, False]))
    for _ in range(5):
        held.step([(None,)] * 3, None)
    assert torch.equal(held.theta[[0, 2]], path[-1][[0, 2]])
    assert held.calls[:, 1].tolist() == [5, 0, 5]
    assert free.calls[:, 1].tolist() == [5, 5, 5]


@pytest.mark.parametrize("method", sorted(stock.METHODS))
def test_scipy_methods_give_the_iterates_that_minimize_gives(method):
    x0 = starts(1)[0].numpy()
    counts = {"loss": 0, "grad": 0}

    def loss_and_grad(x):
        counts["grad"] += 1
        gradient, loss = torch.func.grad_and_value(Waves().loss)(torch.tensor(x), None)
        return float(loss), gradient.numpy()

    def loss(x):
        counts["loss"] += 1
        return float(Waves().loss(torch.tensor(x), None))

    def hessian(x):
        return Problem.hessian(Waves(), torch.tensor(x), None).numpy()

    free = method in stock.GRADIENT_FREE
    extra = {} if free else {"jac": True}
    if method in stock.HESSIANS:
        extra["hess"] = hessian
    if method in stock.HESSIAN_PRODUCTS:
        extra["hessp"] = lambda x, v: hessian(x) @ v
    expected = []

    def keep(x, state=None):
        expected.append(np.array(x))

    limit = {"maxfun" if method == "TNC" else "maxiter": 10**9}
    scipy.optimize.minimize(
        loss if free else loss_and_grad, x0, method=method, callback=keep, options=limit, **extra
    )
    trajectories, path = advance(f"scipy.optimize.{method}", {}, starts(1), len(expected) + 1)
    assert trajectories.ended  # one step beyond its last iterate
    for ours, theirs in zip(path, expected, strict=False):
        np.testing.assert_allclose(ours[0].numpy(), theirs, rtol=1e-6, atol=1e-8)
    if method in stock.GRADIENT_FREE | stock.GRADIENTS:
        assert trajectories.calls[0, :2].tolist() == [counts["loss"], counts["grad"]]


def test_scipy_ends_with_its_thread():
    import threading

    n_before = threading.active_count()
    trajectories = stock.lift_stock(Waves(), "scipy.optimize.BFGS", {}, starts(1))
    trajectories.step([(None,)], None)
    assert threading.active_count() == n_before + 1
    trajectories.close()
    assert threading.active_count() == n_before


@pytest.mark.parametrize(
    ("use", "params", "key", "message"),
    [
        ("torch.optim.Adm", {}, None, "did you mean 'Adam'"),
        ("torch.optim.Adam", {"lrr": 0.1}, "lrr", "did you mean 'lr'"),
        ("torch.optim.Adam", {"lr": -1}, None, "Invalid learning rate: -1"),
        ("torch.optim.Optimizer", {}, None, "unknown optimizer"),
        ("torch.nn.Linear", {}, None, "unknown optimizer"),
        (".Adam", {}, None, "unknown optimizer"),
        ("..x.y", {}, None, "unknown optimizer"),
        ("nowhere.at_all:Method", {}, None, "No module named 'nowhere'"),
        ("scipy.optimize.BFG", {}, None, "did you mean 'BFGS'"),
        ("scipy.optimize.BFGS", {"gtolx": 1e-3}, "gtolx", "no option of scipy.optimize.BFGS"),
    ],
)
def test_wrong_names_and_parameters_are_said(use, params, key, message):
    ((found_key, found),) = stock.check(use, params)
    assert found_key == key
    assert message in found


@pytest.mark.parametrize("method", ["trust-krylov", "trust-constr", "Nelder-Mead"])
def test_a_tolerance_that_is_never_met_holds_up_no_check(method):
    assert stock.check(f"scipy.optimize.{method}", {"tol": 0}) == []


def test_right_names_and_parameters_pass():
    assert stock.check("torch.optim.Adam", {"lr": 0.1, "betas": [0.9, 0.99]}) == []
    assert stock.check("torch.optim:LBFGS", {"max_iter": 5}) == []
    assert stock.check("scipy.optimize.L-BFGS-B", {"maxcor": 5, "tol": 1e-9}) == []
