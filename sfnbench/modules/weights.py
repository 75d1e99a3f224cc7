"""The trainable weights of a module as one vector, and the module called with any others."""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.overrides import TorchFunctionMode

from ..core.constant import constant
from ..errors import ModelError

# where a module holds a tensor: its tensors, the name, and the place among all values
WeightSlot = tuple[dict[str, Any], str, int]


class Weights:
    """The trainable parameters of a module as theta (d,), in the order of `named_parameters`.

    Tied parameters are one, frozen ones and buffers stay as they are, and all of them come in
    theta's dtype, on its device. The module is taken over: it is in eval mode from now on, so that
    dropout is off and batch norm uses its running averages. Attention runs by its math kernel, the
    one that can be differentiated twice.
    """

    def __init__(
        self, model: nn.Module, called: Callable[..., Any] | None = None
    ) -> None:
        self.model = model.eval()
        self._called = called or model  # what a call with other weights runs
        for each in model.modules():
            if isinstance(each, nn.Embedding | nn.EmbeddingBag):
                each.sparse = False  # sparse gradients have no second derivatives
        parameters = dict(model.named_parameters())
        kept = {
            name: each for name, each in parameters.items() if each.requires_grad
        }
        self.names = list(kept)
        self.shapes = [each.shape for each in kept.values()]
        self.sizes = [math.prod(shape) for shape in self.shapes]
        self.dim = sum(self.sizes)
        trained = {id(each) for each in kept.values()}
        tensors = [*model.parameters(), *model.buffers()]
        self._constants = [each for each in tensors if id(each) not in trained]
        values = [*kept.values(), *self._constants]
        self._slots = list(
            _slots(model, {id(each): i for i, each in enumerate(values)})
        )
        # attention is found by the first call
        self.contexts: list[Callable[[], Any]] = [plain_attention]
        self._is_new = True
        if any(isinstance(each, nn.RNNBase) for each in model.modules()):
            self.contexts.append(_plain_recurrence)

    def theta(self) -> Tensor:
        """The module's own weights (d,), in float64 on the CPU."""
        parameters = dict(self.model.named_parameters())
        flat = [parameters[name].detach().reshape(-1) for name in self.names]
        return torch.cat([each.to("cpu", torch.float64) for each in flat])

    def parts(self, theta: Tensor) -> list[Tensor]:
        """Views of theta (d,) in the parameters' shapes."""
        pieces = theta.split(self.sizes)
        return [
            part.view(shape)
            for part, shape in zip(pieces, self.shapes, strict=True)
        ]

    @constant
    def fixed(self) -> list[Tensor]:
        """Frozen parameters and buffers."""
        return [each.detach() for each in self._constants]

    def call(self, theta: Tensor, *args: Any, **kwargs: Any) -> Any:
        """What the module returns, or `called`, with the weights theta (d,)."""
        with contextlib.ExitStack() as stack:
            for context in self.contexts:
                stack.enter_context(context())
            if self._is_new:
                self._is_new = False
                attention = stack.enter_context(_Attention())
                found = self.plain_call(theta, *args, **kwargs)
                if not attention.is_there:
                    self.contexts.remove(plain_attention)
                return found
            return self.plain_call(theta, *args, **kwargs)

    def plain_call(self, theta: Tensor, *args: Any, **kwargs: Any) -> Any:
        """The same, in whatever mode torch's kernels are."""
        if self.dim:
            values = [*self.parts(theta), *self.fixed(theta)]
        else:
            values = self.fixed(theta)
        kept = [holder[name] for holder, name, _ in self._slots]
        try:
            for holder, name, place in self._slots:
                holder[name] = values[place]
            return self._called(*args, **kwargs)
        finally:
            for (holder, name, _), own in zip(self._slots, kept, strict=True):
                holder[name] = own


def prepared(build: Callable[[], Any], seed: int) -> nn.Module:
    """The module that `build` makes under a seed; torch's own generators stay as they were.

    A compiled module is the one inside it. ModelError where it is no module that can be trained.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build()
    if not isinstance(model, nn.Module):
        raise ModelError(
            f"the model must be a torch.nn.Module, or a function that makes one, got "
            f"{type(model).__name__}"
        )
    model = getattr(model, "_orig_mod", model)
    if isinstance(model, torch.jit.ScriptModule):
        raise ModelError(
            "a scripted module cannot be called with other weights: give its source"
        )
    _check_trainable(model)
    return model


def copied(model: nn.Module) -> nn.Module:
    """A copy of a module on the CPU, so that its owner's stays as it is."""
    try:
        return copy.deepcopy(model).cpu()
    except (RuntimeError, TypeError) as error:
        raise ModelError(
            f"the model cannot be copied ({error}): give the function that makes it"
        ) from error


def check_finite(model: nn.Module) -> None:
    """ModelError that names the first parameter or buffer with a number that is not finite."""
    for name, each in (*model.named_parameters(), *model.named_buffers()):
        n_broken = int((~each.detach().isfinite()).sum())
        if n_broken:
            raise ModelError(
                f"{n_broken} of {each.numel()} numbers of {name!r} are not finite: the model, or "
                f"its checkpoint, has diverged"
            )


# -- inside ----------------------------------------------------------------------------------------


def _check_trainable(model: nn.Module) -> None:
    trainable = {
        name: each for name, each in model.named_parameters() if each.requires_grad
    }
    for name, each in trainable.items():
        if each.is_meta:
            raise ModelError(
                f"{name!r} is on the device meta, without numbers: make the model on a device "
                f"that computes, such as by model.to_empty and a checkpoint"
            )
        if is_lazy(each):
            raise ModelError(
                f"{name!r} has no shape yet: call the lazy module once on its data"
            )
        if not each.is_floating_point():
            raise ModelError(
                f"{name!r} is {each.dtype}: parameters must be real numbers"
            )
    if not trainable:
        raise ModelError(
            "the model has no parameter to train: none is there, or requires_grad is off for all"
        )


def _slots(model: nn.Module, places: Mapping[int, int]) -> Iterator[WeightSlot]:
    """Where a module and those in it hold the tensors; tied ones are held in several places."""
    for module in model.modules():
        for holder in (module._parameters, module._buffers):
            for name, each in holder.items():
                if each is not None:
                    yield holder, name, places[id(each)]


class _Attention(TorchFunctionMode):
    """Notes whether attention is called."""

    is_there = False

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        self.is_there |= "attention" in getattr(func, "__name__", "")
        return func(*args, **(kwargs or {}))


@contextlib.contextmanager
def plain_attention() -> Iterator[None]:
    """Attention by the math kernel, and no layer of a transformer fused in eval mode."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    is_fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(is_fast)


def _plain_recurrence() -> Any:
    """Recurrent layers without cuDNN and mkldnn, which go back neither in eval mode nor twice."""
    stack = contextlib.ExitStack()
    stack.enter_context(torch.backends.cudnn.flags(enabled=False))
    stack.enter_context(torch.backends.mkldnn.flags(enabled=False, allow_tf32=None))
    return stack
