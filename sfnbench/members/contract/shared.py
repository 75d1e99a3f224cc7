"""The clauses of the contract that every member keeps, and what all clauses share."""

from __future__ import annotations

import json
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten

from ...core.finder import Finder
from ...core.metric import Metric
from ...core.optimizer import Optimizer
from ...core.problem import Problem
from ...errors import CheckError
from .. import registry

AnyMember = Problem | Optimizer | Finder | Metric

N_CONTRACT_STARTS = 3
# where clauses make their points
DEVICE = ContextVar("DEVICE", default="cpu")


@dataclass(frozen=True)
class Waves(Problem):
    """A smooth function with a curvature of every sign, to try optimizers on."""

    dim = 4

    def start(self, rng: torch.Generator) -> Tensor:
        """A normal point."""
        return torch.randn(self.dim, generator=rng, dtype=torch.float64)

    def loss(self, theta: Tensor, batch: Any) -> Tensor:
        """A quadratic saddle in a quartic bowl, with a wave across."""
        curvature = torch.linspace(
            -1, 2, self.dim, dtype=theta.dtype, device=theta.device
        )
        return (
            (curvature * theta**2).sum() / 2
            + (theta**4).sum() / 10
            + torch.sin(theta.sum()) / 3
        )


def is_frozen_dataclass(member: AnyMember) -> None:
    """It is a frozen dataclass, so that nothing it learns in one run reaches the next."""
    # the parameters of a base class do not count
    parameters = vars(type(member)).get("__dataclass_params__")
    frozen = parameters is not None and parameters.frozen
    require(
        bool(frozen),
        "put @dataclass(frozen=True, kw_only=True) between @register and the class",
    )


def is_documented(member: AnyMember) -> None:
    """Its docstring says what it is."""
    # A dataclass without a docstring gets its signature as one.
    generated = f"{type(member).__name__}("
    require(
        not (member.__doc__ or generated).startswith(generated),
        "give the class a docstring",
    )


def fields_are_plain_values(member: AnyMember) -> None:
    """Its fields can be said in YAML.

    Default values survive the way through JSON and the check of their types.
    """
    from pydantic import ValidationError

    adapter = registry.adapter(type(member))
    try:
        again = adapter.validate_json(
            json.dumps(adapter.dump_python(member, mode="json")), strict=True
        )
    except ValidationError as error:
        raise CheckError(
            "; ".join(
                f"{'.'.join(map(str, e['loc']))}: {e['msg']}"
                for e in error.errors()
            )
        ) from error
    require(again == member, f"the defaults came back as {again}")


SHARED = (is_frozen_dataclass, is_documented, fields_are_plain_values)


def require(kept: bool, message: str) -> None:
    """CheckError unless the clause is kept."""
    if not kept:
        raise CheckError(message)


def same(a: Any, b: Any) -> bool:
    """Whether two trees of tensors hold the same bits."""
    pairs = zip(tree_flatten(a)[0], tree_flatten(b)[0], strict=True)
    return all(_equal(x, y) if isinstance(x, Tensor) else x == y for x, y in pairs)


def _equal(x: Tensor, y: Tensor) -> bool:
    return x.shape == y.shape and torch.allclose(
        x, y, rtol=0, atol=0, equal_nan=True
    )


def point_of(problem: Problem, dtype: torch.dtype) -> Tensor:
    """A start (d,) of the problem, the same each time."""
    return problem.start(torch.Generator().manual_seed(11)).to(DEVICE.get(), dtype)


def starts_of(problem: Problem) -> Tensor:
    """Starts (N_STARTS, d) of the problem, float64, the same each time."""
    points = [
        problem.start(torch.Generator().manual_seed(seed))
        for seed in range(N_CONTRACT_STARTS)
    ]
    return torch.stack(points).to(DEVICE.get())
