"""One step of an optimizer, refused where it is none."""

from __future__ import annotations

from torch import Tensor

from ..core.optimizer import Optimizer, State
from ..core.oracle import Oracle
from ..errors import PluginError


def take(
    optimizer: Optimizer, oracle: Oracle, theta: Tensor, state: State
) -> tuple[Tensor, State]:
    """The point and the state after a step from theta (d,).

    PluginError where the step gives no such pair, or a point of another shape, dtype or device.
    """
    answer = optimizer.step(oracle, theta, state)
    if not isinstance(answer, tuple) or len(answer) != 2:
        raise PluginError(
            f"step of {_name(optimizer)} returned {type(answer).__name__}, not a point and a state"
        )
    after, state = answer
    form = _form(theta)
    if not isinstance(after, Tensor) or _form(after) != form:
        found = _form(after) if isinstance(after, Tensor) else type(after).__name__
        raise PluginError(
            f"step of {_name(optimizer)} returned a point of {found}; theta has {form}"
        )
    return after, state


def refuse_in_place(optimizer: Optimizer, theta: Tensor, version: int) -> None:
    """PluginError where a step has written into its theta, which was at this version before.

    The race keeps the points of a path, and starts again from its first.
    """
    if theta._version != version:
        raise PluginError(
            f"step of {_name(optimizer)} changed theta in place: it has to return a new tensor"
        )


def _name(optimizer: Optimizer) -> str:
    return type(optimizer).__name__


def _form(point: Tensor) -> str:
    return f"shape {tuple(point.shape)}, {point.dtype} on {point.device}"
