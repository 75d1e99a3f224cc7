"""The keys of a throughput suite: dtypes and blocks."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Gt, Le, MinLen

from ..keys import ExperimentKeys


class Keys(ExperimentKeys):
    """The keys of a throughput suite.

    One seed, and no budget but so many blocks of so many seconds.
    """

    seeds: ClassVar[int] = 1
    dtype: ClassVar[str] = "float64"  # of no say: each run measures all of `dtypes`

    dtypes: Annotated[tuple[Literal["float32", "float64"], ...], MinLen(1)] = ("float64",)
    blocks: Annotated[int, Ge(3), Le(1000)] = 20  # quartiles need a few
    block_seconds: Annotated[float, Gt(0), Le(60)] = 0.2
    optimizers: Annotated[tuple[Any, ...], MinLen(1)]

    def settings(self) -> dict[str, Any]:
        """Dtypes and blocks."""
        return {
            "dtypes": list(dict.fromkeys(self.dtypes)),
            "blocks": self.blocks,
            "block_seconds": self.block_seconds,
        }
