"""The way back: an optimizer of sfnbench as a `torch.optim.Optimizer`, to train anybody's module.

theta (d,) is the concatenation of the module's trainable parameters. They stay the leaf tensors
that the module knows: asking at another theta writes it into them, and they are put back before the
step is made. A step's batch is its closure.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor
from torch.linalg import LinAlgError  # type: ignore[attr-defined]  # there, but not in the stubs
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_structure, tree_unflatten

from ..core.cost import KINDS
from ..core.curvature import CurvatureKind, Linearisation
from ..core.optimizer import Optimizer
from ..core.oracle import Calls, Curvature, Oracle
from ..core.problem import HVP_CHUNK, Problem

Closure = Callable[[], Tensor]  # the loss, of one element, from the parameters as they are
# under which key of a state dict's `state` everything is that a step leaves to the next
MEMORY = "sfnbench"

FREED = "the closure has freed the graph of its loss, as loss.backward() here would not: it need only return the loss"
UNRELATED = "the closure's loss depends on none of the parameters: return it as it was computed, not detached from them"


def as_torch_optimizer(
    optimizer: Optimizer, params: Iterable[Tensor], *, seed: int = 0
) -> ModuleOptimizer:
    """An optimizer of sfnbench whose ``step(closure)`` trains a module of torch.

    Fields: `params` the leaf tensors to train, such as ``model.parameters()``, in one vector: those
    frozen by ``requires_grad=False`` are left out, the others share one floating-point dtype and
    one device; `seed` of the noise, for methods that want some. Every member will do that needs no
    more than a loss: not the curvatures `gauss_newton` and `fisher`, and no `batch_size`, for which
    examples a step sees is for the closure to say.

    Raises TypeError for what is no Optimizer, no parameters or no closure, ValueError for settings
    that do not fit.

    >>> from sfnbench.optimizers.sfn import SaddleFreeNewton
    >>> x = torch.nn.Parameter(torch.tensor([3.0, 0.5]))
    >>> newton = as_torch_optimizer(SaddleFreeNewton(), [x])
    >>> newton.step(lambda: x[0] ** 2 - x[1] ** 2)  # the loss where the step began
    tensor(8.7500)
    >>> x.tolist()  # one coordinate annulled, the other doubled
    [0.0, 1.0]
    """
    chosen = _checked(optimizer)
    problem = ModuleLoss(_trainable(params))
    if sizes := [size for size in chosen.batch_sizes if size is not None]:
        raise ValueError(
            f"a batch size of {sizes[0]} was asked for, but which examples a step sees is for the closure to say"
        )
    if wrong := chosen.misfit(problem):
        raise ValueError(wrong)
    return ModuleOptimizer(chosen, problem, seed)


class ModuleOptimizer(torch.optim.Optimizer):
    """What `as_torch_optimizer` returns.

    A step asks its closure several times, with gradients on, for the loss at different parameters;
    so the closure has to be one function for as long as the step lasts. It draws its minibatch
    outside. Dropout makes the losses of a line search incomparable, and batch normalisation in
    training mode updates its averages at every question.

    The closure returns the loss and need not call ``backward``. One that does, in the habit of
    `torch.optim.LBFGS`, works as well, because a step makes ``loss.backward()`` do nothing:
    gradients are those of the loss that is returned, and ``.grad`` is neither written nor read, so
    that nothing comes of clipping it, or of averaging it over processes. Products with the Hessian
    are passes back through the gradient's graph; where torch has none, as for fused attention,
    sparse gradients or a module compiled by its default backend, torch's own error says so.

    A step whose end is not finite raises FloatingPointError, and whatever a step raises, the
    parameters and the state are then as they were. The one parameter group shows the
    hyperparameters and cannot change them: a learning-rate scheduler of torch finds no 'lr' there
    and raises KeyError. To go on with others, load the state dict into a new wrapper.

    ``calls`` counts the method's questions. Memory: the method's own, one theta, and the graph of a
    loss while its curvature is in use.
    """

    def __init__(self, optimizer: Optimizer, problem: ModuleLoss, seed: int) -> None:
        super().__init__(problem.params, {"optimizer": repr(optimizer)})
        self._optimizer, self._problem = optimizer, problem
        self._own = {
            "method": type(optimizer).__name__,
            "memory": tree_leaves(optimizer.init(problem.theta())),
            "noise": torch.Generator().manual_seed(seed).get_state(),
            "calls": [0] * len(KINDS),
        }

    @property
    def calls(self) -> Calls:
        """What the method has asked so far.

        Each question sees all examples that there are, those of the closure.
        """
        counts = np.array(self._own["calls"])
        return Calls(counts, counts.astype(float))

    def step(self, closure: Closure | None = None) -> Tensor:  # type: ignore[override]  # the loss is a tensor
        """One step, and the loss () where it began.

        One more loss, not counted, where the method did not ask for it.
        """
        if not callable(closure):
            raise TypeError(
                f"step needs a closure that returns the loss, such as lambda: fit(model(x), y), got {closure}"
            )
        own, problem = self._own, self._problem
        start, rng = problem.theta(), torch.Generator().set_state(own["noise"].cpu())
        shape = (self._optimizer.n_noise, len(start))
        noise = (
            torch.randn(shape, generator=rng, dtype=torch.float64).to(start) if shape[0] else None
        )
        closures = (closure,) * len(self._optimizer.batch_sizes)
        oracle = ModuleOracle(problem, closures, noise, theta=start, calls=self.calls)
        try:
            memory = tree_unflatten(own["memory"], tree_structure(self._optimizer.init(start)))
            theta, memory = self._optimizer.step(oracle, start, memory)
            loss = problem.loss(start, closure) if oracle.loss_here is None else oracle.loss_here
        except LinAlgError as error:
            raise self._no_end(oracle) from error
        finally:
            problem.write(start)
        if not theta.isfinite().all():
            raise self._no_end(oracle)
        problem.move_to(theta)
        calls = oracle.calls.counts.tolist()
        self._own = {**own, "memory": tree_leaves(memory), "noise": rng.get_state(), "calls": calls}
        return loss

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """The one group that there is; ValueError for any more."""
        if self.param_groups:
            raise ValueError(
                "all parameters are one vector: give them to as_torch_optimizer together, none can be added"
            )
        super().add_param_group(param_group)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave, with the hyperparameters of this wrapper.

        ValueError for another method's.
        """
        own, saved = self._own, state_dict["state"].get(MEMORY)
        if saved is None or saved["method"] != own["method"]:
            whose = "another class of optimizer" if saved is None else saved["method"]
            raise ValueError(
                f"this is the state of {whose}, which {own['method']} cannot go on from"
            )
        shapes, theirs = ([tuple(leaf.shape) for leaf in state["memory"]] for state in (own, saved))
        if shapes != theirs:
            raise ValueError(
                f"the state's tensors are {theirs}, but {own['method']} has {shapes} for these parameters"
            )
        super().load_state_dict(state_dict)
        self.param_groups[0]["optimizer"] = repr(self._optimizer)
        placed = [
            leaf.to(mine.device) for leaf, mine in zip(saved["memory"], own["memory"], strict=True)
        ]
        self._own = {**saved, "memory": placed}

    def __getstate__(self) -> dict[str, Any]:
        kept = ("_optimizer", "_problem")  # what torch's own would leave out of a copy
        return {**super().__getstate__(), **{name: getattr(self, name) for name in kept}}

    @property
    def _own(self) -> dict[str, Any]:
        # Under a key that is no parameter, torch saves and loads it as it is; replaced and never
        # changed in place, so that a state dict stays what it was.
        return self.state[MEMORY]  # type: ignore[index]

    @_own.setter
    def _own(self, value: dict[str, Any]) -> None:
        self.state[MEMORY] = value  # type: ignore[index]

    def _no_end(self, oracle: Oracle) -> FloatingPointError:
        where = "" if oracle.loss_here is None else f" from a loss of {oracle.loss_here.item():g}"
        return FloatingPointError(
            f"{self._own['method']}: no finite step{where}; the parameters are as they were"
        )


@dataclass(frozen=True, eq=False)
class ModuleLoss(Problem):
    """The loss of a closure, which is the batch, as a function of the parameters that it closes over.

    Unlike other problems it is for plain autograd alone: the parameters are written into.
    """

    params: tuple[Tensor, ...]

    @functools.cached_property
    def dim(self) -> int:
        """Number of parameters d."""
        return sum(self._sizes)

    @functools.cached_property
    def _sizes(self) -> list[int]:
        return [param.numel() for param in self.params]

    def start(self, rng: torch.Generator) -> Tensor:
        """Where the parameters are."""
        return self.theta()

    def theta(self) -> Tensor:
        """The parameters as a vector (d,) of its own."""
        return torch.cat([param.detach().reshape(-1) for param in self.params])

    def write(self, theta: Tensor) -> None:
        """Make theta (d,) the parameters' values, unseen by autograd.

        Seen, it would forbid to go back through a graph made before, even at the values that it was
        made with.
        """
        for param, part in zip(self.params, theta.split(self._sizes), strict=True):
            param.data.copy_(part.view_as(param))

    @torch.no_grad()
    def move_to(self, theta: Tensor) -> None:
        """The same for good, and seen.

        A graph that was made before can no longer be used by mistake.
        """
        for param, part in zip(self.params, theta.split(self._sizes), strict=True):
            param.copy_(part.view_as(param))

    def tensors(self, theta: Tensor) -> dict[str, Tensor]:
        """Views of theta (d,) in the parameters' shapes; their names are their places."""
        parts = zip(self.params, theta.split(self._sizes), strict=True)
        return {str(place): part.view_as(param) for place, (param, part) in enumerate(parts)}

    def loss(self, theta: Tensor, batch: Closure) -> Tensor:
        """The closure's loss () at theta (d,)."""
        return self._ask(theta, batch).detach()

    def gradient(
        self, theta: Tensor, batch: Closure, *, create_graph: bool = False
    ) -> tuple[Tensor, Tensor]:
        """The loss () and its gradient (d,), which is zero for a parameter that the loss does not depend on."""
        loss = self._ask(theta, batch)
        grads: Sequence[Tensor | None] = ()
        if loss.requires_grad:
            try:
                grads = torch.autograd.grad(
                    loss, self.params, create_graph=create_graph, allow_unused=True
                )
            except RuntimeError as error:
                if "a second time" not in str(error):
                    raise
                raise ValueError(FREED) from error
        if all(grad is None for grad in grads):
            raise ValueError(UNRELATED)
        return loss.detach(), self._joined(grads, theta)

    def linearise(self, theta: Tensor, batch: Closure) -> Linearisation:
        """The loss to second order; its product takes vectors (d,) or rows of them (n, d)."""
        loss, grad = self.gradient(theta, batch, create_graph=True)

        def product(v: Tensor) -> Tensor:
            if not grad.requires_grad:  # a loss that is linear has no second derivatives to ask for
                return torch.zeros_like(v)
            self.write(theta)  # the graph refers to the parameters, which may be elsewhere by now
            batched, kept = v.dim() > 1, {"retain_graph": True, "allow_unused": True}
            return self._joined(
                torch.autograd.grad(grad, self.params, v, is_grads_batched=batched, **kept), v
            )

        return Linearisation(loss, grad.detach(), product)

    def hessian(self, theta: Tensor, batch: Closure) -> Tensor:
        """The Hessian (d, d), by batched Hessian-vector products."""
        product = self.linearise(theta, batch).product
        identity = torch.eye(self.dim, dtype=theta.dtype, device=theta.device)
        rows = torch.cat([product(vectors) for vectors in identity.split(HVP_CHUNK)])
        return (rows + rows.mT) / 2

    @torch.enable_grad()
    def _ask(self, theta: Tensor, closure: Closure) -> Tensor:
        self.write(theta)
        with _HarmlessBackward():
            loss = closure()
        if not isinstance(loss, Tensor):
            raise TypeError(
                f"the closure must return the loss as a tensor, got {type(loss).__name__}"
            )
        if loss.numel() != 1:
            raise ValueError(
                f"the closure must return a scalar loss, got a tensor of shape {tuple(loss.shape)}"
            )
        return loss.reshape(())

    @torch.enable_grad()
    def _joined(self, parts: Sequence[Tensor | None], like: Tensor) -> Tensor:
        """Parts (..., *) of the parameters' shapes as one vector (..., d), zero where there is none."""
        shapes = [(*like.shape[:-1], size) for size in self._sizes]
        return torch.cat(
            [
                like.new_zeros(shape) if part is None else part.reshape(shape)
                for part, shape in zip(parts, shapes, strict=True)
            ],
            dim=-1,
        )


@dataclass
class ModuleOracle(Oracle):
    """An oracle by plain autograd in the parameters themselves, instead of in theta."""

    problem: ModuleLoss

    def curvature(self, theta: Tensor, kind: CurvatureKind = "hessian") -> Curvature:
        """Loss, gradient and products with the Hessian.

        ValueError for another matrix, which needs the outputs apart.
        """
        if kind != "hessian":
            raise ValueError(
                f"curvature {kind} needs a network, whose outputs and criterion are known apart"
            )
        self._count("grad", self.batches[-1])
        linear = self.problem.linearise(theta, self.batches[-1])

        def product(v: Tensor) -> Tensor:
            self._count("hvp", self.batches[-1])
            return linear.product(v)

        return Curvature(self._note(theta, linear.loss), linear.grad, product)

    def _loss_and_grad(self, theta: Tensor, batch: Any) -> tuple[Tensor, Tensor]:
        return self.problem.gradient(theta, batch)


class _HarmlessBackward(TorchFunctionMode):
    """Within it ``loss.backward()`` does nothing, and leaves the graph for the one who asks."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return None if func is Tensor.backward else func(*args, **(kwargs or {}))


def _checked(optimizer: Optimizer) -> Optimizer:
    """The optimizer with its fields in the types and ranges that their annotations say."""
    if not isinstance(optimizer, Optimizer):
        raise TypeError(
            f"optimizer must be an sfnbench.Optimizer, such as MomentumSGD(lr=0.1), got {optimizer!r}"
        )
    values = {field.name: getattr(optimizer, field.name) for field in fields(optimizer)}
    try:
        return TypeAdapter(type(optimizer)).validate_python(values)
    except ValidationError as error:
        told = (
            f"{'.'.join(map(str, e['loc']))}: {e['msg'][0].lower()}{e['msg'][1:]}"
            for e in error.errors()
        )
        raise ValueError(f"{type(optimizer).__name__}: {'; '.join(told)}") from error


def _trainable(params: Iterable[Tensor]) -> tuple[Tensor, ...]:
    """The parameters that are not frozen, once they are found to make one vector."""
    expected = "params must be parameters to train, such as model.parameters()"
    if isinstance(params, Tensor) or not isinstance(params, Iterable):
        raise TypeError(f"{expected}, got a {type(params).__name__}")
    given = list(params)
    for place, param in enumerate(given):
        if not isinstance(param, Tensor):
            raise TypeError(
                f"{expected}, all in one vector and without groups, got a {type(param).__name__} at {place}"
            )
    free = {id(param): param for param in given if param.requires_grad}
    if not free:
        raise ValueError(f"{expected}, got {f'{len(given)} frozen ones' if given else 'none'}")
    if len(free) < sum(param.requires_grad for param in given):
        raise ValueError(f"{expected}, got one of them twice")
    kinds = sorted({f"{param.dtype} on {param.device}" for param in free.values()})
    if len(kinds) > 1 or not next(iter(free.values())).is_floating_point():
        raise ValueError(
            f"{expected}, of one floating-point dtype on one device, got {', '.join(kinds)}"
        )
    return tuple(free.values())
