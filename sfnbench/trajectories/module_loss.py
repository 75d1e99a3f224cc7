"""The loss of a module of torch as a problem, and the oracle that asks it.

theta (d,) is the concatenation of the module's trainable parameters. They stay the leaf tensors
that the module knows: a question at another theta writes it into them, and they are put back before
the step is made. A step's batch is its closure.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from ..core.curvature import CurvatureKind, Linearisation
from ..core.derivatives import columns_at_once, pull_back
from ..core.oracle import Oracle
from ..core.problem import Problem
from ..errors import ModelError
from ..modules.weights import plain_attention
from ..words import first_line

# the loss, of one element, from the parameters as they are
Closure = Callable[[], Tensor]

FREED = (
    "the closure has freed the graph of its loss, as loss.backward() here would not: it need only "
    "return the loss"
)
ONCE = (
    "this method needs products with the Hessian, and torch has none of this kernel: take another "
    "one, such as SDPBackend.MATH for attention, or a method of gradients"
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
    names: tuple[str, ...] = ()  # of the parameters; by default their places

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
        """Views of theta (d,) in the parameters' shapes, by their names or places."""
        names = self.names or tuple(map(str, range(len(self.params))))
        parts = zip(names, self.params, theta.split(self._sizes), strict=True)
        return {name: part.view_as(param) for name, param, part in parts}

    def held(self, theta: Tensor, start: Tensor) -> Tensor:
        """Theta (d,), but for parameters that were frozen meanwhile, which stay at the start."""
        pieces = zip(
            self.params,
            theta.split(self._sizes),
            start.split(self._sizes),
            strict=True,
        )
        return torch.cat(
            [part if param.requires_grad else own for param, part, own in pieces]
        )

    def loss(self, theta: Tensor, batch: Closure) -> Tensor:
        """The closure's loss () at theta (d,)."""
        return self._ask(theta, batch).detach()

    def gradient(
        self, theta: Tensor, batch: Closure, *, create_graph: bool = False
    ) -> tuple[Tensor, Tensor]:
        """The loss () and its gradient (d,), zero for parameters that the loss does not contain."""
        loss = self._ask(theta, batch, is_twice=create_graph)
        grads: Sequence[Tensor | None] = ()
        if loss.requires_grad:
            try:
                grads = self._at_all(
                    torch.autograd.grad(
                        loss,
                        self._live,
                        create_graph=create_graph,
                        allow_unused=True,
                    )
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
            # the graph refers to the parameters, which may be elsewhere by now
            self.write(theta)
            try:
                parts = pull_back(grad, self._live, v)
            except RuntimeError as error:
                if "derivative for" not in str(error):
                    raise
                raise ModelError(f"{first_line(error)}: {ONCE}") from error
            return self._joined(self._at_all(parts), v)

        return Linearisation(loss, grad.detach(), product)

    def hessian(self, theta: Tensor, batch: Closure) -> Tensor:
        """The Hessian (d, d), by batched Hessian-vector products."""
        product = self.linearised(theta, batch, "hessian").product
        identity = torch.eye(self.dim, dtype=theta.dtype, device=theta.device)
        rows = torch.cat(
            [
                product(vectors)
                for vectors in identity.split(columns_at_once(identity))
            ]
        )
        return (rows + rows.mT) / 2

    @property
    def _live(self) -> list[Tensor]:
        """The parameters that are not frozen by now."""
        return [param for param in self.params if param.requires_grad]

    def _at_all(self, parts: Sequence[Tensor | None]) -> list[Tensor | None]:
        """What belongs to the live parameters, at the places of all: None for frozen ones."""
        given = iter(parts)
        return [
            next(given) if param.requires_grad else None for param in self.params
        ]

    @torch.enable_grad()
    def _ask(
        self, theta: Tensor, closure: Closure, *, is_twice: bool = False
    ) -> Tensor:
        self.write(theta)
        with _HarmlessBackward(), plain_attention(), _uncompiled(is_twice):
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
            if part is None:
                columns.append(like.new_zeros(shape))
            else:  # that of an embedding may be sparse
                columns.append(part.to_dense().reshape(shape))
        return torch.cat(columns, dim=-1)


@dataclass
class ModuleOracle(Oracle):
    """An oracle by plain autograd in the parameters themselves, instead of in theta."""

    problem: ModuleLoss
    eager: bool = True

    def _loss_and_grad(self, theta: Tensor, batch: Any) -> tuple[Tensor, Tensor]:
        return self.problem.gradient(theta, batch)


def _uncompiled(is_wanted: bool) -> AbstractContextManager[Any]:
    """Within it compiled modules run as they are written: compiled ones go back only once."""
    if is_wanted and "torch._dynamo" in sys.modules:
        return torch.compiler.set_stance("force_eager")
    return nullcontext()


class _HarmlessBackward(TorchFunctionMode):
    """Within it ``loss.backward()`` does nothing, so that the graph is left for the oracle."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if func is Tensor.backward:
            return None
        return func(*args, **(kwargs or {}))
