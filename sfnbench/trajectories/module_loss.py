"""The loss of a module of torch as a problem, and the oracle that asks it.

theta (d,) is the concatenation of the module's trainable parameters. They stay the leaf tensors
that the module knows: a question at another theta writes it into them, and they are put back before
the step is made. A step's batch is its closure.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from ..core.curvature import CurvatureKind, Linearisation
from ..core.derivatives import HVP_CHUNK, pull_back
from ..core.oracle import Oracle
from ..core.problem import Problem

Closure = Callable[
    [], Tensor
]  # the loss, of one element, from the parameters as they are

FREED = (
    "the closure has freed the graph of its loss, as loss.backward() here would not: it need only "
    "return the loss"
)
UNRELATED = (
    "the closure's loss depends on none of the parameters: return it as it was computed, not "
    "detached from them"
)


@dataclass(frozen=True, eq=False)
class ModuleLoss(Problem):
    """The loss of a closure, which is the batch, as a function of the parameters in the closure.

    Unlike other problems it works by plain autograd alone, because the parameters are written into.
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

        Autograd refuses to go back through a graph after it has seen a write, even where the values
        are again those that the graph was made with.
        """
        for param, part in zip(self.params, theta.split(self._sizes), strict=True):
            param.data.copy_(part.view_as(param))

    @torch.no_grad()
    def move_to(self, theta: Tensor) -> None:
        """Make theta (d,) the parameters' values for good, seen by autograd.

        A graph that was made before can no longer be used by mistake.
        """
        for param, part in zip(self.params, theta.split(self._sizes), strict=True):
            param.copy_(part.view_as(param))

    def tensors(self, theta: Tensor) -> dict[str, Tensor]:
        """Views of theta (d,) in the parameters' shapes; their names are their places."""
        parts = zip(self.params, theta.split(self._sizes), strict=True)
        return {
            str(place): part.view_as(param) for place, (param, part) in enumerate(parts)
        }

    def loss(self, theta: Tensor, batch: Closure) -> Tensor:
        """The closure's loss () at theta (d,)."""
        return self._ask(theta, batch).detach()

    def gradient(
        self, theta: Tensor, batch: Closure, *, create_graph: bool = False
    ) -> tuple[Tensor, Tensor]:
        """The loss () and its gradient (d,), zero for parameters that the loss does not contain."""
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

    def linearised(
        self, theta: Tensor, batch: Closure, kind: CurvatureKind
    ) -> Linearisation:
        """The loss to second order; its product takes vectors (d,) or rows of them (n, d).

        Raises ValueError for another matrix than the Hessian, because it needs the outputs apart.
        """
        if kind != "hessian":
            raise ValueError(
                f"curvature {kind} needs a network, whose outputs and criterion are known apart"
            )
        loss, grad = self.gradient(theta, batch, create_graph=True)

        def product(v: Tensor) -> Tensor:
            self.write(
                theta
            )  # the graph refers to the parameters, which may be elsewhere by now
            return self._joined(pull_back(grad, self.params, v), v)

        return Linearisation(loss, grad.detach(), product)

    def hessian(self, theta: Tensor, batch: Closure) -> Tensor:
        """The Hessian (d, d), by batched Hessian-vector products."""
        product = self.linearised(theta, batch, "hessian").product
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
        """Parts (..., *) of the parameters' shapes as one vector (..., d); None is zero."""
        columns = []
        for part, size in zip(parts, self._sizes, strict=True):
            shape = (*like.shape[:-1], size)
            columns.append(
                like.new_zeros(shape) if part is None else part.reshape(shape)
            )
        return torch.cat(columns, dim=-1)


@dataclass
class ModuleOracle(Oracle):
    """An oracle by plain autograd in the parameters themselves, instead of in theta."""

    problem: ModuleLoss
    eager: bool = True

    def _loss_and_grad(self, theta: Tensor, batch: Any) -> tuple[Tensor, Tensor]:
        return self.problem.gradient(theta, batch)


class _HarmlessBackward(TorchFunctionMode):
    """Within it ``loss.backward()`` does nothing, so that the graph is left for the oracle."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if func is Tensor.backward:
            return None
        return func(*args, **(kwargs or {}))
