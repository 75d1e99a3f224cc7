"""The keys of a throughput suite: dtypes and blocks."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Gt, Le, MinLen

from ..keys import ExperimentKeys


class Keys(ExperimentKeys):
    """The keys of a throughput suite: one seed, and some seconds of timing instead of a budget."""

    seeds: ClassVar[int] = 1
    # `dtype` has no effect: each run measures all of `dtypes`
    dtype: ClassVar[str] = "float64"

    dtypes: Annotated[tuple[Literal["float32", "float64"], ...], MinLen(1)] = (
        "float64",
    )
    blocks: Annotated[int, Ge(3), Le(1000)] = 20  # quartiles need a few
    block_seconds: Annotated[float, Gt(0), Le(60)] = 0.2
    optimizers: Annotated[tuple[Any, ...], MinLen(1)]

    def settings(self) -> dict[str, Any]:
        """Dtypes, each once, and blocks."""
        return {**super().settings(), "dtypes": list(dict.fromkeys(self.dtypes))}
