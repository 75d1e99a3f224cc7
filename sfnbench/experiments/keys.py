"""The keys that the suites of every experiment may have, and the types that keys share."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Gt, Le, MinLen
from pydantic import BaseModel, ConfigDict

from ..members.registry import Kind

Seed = Annotated[int, Ge(0)]
Above0 = Annotated[float, Gt(0)]
NotBelow0 = Annotated[float, Ge(0)]
MOST_STEPS = 10**9


class StrictModel(BaseModel):
    """A mapping of a suite: its keys and no others, each of its own type."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class ExperimentKeys(StrictModel):
    """The keys of every experiment; the entries of problems and of methods are read by `choice`."""

    method: ClassVar[Kind] = "optimizer"

    title: str = ""
    experiment: str = "race"
    timeout: Above0 = 3600.0
    problems: Annotated[tuple[Any, ...], MinLen(1)]

    def settings(self) -> dict[str, Any]:
        """What the experiment wants to know."""
        raise NotImplementedError


class SeededKeys(ExperimentKeys):
    """The keys of experiments that are repeated over seeds."""

    seeds: Annotated[int, Ge(1), Le(100_000)] | Annotated[tuple[Seed, ...], MinLen(1)] = 5
    dtype: Literal["float32", "float64"] = "float64"
