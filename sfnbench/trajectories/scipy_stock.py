"""Methods of `scipy.optimize.minimize`, one iteration a step."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..core.oracle import Curvature, Oracle
from ..core.problem import Problem
from ..words import did_you_mean
from .single import Single
from .torch_entry import Fault

SCIPY = "scipy.optimize."
GRADIENT_FREE = {"Nelder-Mead", "Powell", "COBYLA", "COBYQA"}
HESSIAN_PRODUCTS = {"Newton-CG", "trust-ncg", "trust-krylov", "trust-constr"}
HESSIANS = {"dogleg", "trust-exact"}
GRADIENTS = {"CG", "BFGS", "L-BFGS-B", "TNC", "SLSQP"}
METHODS = GRADIENT_FREE | GRADIENTS | HESSIAN_PRODUCTS | HESSIANS

# Options that end a method where it has come near enough. They are set so low that the race's
# budget ends it, but above 0: every method ends at a gradient of exactly 0.
TOLERANCES = {
    "BFGS": ("gtol",),
    "CG": ("gtol",),
    "COBYLA": ("tol",),
    "COBYQA": ("final_tr_radius",),
    "L-BFGS-B": ("ftol", "gtol"),
    "Nelder-Mead": ("xatol", "fatol"),
    "Newton-CG": ("xtol",),
    "Powell": ("ftol",),
    "SLSQP": ("ftol",),
    "TNC": ("ftol", "xtol", "gtol"),
    "dogleg": ("gtol",),
    "trust-constr": ("gtol", "xtol", "barrier_tol"),
    "trust-exact": ("gtol",),
    "trust-krylov": ("gtol",),
    "trust-ncg": ("gtol",),
}
NO_TOLERANCE = np.finfo(np.float64).tiny
N_LINEARISED = 2  # points: a trust region goes back from one that it refuses


class _Abandoned(BaseException):
    """Raised inside a minimiser's thread when its iterates are no longer wanted."""


class _Iterates:
    """`scipy.optimize.minimize` turned inside out.

    A thread whose callback hands over each iterate and waits to go on.
    """

    def __init__(
        self, minimise: Callable[[Callable[[np.ndarray], None]], str]
    ) -> None:
        self._minimise = minimise
        self.words = ""  # of the minimiser, once it has stopped
        self._wanted = threading.Semaphore(0)
        self._given = threading.Semaphore(0)
        self._abandoned = False
        self._iterate: np.ndarray | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def next(self) -> np.ndarray | None:
        """The next iterate (d,), or None when the minimiser has stopped."""
        if not self._thread.is_alive() and self._iterate is None:
            return None
        self._wanted.release()
        self._given.acquire()
        if self._error is not None:
            raise self._error
        return self._iterate

    def close(self) -> None:
        """Unwind the thread."""
        self._abandoned = True
        self._wanted.release()
        self._thread.join()

    def _work(self) -> None:
        try:
            self._wanted.acquire()
            if not self._abandoned:
                self.words = self._minimise(self._hand_over)
        except _Abandoned:
            pass
        except Exception as error:
            # the error crosses to the thread that asked, which raises it
            self._error = error
        self._iterate = None
        self._given.release()

    def _hand_over(self, iterate: np.ndarray) -> None:
        self._iterate = np.array(iterate, copy=True)
        self._given.release()
        self._wanted.acquire()
        if self._abandoned:
            raise _Abandoned


class ScipyMinimizer(Single):
    """Any method of `scipy.optimize.minimize`; a step is one of its iterations.

    It minimises the whole loss, never minibatches: line searches and trust regions need a function
    that stays. It has ended where the method stops by itself, and `stopped` is what it says then.
    """

    def __init__(
        self,
        problem: Problem,
        method: str,
        params: Mapping[str, Any],
        starts: Tensor,
    ) -> None:
        super().__init__(problem, starts)
        self._oracle = Oracle(problem, eager=True)
        self._iterates = _Iterates(
            partial(_minimize, self._oracle, method, params, starts[0])
        )

    def advance(self, oracle: Oracle, theta: Tensor) -> Tensor:
        """One iteration, or the end of them."""
        # what the method asks from here on is this step's
        self._oracle.calls = oracle.calls
        iterate = self._iterates.next()
        if iterate is None:
            self.ended = True
            self.stopped = self._iterates.words
            return theta
        return torch.as_tensor(iterate, dtype=theta.dtype, device=theta.device)

    def close(self) -> None:
        """Unwind the minimiser's thread."""
        self._iterates.close()


class _Questions:
    """An oracle's answers as scipy wants them: float64 numpy arrays in and out."""

    def __init__(self, oracle: Oracle, like: Tensor, wants_products: bool) -> None:
        self._oracle = oracle
        self._like = like
        self._wants_products = wants_products
        # curvatures at the last points that were asked for
        self._linearised: dict[bytes, Curvature] = {}

    def loss(self, x: np.ndarray) -> float:
        return float(self._oracle.loss(self._point(x)))

    def loss_and_grad(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        """The one graph serves the gradient and the products that may follow."""
        if self._wants_products:
            here = self._keep(x, self._oracle.curvature(self._point(x)))
            return float(here.loss), _numbers(here.grad)
        value, grad = self._oracle.loss_and_grad(self._point(x))
        return float(value), _numbers(grad)

    def product(self, x: np.ndarray, v: np.ndarray) -> np.ndarray:
        known = self._linearised.get(x.tobytes())
        here = self._keep(x, known or self._oracle.curvature(self._point(x)))
        return _numbers(here.hvp(self._point(v)))

    def hessian(self, x: np.ndarray) -> np.ndarray:
        return _numbers(self._oracle.hessian(self._point(x)))

    def _keep(self, x: np.ndarray, here: Curvature) -> Curvature:
        key = x.tobytes()
        self._linearised.pop(key, None)
        others = list(self._linearised.items())[1 - N_LINEARISED :]
        self._linearised = {**dict(others), key: here}
        return here

    def _point(self, x: np.ndarray) -> Tensor:
        return torch.as_tensor(
            x.copy(), dtype=self._like.dtype, device=self._like.device
        )


def _numbers(tensor: Tensor) -> np.ndarray:
    return np.asarray(tensor.detach().cpu().numpy(), dtype=np.float64)


def _minimize(
    oracle: Oracle,
    method: str,
    params: Mapping[str, Any],
    start: Tensor,
    hand_over: Callable[[np.ndarray], None],
) -> str:
    """Minimise; every iterate is handed over. What the method says at its end."""
    from scipy.optimize import minimize

    call: Any = minimize  # its stubs know no method by a variable
    ask = _Questions(oracle, start, method in HESSIAN_PRODUCTS)
    options = _options(method, params)
    tol = None
    if method != "COBYLA" and "tol" in options:
        tol = options.pop("tol")
    last = [_numbers(start)]

    def keep(iterate: np.ndarray) -> None:
        last[:] = [np.array(iterate)]
        hand_over(iterate)

    callback = (
        (lambda x, _: keep(x))
        if method == "trust-constr"
        else (lambda xk: keep(xk))
    )
    found = call(
        x0=_numbers(start),
        method=method,
        tol=tol,
        options=options,
        callback=callback,
        **_asked_of(ask, method),
    )
    # scipy's answer may be no iterate that it has shown
    if not np.array_equal(found.x, last[0]):
        hand_over(found.x)
    return f"{found.message} (status {found.status})"


def _asked_of(ask: _Questions, method: str) -> dict[str, Any]:
    """The functions that a method may ask."""
    if method in GRADIENT_FREE:
        return {"fun": ask.loss}
    found: dict[str, Any] = {"fun": ask.loss_and_grad, "jac": True}
    if method in HESSIAN_PRODUCTS:
        found["hessp"] = ask.product
    if method in HESSIANS:
        found["hess"] = ask.hessian
    return found


def _options(method: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """A method's options: the race's budget ends it, unless the suite gives a tolerance."""
    limit = "maxfun" if method == "TNC" else "maxiter"
    if "tol" in params:
        tolerances = {}
    else:
        tolerances = dict.fromkeys(TOLERANCES[method], NO_TOLERANCE)
    return {limit: 10**9, **tolerances, **params}


@dataclass(frozen=True)
class _Bowl(Problem):
    """|theta|^2, to try options on."""

    dim = 2

    def start(self, rng: torch.Generator) -> Tensor:
        return torch.ones(2, dtype=torch.float64)

    def loss(self, theta: Tensor, batch: Any) -> Tensor:
        return theta @ theta


def _give_up(iterate: np.ndarray) -> None:
    """A callback for a trial, which is over with the first iterate.

    Some tolerances would let it go on for ever.
    """
    raise _Abandoned


def faults_of_method(method: str, params: Mapping[str, Any]) -> list[Fault]:
    """Everything wrong with a method's name and options."""
    if method not in METHODS:
        return [
            Fault(
                (),
                f"unknown optimizer '{SCIPY}{method}'{did_you_mean(method, METHODS)}",
            )
        ]
    from scipy.optimize import OptimizeWarning

    # scipy lists its options nowhere but in prose: a trial makes it say which it does not know
    oracle = Oracle(_Bowl(), eager=True)
    start = torch.ones(2, dtype=torch.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.filterwarnings("error", "Unknown solver options", OptimizeWarning)
        try:
            _minimize(oracle, method, params, start, _give_up)
        except _Abandoned:
            return []
        except OptimizeWarning as error:
            names = [
                name.strip() for name in str(error).partition(":")[2].split(",")
            ]
            message = "unknown key {!r}: no option of " + SCIPY + method
            return [Fault((name,), message.format(name)) for name in names]
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            key = next((name for name in params if name in str(error)), None)
            return [Fault((key,) if key else (), f"{SCIPY}{method}: {error}")]
    return []
