"""Stock optimizers by name.

``torch.optim.X``, any ``package.module:Class`` like it, ``scipy.optimize.METHOD``.

One parameter tensor a seed, never seeds stacked in one tensor: Adafactor and LBFGS would couple
them.
"""

from __future__ import annotations

import importlib
import inspect
import threading
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..core.memory import Parts
from ..core.oracle import Curvature, Oracle
from ..core.problem import Problem
from ..errors import PluginError
from ..words import did_you_mean
from .single import Single
from .trajectories import Batches, Trajectories
from .vmapped import stack

SCIPY = "scipy.optimize."
BATCH_SIZE = "batch_size"
GRADIENT_FREE = {"Nelder-Mead", "Powell", "COBYLA", "COBYQA"}
HESSIAN_PRODUCTS = {"Newton-CG", "trust-ncg", "trust-krylov", "trust-constr"}
HESSIANS = {"dogleg", "trust-exact"}
GRADIENTS = {"CG", "BFGS", "L-BFGS-B", "TNC", "SLSQP"}
METHODS = GRADIENT_FREE | GRADIENTS | HESSIAN_PRODUCTS | HESSIANS


def check(use: str, params: dict[str, Any]) -> list[tuple[str | None, str]]:
    """What is wrong with a stock optimizer's name or parameters, as (parameter or None, message).

    Empty if nothing is.
    """
    if use.startswith(SCIPY):
        return _check_scipy(use.removeprefix(SCIPY), params)
    try:
        cls = _torch_class(use)
    except PluginError as error:
        return [(None, str(error))]
    parameters = inspect.signature(cls).parameters
    known = [name for name, p in parameters.items() if p.kind is not p.VAR_KEYWORD][1:]
    unknown = [name for name in params if name not in (*known, BATCH_SIZE)]
    if unknown:
        return [(name, f"unknown key {name!r}{did_you_mean(name, known)}") for name in unknown]
    size = batch_size(params)
    if not (size is None or (type(size) is int and size >= 1)):
        return [(BATCH_SIZE, f"{BATCH_SIZE} must be a whole number of at least 1, not {size!r}")]
    # torch itself looks at no types: LBFGS would remember ever more for a history_size of 7.5
    whole = [
        name
        for name, value in _own(params).items()
        if _is_whole(parameters[name]) and type(value) is not int
    ]
    if whole:
        return [(name, f"{name} must be a whole number, not {params[name]!r}") for name in whole]
    try:
        cls([torch.zeros(2, requires_grad=True)], **_own(params))
    except (TypeError, ValueError, RuntimeError, AssertionError) as error:
        return [(next((name for name in params if name in str(error)), None), f"{use}: {error}")]
    return []


def batch_size(params: dict[str, Any]) -> int | None:
    """How many examples its minibatches have.

    The one parameter that is the race's and not the optimizer's own.
    """
    return params.get(BATCH_SIZE)


def _is_whole(parameter: inspect.Parameter) -> bool:
    return parameter.annotation in (int, "int")


def _own(params: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in params.items() if name != BATCH_SIZE}


def shares_batches(use: str) -> bool:
    """Whether seeds can advance together.

    Not where the optimizer evaluates as often as it likes.
    """
    return not use.startswith(SCIPY) and not _needs_closure(_torch_class(use))


def lift_stock(problem: Problem, use: str, params: dict[str, Any], starts: Tensor) -> Trajectories:
    """Trajectories of a stock optimizer from starts (S, d); S is 1 unless it `shares_batches`."""
    if use.startswith(SCIPY):
        return ScipyMinimizer(problem, use.removeprefix(SCIPY), params, starts)
    cls = _torch_class(use)
    return (ClosureOptimizer if _needs_closure(cls) else TorchOptimizer)(
        problem, cls, _own(params), starts
    )


# -- torch -----------------------------------------------------------------------------------------


class TorchOptimizer(Trajectories):
    """One torch optimizer over S parameter tensors, one a seed.

    To the bit what S separate optimizers do.
    """

    def __init__(
        self,
        problem: Problem,
        cls: type[torch.optim.Optimizer],
        params: dict[str, Any],
        starts: Tensor,
    ) -> None:
        super().__init__(problem, starts)
        self._parameters = [start.clone().requires_grad_() for start in starts]
        self._optimizer = cls(self._parameters, **params)
        self._memory = Parts()

    def step(self, batches: Sequence[Batches], noise: Tensor | None) -> None:
        """The gradients of all lanes in one call, then the optimizer's own step.

        A parked lane has none and stays.
        """
        self.loss_before, grads = self._losses_and_grads(batches)
        for parameter, grad, parked in zip(self._parameters, grads, self.parked, strict=True):
            parameter.grad = None if parked else grad
        self._optimizer.step()
        self.theta = torch.stack([parameter.detach() for parameter in self._parameters])

    def _losses_and_grads(self, batches: Sequence[Batches]) -> tuple[Tensor, Tensor]:
        oracle = Oracle(self.problem, batches[0], eager=True, memory=self._memory)
        if len(self._parameters) == 1:
            loss, grad = oracle.loss_and_grad(self.theta[0])
            self.count(oracle.calls)
            return loss[None], grad[None]
        oracle.calls.add("grad", self.problem.share(batches[0][0]))
        self.count(oracle.calls)
        (batch,), (dim,) = stack(batches)
        both = torch.func.vmap(torch.func.grad_and_value(self.problem.loss), in_dims=(0, dim))
        grads, losses = both(self.theta, batch)
        return losses, grads


class ClosureOptimizer(Single):
    """A torch optimizer that asks for a closure, LBFGS for one: every evaluation is counted."""

    def __init__(
        self,
        problem: Problem,
        cls: type[torch.optim.Optimizer],
        params: dict[str, Any],
        starts: Tensor,
    ) -> None:
        super().__init__(problem, starts)
        self._parameter = starts[0].clone().requires_grad_()
        self._optimizer = cls([self._parameter], **params)

    def advance(self, oracle: Oracle, theta: Tensor) -> Tensor:
        """One step with the closure of this batch."""

        def closure() -> Any:
            loss, self._parameter.grad = oracle.loss_and_grad(self._parameter)
            return loss

        self._optimizer.step(closure)
        return self._parameter.detach().clone()


def _needs_closure(cls: type[torch.optim.Optimizer]) -> bool:
    closure = inspect.signature(cls.step).parameters.get("closure")
    return closure is not None and closure.default is inspect.Parameter.empty


def _torch_class(use: str) -> type[torch.optim.Optimizer]:
    """The class behind ``torch.optim.Adam`` or ``package.module:Class``.

    PluginError says what is missing.
    """
    module_name, _, name = use.partition(":") if ":" in use else use.rpartition(".")
    try:
        module = importlib.import_module(module_name)
    except (
        ImportError,
        TypeError,
        ValueError,
    ) as error:  # the latter two for what is no module's name
        raise PluginError(f"unknown optimizer {use!r}: {error}") from error
    cls = getattr(module, name, None)
    if not (
        isinstance(cls, type)
        and issubclass(cls, torch.optim.Optimizer)
        and cls is not torch.optim.Optimizer
    ):
        known = [
            n
            for n, c in vars(module).items()
            if isinstance(c, type) and issubclass(c, torch.optim.Optimizer)
        ]
        raise PluginError(
            f"unknown optimizer {use!r}{did_you_mean(name, set(known) - {'Optimizer'})}"
        )
    return cls


# -- scipy -----------------------------------------------------------------------------------------


class _Abandoned(BaseException):
    """Raised inside a minimiser's thread when nobody waits for its iterates any more."""


class _Iterates:
    """`scipy.optimize.minimize` turned inside out.

    A thread whose callback hands over each iterate and waits to go on.
    """

    def __init__(self, minimise: Callable[[Callable[[np.ndarray], None]], None]) -> None:
        self._minimise = minimise
        self._wanted, self._given = threading.Semaphore(0), threading.Semaphore(0)
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
                self._minimise(self._hand_over)
        except _Abandoned:
            pass
        except Exception as error:  # crosses to the thread that asked, which raises it
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
    that stays. It has ended where the method stops by itself.
    """

    def __init__(
        self, problem: Problem, method: str, params: dict[str, Any], starts: Tensor
    ) -> None:
        super().__init__(problem, starts)
        self._oracle = Oracle(problem, eager=True)
        self._iterates = _Iterates(partial(_minimize, self._oracle, method, params, starts[0]))

    def advance(self, oracle: Oracle, theta: Tensor) -> Tensor:
        """One iteration, or the end of them."""
        self._oracle.calls = oracle.calls  # what the method asks from here on is this step's
        iterate = self._iterates.next()
        if iterate is None:
            self.ended = True
            return theta
        return torch.as_tensor(iterate, dtype=theta.dtype, device=theta.device)

    def close(self) -> None:
        """Unwind the minimiser's thread."""
        self._iterates.close()


class _Questions:
    """An oracle's answers as scipy wants them: float64 numpy arrays in and out."""

    def __init__(self, oracle: Oracle, like: Tensor) -> None:
        self._oracle, self._like = oracle, like
        self._linearised: dict[
            bytes, Curvature
        ] = {}  # at the last point only: many products are asked for there

    def loss(self, x: np.ndarray) -> float:
        return float(self._oracle.loss(self._point(x)))

    def loss_and_grad(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        value, grad = self._oracle.loss_and_grad(self._point(x))
        return float(value), _numbers(grad)

    def product(self, x: np.ndarray, v: np.ndarray) -> np.ndarray:
        key = x.tobytes()
        if key not in self._linearised:
            self._linearised = {key: self._oracle.curvature(self._point(x))}
        return _numbers(self._linearised[key].hvp(self._point(v)))

    def hessian(self, x: np.ndarray) -> np.ndarray:
        return _numbers(self._oracle.hessian(self._point(x)))

    def _point(self, x: np.ndarray) -> Tensor:
        return torch.as_tensor(x.copy(), dtype=self._like.dtype, device=self._like.device)


def _numbers(tensor: Tensor) -> np.ndarray:
    return np.asarray(tensor.detach().cpu().numpy(), dtype=np.float64)


def _minimize(
    oracle: Oracle,
    method: str,
    params: dict[str, Any],
    start: Tensor,
    hand_over: Callable[[np.ndarray], None],
) -> None:
    from scipy.optimize import minimize

    call: Any = minimize  # its stubs know no method by a variable
    ask = _Questions(oracle, start)
    arguments: dict[str, Any] = (
        {"fun": ask.loss} if method in GRADIENT_FREE else {"fun": ask.loss_and_grad, "jac": True}
    )
    if method in HESSIAN_PRODUCTS:
        arguments["hessp"] = ask.product
    if method in HESSIANS:
        arguments["hess"] = ask.hessian
    limit = "maxfun" if method == "TNC" else "maxiter"
    options = {limit: 10**9, **params}  # the race's budget ends it, not scipy's
    tol = options.pop("tol", None)
    callback = (
        (lambda x, _: hand_over(x)) if method == "trust-constr" else (lambda xk: hand_over(xk))
    )
    call(
        x0=_numbers(start), method=method, tol=tol, options=options, callback=callback, **arguments
    )


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


def _check_scipy(method: str, params: dict[str, Any]) -> list[tuple[str | None, str]]:
    if method not in METHODS:
        return [(None, f"unknown optimizer '{SCIPY}{method}'{did_you_mean(method, METHODS)}")]
    from scipy.optimize import OptimizeWarning

    # scipy lists its options nowhere but in prose: a trial makes it say which it does not know
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.filterwarnings("error", "Unknown solver options", OptimizeWarning)
        try:
            _minimize(
                Oracle(_Bowl(), eager=True),
                method,
                params,
                torch.ones(2, dtype=torch.float64),
                _give_up,
            )
        except _Abandoned:
            return []
        except OptimizeWarning as error:
            named = [name.strip() for name in str(error).partition(":")[2].split(",")]
            return [(name, f"unknown key {name!r}: no option of {SCIPY}{method}") for name in named]
        except (TypeError, ValueError, KeyError) as error:
            return [
                (
                    next((name for name in params if name in str(error)), None),
                    f"{SCIPY}{method}: {error}",
                )
            ]
    return []
