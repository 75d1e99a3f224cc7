"""The clauses of the contract that optimizers keep."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_map

from ...core.optimizer import Optimizer
from ...core.oracle import Oracle
from ...core.problem import Problem
from ...errors import CheckError
from ...trajectories.single import Looped
from ...trajectories.vmapped import Vmapped
from ...words import did_you_mean
from .. import registry
from .shared import (
    DEVICE,
    N_CONTRACT_STARTS,
    Waves,
    point_of,
    require,
    same,
    starts_of,
)


def step_keeps_shape_and_dtype(optimizer: Optimizer) -> None:
    """A step keeps shape and dtype of theta and of its state's tensors, in float32 and float64."""
    for dtype in (torch.float32, torch.float64):
        theta = point_of(Waves(), dtype)
        state = optimizer.init(theta)
        after, new_state = optimizer.step(_oracle(optimizer, theta), theta, state)
        require(
            after.shape == theta.shape,
            f"theta became {tuple(after.shape)}, was {tuple(theta.shape)}",
        )
        require(after.dtype == dtype, f"theta became {after.dtype}, was {dtype}")
        require(
            _form(new_state) == _form(state),
            f"the state became {_form(new_state)}, was {_form(state)}",
        )


def step_is_pure(optimizer: Optimizer) -> None:
    """A step changes nothing in place and draws nothing itself.

    The same questions and noise give the same bits.
    """
    theta = point_of(Waves(), torch.float64)
    state = optimizer.init(theta)
    kept = tree_map(torch.clone, (theta, state))
    torch.manual_seed(1)
    first = optimizer.step(_oracle(optimizer, theta), theta, state)
    require(same(kept, (theta, state)), "theta or the state was changed in place")
    torch.manual_seed(2)
    second = optimizer.step(_oracle(optimizer, theta), theta, state)
    require(
        same(first, second),
        "two equal steps differ: take randomness from oracle.noise, and set n_noise",
    )


def step_asks_the_oracle(optimizer: Optimizer) -> None:
    """A step learns about the problem through the oracle, which counts."""
    theta = point_of(Waves(), torch.float64)
    oracle = _oracle(optimizer, theta)
    optimizer.step(oracle, theta, optimizer.init(theta))
    require(bool(oracle.calls.counts.any()), "nothing was asked of the oracle")


def seeds_run_together(optimizer: Optimizer) -> None:
    """Seeds advanced in one vmapped batch do what each does alone.

    Else the class says ``vmappable = False``.
    """
    if not optimizer.vmappable:
        return
    problem = Waves()
    starts = starts_of(problem)
    noise = _noise(optimizer, N_CONTRACT_STARTS)
    together = Vmapped(problem, optimizer, starts)
    together.step([(None,)] * N_CONTRACT_STARTS, noise)
    for i in range(N_CONTRACT_STARTS):
        alone = Looped(problem, optimizer, starts[i : i + 1])
        alone.step([(None,)], None if noise is None else noise[i : i + 1])
        apart = float((alone.theta[0] - together.theta[i]).abs().max())
        require(
            apart <= 1e-9 * (1 + float(alone.theta.abs().max())),
            f"seed {i} is {apart:g} away from its batch",
        )
        require(
            (alone.calls[0] == together.calls[i]).all(),
            "alone it asks differently often than in a batch",
        )


def stays_at_a_minimum(optimizer: Optimizer) -> None:
    """Without noise, it does not move where the gradient is zero and the Hessian positive."""
    if optimizer.n_noise:
        return
    theta = torch.zeros(2, dtype=torch.float64, device=DEVICE.get())
    after, _ = optimizer.step(
        Oracle(_EllipticBowl(), theta=theta), theta, optimizer.init(theta)
    )
    require(not after.any(), f"it moved from the minimum to {after.tolist()}")


def ranges_are_of_its_parameters(optimizer: Optimizer) -> None:
    """Each range that it wants searched is of one of its parameters.

    Its ends, or its choices, are values that the parameter takes.
    """
    adapter = registry.adapter(type(optimizer))
    known = [each.name for each in fields(optimizer)]
    for name, written in optimizer.tuning_ranges.items():
        require(
            name in known,
            f"tuning_ranges: no parameter is called {name!r}{did_you_mean(name, known)}",
        )
        [(scale, values)] = written.items() if len(written) == 1 else [("", ())]
        is_span = scale in ("uniform", "loguniform") and len(values) == 2
        require(
            is_span or (scale == "choice" and len(values) > 0),
            f"tuning_ranges: {name} must be {{loguniform: [low, high]}}, "
            f"{{uniform: [low, high]}} or {{choice: [...]}}, not {dict(written)}",
        )
        for value in values:
            try:
                adapter.validate_json(json.dumps({name: value}), strict=True)
            except ValueError as error:
                message = f"tuning_ranges: {name} cannot be {value}"
                raise CheckError(message) from error


OPTIMIZER_CHECKS = (
    ranges_are_of_its_parameters,
    step_keeps_shape_and_dtype,
    step_is_pure,
    step_asks_the_oracle,
    seeds_run_together,
    stays_at_a_minimum,
)


class _EllipticBowl(Problem):
    """x^2 + 3 y^2."""

    dim = 2

    def start(self, rng: torch.Generator) -> Tensor:
        return torch.zeros(2, dtype=torch.float64)

    def loss(self, theta: Tensor, batch: Any) -> Tensor:
        return theta[0] ** 2 + 3 * theta[1] ** 2


def _noise(optimizer: Optimizer, n: int) -> Tensor | None:
    if not optimizer.n_noise:
        return None
    rng = torch.Generator().manual_seed(13)
    shape = (n, optimizer.n_noise, Waves.dim)
    return torch.randn(shape, generator=rng, dtype=torch.float64).to(DEVICE.get())


def _oracle(optimizer: Optimizer, theta: Tensor) -> Oracle:
    noise = _noise(optimizer, 1)
    return Oracle(
        Waves(),
        noise=None if noise is None else noise[0].to(theta.dtype),
        theta=theta,
    )


def _form(state: Any) -> list[tuple[torch.Size, torch.dtype]]:
    return [(leaf.shape, leaf.dtype) for leaf in tree_flatten(state)[0]]
