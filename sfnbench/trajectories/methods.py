"""Optimizers of torch, made for the tensors of one seed as an entry says."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from ..words import counted
from .torch_entry import Entry
from .torch_states import (
    copy_into,
    is_plain_state,
    is_torchs_own,
    put_state,
    state_of,
)

Params = list[Any]  # parameters, or groups of them as dicts


class Method:
    """The optimizers that an entry makes of the tensors of one seed.

    One optimizer, or one for each set of its groups; their schedulers; and the point that it
    reports, which for a method with ``train`` and ``eval`` is not the point of its gradients.
    """

    def __init__(
        self, entry: Entry, tensors: Mapping[str, Tensor], n_lead: int = 0
    ) -> None:
        """Tensors by name, each with `n_lead` dimensions of seeds before its own."""
        self.leaves = {
            name: nn.Parameter(tensor) for name, tensor in tensors.items()
        }
        n_dims = {name: leaf.dim() - n_lead for name, leaf in self.leaves.items()}
        self.optimizers, scheduled = _optimizers(entry, self.leaves, n_dims)
        self._schedulers: list[LRScheduler] = [
            schedule.made(optimizer)
            for schedule, optimizer in scheduled
            if schedule
        ]
        self._moded = [moded for each in self.optimizers if (moded := _moded(each))]
        self._set_mode("train")

    @property
    def reports_elsewhere(self) -> bool:
        """Whether the point that it reports is another than that of its gradients."""
        return bool(self._moded)

    def give(self, grads: Sequence[Tensor]) -> None:
        """Make these the gradients of its tensors, in their order."""
        for leaf, grad in zip(self.leaves.values(), grads, strict=True):
            leaf.grad = grad

    def forget(self) -> None:
        """Let go of the gradients, and of graphs that they hold."""
        for leaf in self.leaves.values():
            leaf.grad = None

    def step(self, closure: Callable[..., Tensor] | None = None) -> None:
        """One step of each of its optimizers."""
        for optimizer in self.optimizers:
            if closure is None:
                optimizer.step()
            else:
                optimizer.step(closure)  # type: ignore[arg-type]  # its loss is a tensor

    def go_on(self, loss: Tensor) -> None:
        """After a step: learning rates for the next one; some schedules ask for the loss ()."""
        for scheduler in self._schedulers:
            if isinstance(scheduler, ReduceLROnPlateau):
                scheduler.step(float(loss))
            else:
                scheduler.step()

    def points(self) -> list[Tensor]:
        """Where its tensors are, in their order: the point of its next gradients."""
        return [leaf.detach() for leaf in self.leaves.values()]

    def result(self) -> list[Tensor]:
        """The tensors that it reports, in their order."""
        if not self._moded:
            return self.points()
        kept = [point.clone() for point in self.points()]
        self._set_mode("eval")
        found = [point.clone() for point in self.points()]
        self._set_mode("train")
        for leaf, point in zip(self.leaves.values(), kept, strict=True):
            leaf.data.copy_(point)  # there and back rounds
        return found

    def memory(self) -> dict[str, Any] | None:
        """Its tensors and all that its next step depends on; None: it is out of sight."""
        if not all(map(is_torchs_own, [*self.optimizers, *self._schedulers])):
            return None
        memory = {
            "points": self.points(),
            "optimizers": [state_of(each) for each in self.optimizers],
            "schedules": [each.state_dict() for each in self._schedulers],
        }
        return memory if is_plain_state(memory) else None

    def recall(self, memory: dict[str, Any]) -> None:
        """Go on from what `memory` gave of a method that was made alike."""
        copy_into([*self.leaves.values()], memory["points"])
        for optimizer, state in zip(
            self.optimizers, memory["optimizers"], strict=True
        ):
            put_state(optimizer, state)
        for schedule, state in zip(
            self._schedulers, memory["schedules"], strict=True
        ):
            schedule.load_state_dict(state)

    def _set_mode(self, mode: str) -> None:
        for each in self._moded:
            getattr(each, mode)()


def _moded(optimizer: Any) -> Any | None:
    """The optimizer, or the one inside it, that has ``train`` and ``eval``."""
    while isinstance(optimizer, Optimizer):
        if callable(getattr(optimizer, "train", None)) and callable(
            getattr(optimizer, "eval", None)
        ):
            return optimizer
        optimizer = getattr(
            optimizer, "optimizer", getattr(optimizer, "base_optimizer", None)
        )
    return None


def _optimizers(
    entry: Entry, leaves: Mapping[str, nn.Parameter], n_dims: Mapping[str, int]
) -> tuple[list[Optimizer], list[tuple[Any, Optimizer]]]:
    """The entry's optimizer and those of its groups, and each with its schedule.

    ValueError where a group has no tensors, or the entry itself has none left.
    """
    shares, rest = _shares(entry, n_dims)
    groups: Params = [leaves[name] for name in rest]
    if entry.groups and rest:
        groups = [{"params": groups}]
    made: list[tuple[Any, Optimizer]] = []
    for group, share in zip(entry.groups, shares, strict=True):
        if not share:
            if group.is_implied and group.selector == "vectors":
                continue
            if group.is_implied:
                raise ValueError(_without_matrices(n_dims))
            raise ValueError(
                f"the group {group.selector!r} matches no tensor: there is {_dimensions(n_dims)}"
            )
        own = {name: leaves[name] for name in share}
        if group.other is None:
            groups.append({"params": list(own.values()), **group.settings})
        else:
            optimizer = _made(group.other, list(own.values()), own)
            made.append((group.other.schedule or entry.schedule, optimizer))
    if not groups:
        is_told = not any(group.is_implied for group in entry.groups)
        why = f"its groups leave no tensor for {entry.use}"
        raise ValueError(why if is_told else _without_matrices(n_dims))
    mine = {
        name: leaf
        for name, leaf in leaves.items()
        if name in rest or _has(groups, leaf)
    }
    first = (entry.schedule, _made(entry, groups, mine))
    everyone = [first, *made]
    return [optimizer for _, optimizer in everyone], everyone


def _without_matrices(n_dims: Mapping[str, int]) -> str:
    return f"it is for matrices, and there are none: there is {_dimensions(n_dims)}"


def _dimensions(n_dims: Mapping[str, int]) -> str:
    return ", ".join(
        f"{name} ({counted(n, 'dimension')})" for name, n in n_dims.items()
    )


def _shares(
    entry: Entry, n_dims: Mapping[str, int]
) -> tuple[list[list[str]], list[str]]:
    """The names that each group takes, a name's first taker alone, and those that none takes."""
    shares: list[list[str]] = [[] for _ in entry.groups]
    rest: list[str] = []
    for name, n in n_dims.items():
        takers = (
            share
            for group, share in zip(entry.groups, shares, strict=True)
            if group.takes(name, n)
        )
        next(takers, rest).append(name)
    return shares, rest


def _has(groups: Params, leaf: nn.Parameter) -> bool:
    held = (
        each
        for group in groups
        if isinstance(group, dict)
        for each in group["params"]
    )
    return any(each is leaf for each in held)


def _made(
    entry: Entry,
    params: Params,
    leaves: Mapping[str, nn.Parameter],
    settings: Mapping[str, Any] | None = None,
) -> Optimizer:
    """The optimizer of an entry, on these parameters or groups of them."""
    roles = entry.roles
    arguments = {**entry.own, **(settings or {})}
    first: list[Any] = []
    if roles.model is not None:
        arguments[roles.model] = _as_module(leaves)
    if entry.base is not None and roles.base is not None:
        if roles.wants_class:
            arguments[roles.base] = functools.partial(_inner, entry.base, leaves)
        else:
            arguments[roles.base] = _made(entry.base, params, leaves)
        if roles.tensors is not None:
            arguments[roles.tensors] = params
    elif roles.tensors is not None:
        arguments[roles.tensors] = params
    elif roles.model is None:
        # a wrapper without what it wraps says itself whether it can do without
        first = [params]
    return entry.cls(*first, **arguments)


def _inner(
    entry: Entry,
    leaves: Mapping[str, nn.Parameter],
    params: Params,
    **settings: Any,
) -> Optimizer:
    """The class that a wrapper calls to make its own inner optimizer."""
    return _made(entry, params, leaves, settings)


def _as_module(leaves: Mapping[str, nn.Parameter]) -> nn.Module:
    """A module whose parameters have these names and are these, for who asks for a model."""
    root = nn.Module()
    for name, leaf in leaves.items():
        at = root
        *folders, own = name.split(".")
        for folder in folders:
            if folder not in dict(at.named_children()):
                at.add_module(folder, nn.Module())
            at = at.get_submodule(folder)
        at.register_parameter(own, leaf)
    return root


def clipped(grads: Tensor, clip: tuple[str, float] | None) -> Tensor:
    """Gradients (..., d), each no longer than its bound, as torch's own functions clip them."""
    if clip is None:
        return grads
    how, bound = clip
    if how == "value":
        return grads.clamp(-bound, bound)
    length = torch.linalg.vector_norm(grads, dim=-1, keepdim=True)
    return grads * (bound / (length + 1e-6)).clamp_max(1.0)
