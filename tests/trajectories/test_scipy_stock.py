"""scipy's methods: their iterates, their questions and their words are those of scipy alone."""

import contextlib
import threading

import numpy as np
import pytest
import scipy.optimize
import torch

from sfnbench.core.problem import Problem
from sfnbench.experiments.race.execute import execute
from sfnbench.members import registry
from sfnbench.members.contract.shared import Waves
from sfnbench.problems.quadratic_saddle import QuadraticSaddle
from sfnbench.trajectories import scipy_stock, stock

MOST = 60  # iterates looked at of a method that goes on
# after so many iterates the last bit decides whether it stays there or ends
FEWER = {"trust-krylov": 8}
START = Waves().start(torch.Generator().manual_seed(0))


class Enough(BaseException):
    """Ends a method from its callback; scipy takes StopIteration for a word of its own."""


class Plain:
    """A problem's functions as one writes them for scipy, each counting its calls."""

    def __init__(self, problem):
        self.problem = problem
        self.counts = {"loss": 0, "grad": 0, "hvp": 0, "hessian": 0}

    def loss(self, x):
        self.counts["loss"] += 1
        return float(self.problem.loss(torch.tensor(x), None))

    def loss_and_grad(self, x):
        self.counts["grad"] += 1
        theta = torch.tensor(x, requires_grad=True)
        loss = self.problem.loss(theta, None)
        loss.backward()
        return loss.item(), theta.grad.numpy()

    def product(self, x, v):
        self.counts["hvp"] += 1
        return Problem.hessian(self.problem, torch.tensor(x), None).numpy() @ v

    def hessian(self, x):
        self.counts["hessian"] += 1
        return Problem.hessian(self.problem, torch.tensor(x), None).numpy()


def by_scipy(problem, method, start, **options):
    """The iterates, the counts and the result of scipy's own call."""
    plain, iterates = Plain(problem), []
    free = method in scipy_stock.GRADIENT_FREE
    extra = {} if free else {"jac": True}
    if method in scipy_stock.HESSIANS:
        extra["hess"] = plain.hessian
    if method in scipy_stock.HESSIAN_PRODUCTS:
        extra["hessp"] = plain.product

    def keep(x, state=None):
        iterates.append(np.array(x))
        if len(iterates) == FEWER.get(method, MOST):
            raise Enough

    options = {"maxfun" if method == "TNC" else "maxiter": 10**9, **options}
    function = plain.loss if free else plain.loss_and_grad
    result = None
    with contextlib.suppress(Enough):
        result = scipy.optimize.minimize(
            function,
            start.numpy(),
            method=method,
            callback=keep,
            options=options,
            **extra,
        )
    return iterates, list(plain.counts.values()), result


def by_sfnbench(problem, method, start, n_steps, **params):
    trajectories = stock.lift_stock(
        problem, f"scipy.optimize.{method}", params, start[None], seeds=(0,)
    )
    path = []
    for _ in range(n_steps):
        trajectories.step([(None,)], None)
        path.append(trajectories.theta[0].numpy())
    trajectories.close()
    return trajectories, path


# scipy warns at its last digits
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("method", sorted(scipy_stock.METHODS))
def test_methods_give_the_iterates_and_ask_the_questions_of_scipy(method):
    """By default nothing but the budget ends them: scipy's tolerances are told to be as small."""
    never = dict.fromkeys(scipy_stock.TOLERANCES[method], scipy_stock.NO_TOLERANCE)
    expected, counts, result = by_scipy(Waves(), method, START, **never)
    if result is not None and not np.array_equal(result.x, expected[-1]):
        expected.append(result.x)  # SLSQP does not tell its callback of its answer
    # the last step is that of the end
    n_steps = len(expected) + (result is not None)
    trajectories, path = by_sfnbench(Waves(), method, START, n_steps)
    for ours, theirs in zip(path, expected, strict=False):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-7)
    assert trajectories.ended == (result is not None)
    assert trajectories.calls[0].tolist() == counts
    if result is not None:
        assert trajectories.stopped == f"{result.message} (status {result.status})"


@pytest.mark.parametrize(
    "method", ["BFGS", "L-BFGS-B", "Newton-CG", "trust-ncg", "Nelder-Mead"]
)
def test_a_tolerance_of_the_suite_ends_a_method(method):
    ended, _ = by_sfnbench(Waves(), method, START, 300, tol=1e-2)
    goes_on, _ = by_sfnbench(Waves(), method, START, 300)
    assert ended.ended
    assert ended.calls[0].sum() < goes_on.calls[0].sum()


@pytest.mark.parametrize(
    "method", sorted(scipy_stock.METHODS - scipy_stock.GRADIENT_FREE)
)
def test_started_exactly_on_a_saddle_none_breaks(method):
    """trust-exact, told to go on at a gradient of zero, raises UnboundLocalError."""
    start = torch.zeros(2, dtype=torch.float64)
    trajectories, path = by_sfnbench(QuadraticSaddle(), method, start, 3)
    assert all(np.isfinite(point).all() for point in path)
    assert trajectories.calls[0].sum() >= 1


@pytest.mark.parametrize("method", ["dogleg", "BFGS", "Newton-CG"])
def test_what_is_asked_between_the_last_iterate_and_the_end_is_in_the_result(
    make_run, method
):
    """dogleg makes no step where the Hessian has a negative eigenvalue, and asks to find that."""
    use, lee = f"scipy.optimize.{method}", {"start_at": [0.3, 0.2]}
    (row,) = execute(
        make_run("lee", lee, use, {}, seeds=1, steps=400), lambda share: None
    ).rows
    never = dict.fromkeys(scipy_stock.TOLERANCES[method], scipy_stock.NO_TOLERANCE)
    problem = registry.build("problem", "lee", lee)
    _, counts, result = by_scipy(
        problem, method, torch.tensor([0.3, 0.2]).double(), **never
    )
    assert [
        row[f"n_{kind}"] for kind in ("loss", "grad", "hvp", "hessian")
    ] == counts
    assert row["n_hvp"] + row["n_hessian"] == result.get("nhev", 0)
    assert row["n_grad"] == result.nfev
    assert row["steps"] == result.nit


def test_the_thread_ends_with_the_trajectories():
    n_before = threading.active_count()
    trajectories = stock.lift_stock(
        Waves(), "scipy.optimize.BFGS", {}, START[None], (0,)
    )
    trajectories.step([(None,)], None)
    assert threading.active_count() == n_before + 1
    trajectories.close()
    assert threading.active_count() == n_before


@pytest.mark.parametrize("method", ["trust-krylov", "trust-constr", "Nelder-Mead"])
def test_a_tolerance_that_is_never_met_holds_up_no_check(method):
    assert stock.find_faults(f"scipy.optimize.{method}", {"tol": 0}) == []


@pytest.mark.parametrize(
    ("method", "params", "path", "message"),
    [
        ("BFG", {}, (), "did you mean 'BFGS'"),
        ("BFGS", {"gtolx": 1e-3}, ("gtolx",), "no option of scipy.optimize.BFGS"),
    ],
)
def test_wrong_names_and_options_are_said(method, params, path, message):
    ((found, said),) = stock.find_faults(f"scipy.optimize.{method}", params)
    assert found == path
    assert message in said
