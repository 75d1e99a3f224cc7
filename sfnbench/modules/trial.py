"""How a module and a criterion behave, found by calling each twice, and on half of the data."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from ..core.derivatives import linearise_eagerly, loss_and_grad
from ..errors import ModelError
from ..words import first_line, listed

N_TRIED = 64  # examples of the trial
# what a module and torch raise where they do not take what they are given
REFUSALS = (
    RuntimeError,
    TypeError,
    ValueError,
    LookupError,
    AttributeError,
    ModelError,
)
HINTS = {
    "device": ": tensors that are no parameters stay where they are made: register_buffer them",
    "sparse": ": make the embedding with sparse=False",
    "does not require grad": ": it is detached from the weights, or made under torch.no_grad",
}
CONVOLUTION = torch.ops.aten.convolution
CLOSE = 1e-3  # of the outputs' size: how far rounding takes an example that is in another batch


def takes_model(criterion: Any) -> bool:
    """Whether it is a loss of module and batch: its first parameter is named `model`."""
    try:
        names = list(inspect.signature(criterion).parameters)
    except (TypeError, ValueError):
        return False
    return names[:1] == ["model"]


class ForwardCost(NamedTuple):
    """The parts of a call of a module."""

    flops: int  # of its matrix products and convolutions
    has_convolutions: bool


def forward_cost(call: Callable[[], Any]) -> ForwardCost:
    """The cost of a call, counted by making it."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        call()
    counted = counter.get_flop_counts()["Global"]
    return ForwardCost(counter.get_total_flops(), CONVOLUTION in counted)


def same_twice(call: Callable[[], Tensor]) -> Tensor:
    """The outputs or the loss that `call` returns; ModelError where two calls differ."""
    with _Watch() as seen:
        first = call()
    second = call()
    if not torch.equal(torch.nan_to_num(first), torch.nan_to_num(second)):
        reason = "it draws random numbers, or changes its own buffers, at each call"
        if seen.random:
            reason = f"{listed(sorted(seen.random))} is on in eval mode too: pass self.training"
        raise ModelError(
            f"the loss is no function of the weights: two calls differ, because {reason}"
        )
    return first


def outputs_of(found: Any, n: int) -> Tensor:
    """The outputs (n, ...), checked; ModelError where they are no tensor with n rows."""
    if not isinstance(found, Tensor):
        raise ModelError(
            f"the model returns {_described(found)}, but one tensor of outputs is needed: return "
            f"that alone, or give a loss of (model, batch) instead of the criterion"
        )
    if not found.dim() or len(found) != n:
        raise ModelError(
            f"the model returns shape {tuple(found.shape)} for {n} examples: the first dimension "
            f"must be the examples"
        )
    return found


def loss_of(found: Any) -> Tensor:
    """A loss, checked; ModelError where it is no tensor of one real number."""
    if not isinstance(found, Tensor):
        got = _described(found)
    elif found.numel() == 1 and found.is_floating_point():
        return found
    else:
        got = f"shape {tuple(found.shape)} of {found.dtype}"
    raise ModelError(
        f"the loss must return one real number, such as a mean, got {got}"
    )


def sums(
    criterion: Callable[[Tensor, Any], Any], z: Tensor, targets: Any, twice: Any
) -> bool:
    """Whether a criterion is a sum over examples; False for a mean, and ModelError for neither.

    `z` (n, ...) are outputs, and `twice` the targets with each of them there a second time.
    """
    once = _scalar(criterion, z, targets)
    double = _scalar(criterion, torch.cat([z, z]), twice)
    found = is_sum(once, double)
    if found is not None:
        return found
    raise ModelError(
        f"the criterion is neither a mean nor a sum over examples: {once:g} for {len(z)}, "
        f"{double:g} for each of them twice"
    )


def is_sum(once: Tensor, twice: Tensor) -> bool | None:
    """Whether a loss () of a batch, and of each example twice, is a sum; None: nor a mean.

    ModelError where it is not finite.
    """
    if not once.isfinite():
        raise ModelError(
            f"the loss of the first examples is {once:g}: look for the example, or the layer, that "
            f"makes it so"
        )
    if torch.isclose(twice, once, rtol=1e-3, atol=1e-6):
        return False
    if torch.isclose(twice, 2 * once, rtol=1e-3, atol=1e-6):
        return True
    return None


def check_derivatives(
    loss: Callable[[Tensor], Tensor], theta: Tensor, *, twice: bool = False
) -> None:
    """ModelError where torch has no gradient (d,) of a loss, or no product with its Hessian."""
    try:
        if twice:
            linearise_eagerly(loss, theta).product(theta)
        else:
            loss_and_grad(loss, theta, eager=True)
    except REFUSALS as error:
        what = "second derivative" if twice else "gradient"
        raise ModelError(f"the loss has no {what}: {reason(error)}") from error


def bends_as_it_says(
    loss: Callable[[Tensor], Tensor], theta: Tensor, v: Tensor, h: float = 1e-5
) -> bool:
    """Whether H v at theta (d,), v (d,) of length 1, agrees with a difference of gradients."""
    known = linearise_eagerly(loss, theta)
    ahead = loss_and_grad(loss, theta + h * v, eager=True)[1]
    behind = loss_and_grad(loss, theta - h * v, eager=True)[1]
    found = (ahead - behind) / (2 * h)
    error = torch.linalg.vector_norm(found - known.product(v))
    scale = torch.linalg.vector_norm(found) + h * torch.linalg.vector_norm(
        known.grad
    )
    return bool(error <= CLOSE * scale)


def reason(error: Exception) -> str:
    """Why a call of a module fails, and a way out where there is a known one."""
    said = first_line(error)
    hint = next((hint for sign, hint in HINTS.items() if sign in said), "")
    return said + hint


def mixes_examples(call: Callable[[slice], Tensor], whole: Tensor) -> bool:
    """Whether an example's outputs depend on those that are with it, as batch statistics do."""
    half = slice(0, (len(whole) + 1) // 2)
    apart = (call(half) - whole[half]).abs().max()
    return bool(apart > CLOSE * whole.abs().max())


def remarks(model: nn.Module) -> Iterator[str]:
    """The consequences of eval mode for this module, a sentence each."""
    modules = list(model.modules())
    norms = [
        each
        for each in modules
        if isinstance(each, nn.modules.batchnorm._BatchNorm)
    ]
    if any(each.running_mean is not None for each in norms):
        yield "batch norm uses its running averages, as in eval mode"
    if any(_drops(each) for each in modules):
        yield "dropout is off"
    small = {each.dtype for each in model.parameters() if each.element_size() < 4}
    if small:
        names = ", ".join(
            sorted(str(each).removeprefix("torch.") for each in small)
        )
        yield f"weights of {names} are taken as they are, and computed with in more digits"


# -- inside ----------------------------------------------------------------------------------------


class _Watch(TorchFunctionMode):
    """Notes functions that draw random numbers while they are called."""

    def __init__(self) -> None:
        super().__init__()
        self.random: set[str] = set()

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        name = getattr(func, "__name__", "")
        if name.startswith(
            ("dropout", "rand", "bernoulli", "multinomial", "normal")
        ):
            self.random.add(name)
        return func(*args, **(kwargs or {}))


def _scalar(
    criterion: Callable[[Tensor, Any], Any], z: Tensor, targets: Any
) -> Tensor:
    try:
        # torch warns of targets that are stretched to the outputs' shape
        with warnings.catch_warnings():
            warnings.filterwarnings("error", "Using a target size", UserWarning)
            found = criterion(z, targets)
    except (RuntimeError, TypeError, ValueError, IndexError, UserWarning) as error:
        message = first_line(error)
        raise ModelError(
            f"the criterion does not fit outputs of shape {tuple(z.shape)} "
            f"and their targets: {message}"
        ) from error
    if not isinstance(found, Tensor) or found.numel() != 1:
        if isinstance(found, Tensor):
            got = f"shape {tuple(found.shape)}"
        else:
            got = _described(found)
        raise ModelError(
            f"the criterion must return one number, the mean over examples, got {got}"
        )
    return found.detach().reshape(())


def _described(found: Any) -> str:
    if isinstance(found, tuple | list):
        return f"a {type(found).__name__} of {len(found)}"
    return f"a {type(found).__name__}"


def _drops(module: nn.Module) -> bool:
    """Whether it is a dropout, or has one inside, as recurrent layers and attention do."""
    is_dropout = isinstance(module, nn.modules.dropout._DropoutNd)
    share = getattr(module, "p" if is_dropout else "dropout", 0.0)
    return isinstance(share, int | float) and share > 0
