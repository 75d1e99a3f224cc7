"""The questions to each method of ``scipy.optimize.minimize``."""

import contextlib

import numpy as np
import scipy.optimize
import torch

from sfnbench.members.contract.shared import Waves
from sfnbench.trajectories import scipy_stock, stock

from .by_hand import N_STEPS
from .line import Line

WAVES = Waves()  # scipy's methods have no use for tensors


# after so many steps the last bit decides whether it stays there or ends
FEWER = {"trust-krylov": 6}


class Enough(BaseException):
    """Ends a method of scipy from its callback."""


def scipy_line(name: str) -> Line:
    """Everything that is asked of one method of scipy."""
    method = name.removeprefix("scipy.optimize.")
    line, start = Line(name), WAVES.start(torch.Generator().manual_seed(0))
    faults = stock.find_faults(name, {}, {})
    line.constructed = faults[0].message if faults else True
    if faults:
        return line
    line.n_steps = FEWER.get(method, N_STEPS)
    iterates, counts = _minimized(method, start, line.n_steps)
    has_ended = len(iterates) < line.n_steps
    asked = name, start, len(iterates), has_ended
    found, calls = _minimized_by_sfnbench(*asked)
    line.runs, line.seeds = True, True  # a thread of its own a seed
    pairs = zip(found, iterates, strict=False)
    line.by_hand = all(
        np.allclose(a, b, rtol=1e-6, atol=1e-8) for a, b in pairs
    ) and len(found) == len(iterates)
    line.by_hand = line.by_hand or "other iterates"
    line.counts = calls == counts or f"{calls} for {counts}"
    again, _ = _minimized_by_sfnbench(*asked)
    line.repeats = np.array_equal(found, again) or "twice is not the same"
    return line


def _minimized(method, start, n_most):
    """Iterates of scipy's own call, at most so many, and the questions asked until then."""
    counts = dict.fromkeys(("loss", "grad", "hvp", "hessian"), 0)
    gradient = torch.func.grad_and_value(lambda theta: WAVES.loss(theta, None))
    iterates = []

    def count(kind, answer):
        counts[kind] += 1
        return answer

    def both(x):
        grad, loss = gradient(torch.from_numpy(np.array(x)))
        return count("grad", (float(loss), grad.numpy()))

    def loss(x):
        return count("loss", float(WAVES.loss(torch.from_numpy(np.array(x)), None)))

    def hessian(x):
        H = torch.func.hessian(lambda theta: WAVES.loss(theta, None))
        return H(torch.from_numpy(np.array(x))).numpy()

    def keep(x, state=None):
        iterates.append(np.array(x))
        if len(iterates) == n_most:
            raise Enough

    is_free = method in scipy_stock.GRADIENT_FREE
    extra = {} if is_free else {"jac": True}
    if method in scipy_stock.HESSIANS:
        extra["hess"] = lambda x: count("hessian", hessian(x))
    if method in scipy_stock.HESSIAN_PRODUCTS:
        extra["hessp"] = lambda x, v: count("hvp", hessian(x) @ v)
    options = {"maxfun" if method == "TNC" else "maxiter": 10**9}
    options |= dict.fromkeys(
        scipy_stock.TOLERANCES[method], scipy_stock.NO_TOLERANCE
    )
    with contextlib.suppress(Enough):
        scipy.optimize.minimize(
            loss if is_free else both, start.numpy(), method=method, callback=keep,
            options=options, **extra,
        )  # fmt: skip
    return iterates, list(counts.values())


def _minimized_by_sfnbench(name, start, n, has_ended):
    trajectories = stock.lift_stock(WAVES, name, {}, start[None], (0,))
    found = []
    while len(found) < n and not trajectories.ended:
        trajectories.step([(None,)], None)
        if not trajectories.ended:
            found.append(trajectories.theta[0].numpy())
    if has_ended and not trajectories.ended:
        trajectories.step([(None,)], None)  # to its end
    trajectories.close()
    return found, trajectories.calls[0].tolist()
