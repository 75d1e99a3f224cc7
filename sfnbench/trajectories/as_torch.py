"""The way back: an optimizer of sfnbench as a `torch.optim.Optimizer`, to train any module."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from typing import Any, NoReturn

import numpy as np
import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor
from torch.linalg import LinAlgError  # type: ignore[attr-defined]  # there, but not in the stubs
from torch.utils._pytree import tree_leaves, tree_structure, tree_unflatten

from ..core.cost import QUESTIONS, Calls
from ..core.optimizer import Optimizer
from ..core.oracle import Oracle
from ..words import explain
from .module_loss import Closure, ModuleLoss, ModuleOracle
from .taking import take

NO_CLOSURE = (
    "step needs a closure that returns the loss, such as lambda: fit(model(x), y)"
)
# The key of a state dict's `state` that holds everything that a step leaves to the next.
MEMORY = "sfnbench"


def as_torch_optimizer(
    optimizer: Optimizer, params: Iterable[Any], *, seed: int = 0
) -> ModuleOptimizer:
    """An optimizer of sfnbench whose ``step(closure)`` trains a module of torch.

    `params` are the leaf tensors to train, such as ``model.parameters()`` or
    ``model.named_parameters()``, in groups or not. They make one vector, so that groups have no
    settings of their own:
    those frozen by ``requires_grad=False`` are left out, and the others share one floating-point
    dtype and one device. `seed` is that of the noise, for methods that want some. Any optimizer
    works that needs a loss alone, so not the curvatures `gauss_newton` and `fisher`, and no
    `batch_size`: the closure decides which examples a step sees.

    Raises TypeError where `optimizer` is no Optimizer or `params` are no parameters, and ValueError
    for settings that do not fit.

    >>> from sfnbench.optimizers.sfn import SaddleFreeNewton
    >>> x = torch.nn.Parameter(torch.tensor([3.0, 0.5]))
    >>> newton = as_torch_optimizer(SaddleFreeNewton(damping=0.0), [x])
    >>> newton.step(lambda: x[0] ** 2 - x[1] ** 2)  # the loss where the step began
    tensor(8.7500)
    >>> x.tolist()  # one coordinate annulled, the other doubled
    [0.0, 1.0]
    """
    chosen = _checked(optimizer)
    problem = _loss_of(params)
    sizes = [size for size in chosen.batch_sizes if size is not None]
    if sizes:
        raise ValueError(
            f"a batch size of {sizes[0]} was asked for, but the closure decides which examples a "
            f"step sees: leave the size out"
        )
    misfit = chosen.misfit(problem)
    if misfit:
        raise ValueError(misfit)
    return ModuleOptimizer(chosen, problem, seed)


class SettingError(KeyError):
    """A setting of a parameter group that the method does not have."""

    def __str__(self) -> str:  # KeyError's own puts it in quotes
        return str(self.args[0])


class Group(dict[str, Any]):
    """A parameter group, which says why a scheduler finds no learning rate in it."""

    def __init__(self, values: Mapping[str, Any], method: str) -> None:
        super().__init__(values)
        self.method = method

    def __missing__(self, name: str) -> NoReturn:
        raise SettingError(
            f"{self.method} has no {name!r} that could be changed between steps: leave the "
            f"scheduler out, or take a method that has one, such as MomentumSGD"
        )


class ModuleOptimizer(torch.optim.Optimizer):
    """An optimizer of sfnbench that trains the parameters of a module; see `as_torch_optimizer`.

    A step calls its closure several times, with gradients on, for the loss at different parameters.
    So the closure has to be one function for as long as the step lasts, with its minibatch drawn
    outside. Each call of a step draws the same random numbers, so that dropout has one mask a step.
    Batch normalisation in training mode updates its averages at every call.

    The closure returns the loss and need not call ``backward``. One that does, as is the habit with
    `torch.optim.LBFGS`, works as well, because a step makes ``loss.backward()`` do nothing:
    gradients are those of the loss that is returned. ``.grad`` is neither written nor read, so
    clipping it, or averaging it over processes, has no effect. Products with the Hessian are passes
    back through the gradient's graph: attention takes its math kernel, and a compiled module runs
    as it is written. Where torch has no such graph, a ModelError says so. A parameter that is
    frozen between two steps stays.

    A step whose end, or loss, is not finite raises FloatingPointError. Whatever a step raises, the
    parameters and the state are then as they were before. The one parameter group shows the
    hyperparameters. Its 'lr', where the method has one, is that of the next step, so that torch's
    schedulers work; the others cannot be changed. To go on with other hyperparameters, load the
    state dict into a new wrapper.

    ``calls`` counts the method's questions. Memory: the method's own, one theta, and the graph of a
    loss while its curvature is in use.
    """

    def __init__(
        self, optimizer: Optimizer, problem: ModuleLoss, seed: int
    ) -> None:
        shown: dict[str, Any] = {"optimizer": repr(optimizer)}
        if isinstance(getattr(optimizer, "lr", None), float):
            shown["lr"] = optimizer.lr  # type: ignore[attr-defined]  # just seen
        self._optimizer = optimizer
        self._problem = problem
        super().__init__(problem.params, shown)
        self._own = {
            "method": type(optimizer).__name__,
            "memory": tree_leaves(optimizer.init(problem.theta())),
            "noise": torch.Generator().manual_seed(seed).get_state(),
            "calls": [0] * len(QUESTIONS),
        }

    @property
    def calls(self) -> Calls:
        """The questions that the method has asked so far.

        Each is asked on all examples that there are, those of the closure.
        """
        counts = np.array(self._own["calls"])
        return Calls(counts, counts.astype(float))

    # torch's own returns a number
    def step(self, closure: Closure | None = None) -> Tensor:  # type: ignore[override]
        """One step; returns the loss () at the point where it began.

        Where the method did not ask for that loss, it is one more question, which is not counted.
        """
        if not callable(closure):
            raise TypeError(f"{NO_CLOSURE}, got {closure}")
        own = self._own
        problem = self._problem
        start = problem.theta()
        rng = torch.Generator().set_state(own["noise"].cpu())
        optimizer = self._scheduled
        closures = (_repeated(closure, start),) * len(optimizer.batch_sizes)
        noise = self._noise(rng, start)
        oracle = ModuleOracle(
            problem, closures, noise, theta=start, calls=self.calls
        )
        try:
            structure = tree_structure(optimizer.init(start))
            memory = tree_unflatten(own["memory"], structure)
            theta, memory = take(optimizer, oracle, start, memory)
            loss = oracle.loss_here
            if loss is None:
                loss = problem.loss(start, closures[0])
        except LinAlgError as error:
            raise self._no_end(oracle) from error
        finally:
            problem.write(start)
        if not (theta.isfinite().all() and loss.isfinite()):
            raise self._no_end(oracle)
        problem.move_to(problem.held(theta, start))
        self._own = {
            **own,
            "memory": tree_leaves(memory),
            "noise": rng.get_state(),
            "calls": oracle.calls.counts.tolist(),
        }
        return loss

    @property
    def _scheduled(self) -> Optimizer:
        """The optimizer with the learning rate that its group has by now."""
        lr = self.param_groups[0].get("lr")
        if lr is None or lr == getattr(self._optimizer, "lr", None):
            return self._optimizer
        return replace(self._optimizer, lr=float(lr))  # type: ignore[call-arg]  # it has one

    def _noise(self, rng: torch.Generator, like: Tensor) -> Tensor | None:
        """Standard normal vectors (n_noise, d), drawn in float64; None where none are wanted."""
        n_noise = self._optimizer.n_noise
        if not n_noise:
            return None
        drawn = torch.randn(
            (n_noise, len(like)), generator=rng, dtype=torch.float64
        )
        return drawn.to(like)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """The one group that there is; ValueError for any more."""
        if self.param_groups:
            raise ValueError(
                "all parameters are one vector, and none can be added: give them to "
                "as_torch_optimizer together"
            )
        super().add_param_group(param_group)
        self._name_groups()

    def _name_groups(self) -> None:
        method = type(self._optimizer).__name__
        self.param_groups[:] = [Group(each, method) for each in self.param_groups]

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a saved `state_dict`, with the hyperparameters of this wrapper.

        Raises ValueError for the state of another method.
        """
        own = self._own
        saved = state_dict["state"].get(MEMORY)
        if saved is None or saved["method"] != own["method"]:
            if saved is None:
                whose = "another class of optimizer"
            else:
                whose = saved["method"]
            raise ValueError(
                f"this is the state of {whose}, which {own['method']} cannot go on from"
            )
        shapes = _shapes(own)
        theirs = _shapes(saved)
        if shapes != theirs:
            raise ValueError(
                f"the state's tensors are {theirs}, but {own['method']} has {shapes} for these "
                f"parameters"
            )
        super().load_state_dict(state_dict)
        self._name_groups()
        group = self.param_groups[0]
        if "lr" in group and group["optimizer"] != repr(self._optimizer):
            group["lr"] = self._optimizer.lr  # type: ignore[attr-defined]  # it has one
        group["optimizer"] = repr(self._optimizer)
        placed = [
            leaf.to(mine.device)
            for leaf, mine in zip(saved["memory"], own["memory"], strict=True)
        ]
        self._own = {**saved, "memory": placed}

    def __getstate__(self) -> dict[str, Any]:
        kept = ("_optimizer", "_problem")  # torch's own leaves them out of a copy
        return {
            **super().__getstate__(),
            **{name: getattr(self, name) for name in kept},
        }

    @property
    def _own(self) -> dict[str, Any]:
        # The key is no parameter, so torch saves and loads the entry as it is. It is replaced, and
        # never changed in place, so that a state dict that was given out does not change.
        return self.state[MEMORY]  # type: ignore[index]

    @_own.setter
    def _own(self, value: dict[str, Any]) -> None:
        self.state[MEMORY] = value  # type: ignore[index]

    def _no_end(self, oracle: Oracle) -> FloatingPointError:
        if oracle.loss_here is None:
            where = ""
        else:
            where = f" from a loss of {oracle.loss_here.item():g}"
        return FloatingPointError(
            f"{self._own['method']}: no finite step{where}; the parameters are as they were"
        )


def _shapes(state: dict[str, Any]) -> list[tuple[int, ...]]:
    return [tuple(leaf.shape) for leaf in state["memory"]]


def _checked(optimizer: Optimizer) -> Optimizer:
    """The optimizer, its fields converted to the types and ranges of their annotations."""
    if not isinstance(optimizer, Optimizer):
        raise TypeError(
            f"optimizer must be an sfnbench.Optimizer, such as MomentumSGD(lr=0.1), got "
            f"{optimizer!r}"
        )
    values = {
        field.name: getattr(optimizer, field.name) for field in fields(optimizer)
    }
    try:
        return TypeAdapter(type(optimizer)).validate_python(values)
    except ValidationError as error:
        raise ValueError(
            f"{type(optimizer).__name__}: {explain(error, values)}"
        ) from error


def _repeated(closure: Closure, like: Tensor) -> Closure:
    """The closure, which draws the same random numbers at each call."""
    state = torch.get_rng_state()
    on_device = None
    if like.is_cuda:
        on_device = torch.cuda.get_rng_state(like.device)

    def again() -> Tensor:
        torch.set_rng_state(state)
        if on_device is not None:
            torch.cuda.set_rng_state(on_device, like.device)
        return closure()

    return again


def _loss_of(params: Any) -> ModuleLoss:
    """The loss of the parameters that are given: alone, with their names, or in groups."""
    if isinstance(params, Tensor) or not isinstance(params, Iterable):
        return ModuleLoss(_trainable(params))  # which says what is wrong
    given: list[Any] = []
    for each in params:
        if isinstance(each, dict):
            own = sorted(set(each) - {"params"})
            if own or "params" not in each:
                raise ValueError(
                    "all parameters are one vector: a group has no settings of its own, got "
                    f"{own or 'none'}: give them to the optimizer"
                )
            inner = each["params"]
            given += [inner] if isinstance(inner, Tensor) else list(inner)
        else:
            given.append(each)
    pairs = [each for each in given if isinstance(each, tuple) and len(each) == 2]
    if not pairs or len(pairs) < len(given):
        return ModuleLoss(_trainable(given))
    tensors = _trainable([tensor for _, tensor in pairs])
    names = {id(tensor): str(name) for name, tensor in pairs}
    return ModuleLoss(tensors, tuple(names[id(each)] for each in tensors))


def _trainable(params: Iterable[Tensor]) -> tuple[Tensor, ...]:
    """The parameters that are not frozen, checked to make one vector."""
    expected = "params must be parameters to train, such as model.parameters()"
    if isinstance(params, Tensor) or not isinstance(params, Iterable):
        raise TypeError(f"{expected}, got a {type(params).__name__}")
    given = list(params)
    for place, param in enumerate(given):
        if not isinstance(param, Tensor):
            raise TypeError(
                f"{expected}, all in one vector, got a {type(param).__name__} "
                f"at {place}"
            )
    trainable = [param for param in given if param.requires_grad]
    if not trainable:
        raise ValueError(
            f"{expected}, got {f'{len(given)} frozen ones' if given else 'none'}"
        )
    if len({id(param) for param in trainable}) < len(trainable):
        raise ValueError(f"{expected}, got one of them twice")
    kinds = sorted({f"{param.dtype} on {param.device}" for param in trainable})
    if len(kinds) > 1 or not trainable[0].is_floating_point():
        raise ValueError(
            f"{expected}, of one floating-point dtype on one device, got {', '.join(kinds)}"
        )
    return tuple(trainable)
