"""The state of torch's optimizers and schedules as plain data, for a race that goes on elsewhere.

`load_state_dict` would cast what an optimizer holds to the type of its parameters (ASGD's rate is
float32 beside float64), and the steps after it would round otherwise. So states are put back as
they were.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.utils._pytree import tree_leaves

# a file holds values of these types without code
PLAIN = (
    Tensor,
    bool,
    int,
    float,
    str,
    Counter,
    type(None),
)


def is_torchs_own(made: Any) -> bool:
    """Whether torch has made its class: a class of others may keep more than it shows."""
    return f"{type(made).__module__}.".startswith("torch.optim.")


def state_of(optimizer: Optimizer) -> dict[str, Any]:
    """What it holds of each parameter, and the settings of its groups."""
    states = [
        dict(optimizer.state.get(leaf, {})) for leaf in _tensors_of(optimizer)
    ]
    groups = []
    for group in optimizer.param_groups:
        groups.append({name: group[name] for name in group if name != "params"})
    return {"states": states, "groups": groups}


def put_state(optimizer: Optimizer, state: dict[str, Any]) -> None:
    """Go on from what `state_of` gave of an optimizer that was made alike."""
    for leaf, held in zip(_tensors_of(optimizer), state["states"], strict=True):
        if held:
            optimizer.state[leaf] = held
    for group, settings in zip(
        optimizer.param_groups, state["groups"], strict=True
    ):
        group.update(settings)


def is_plain_state(state: Any) -> bool:
    """Whether it is a tree of tensors, numbers and texts."""
    return all(isinstance(leaf, PLAIN) for leaf in tree_leaves(state))


def copy_into(tensors: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    """Give tensors these values, in place."""
    with torch.no_grad():
        for tensor, value in zip(tensors, values, strict=True):
            tensor.copy_(value)


def _tensors_of(optimizer: Optimizer) -> list[Tensor]:
    return [leaf for group in optimizer.param_groups for leaf in group["params"]]
