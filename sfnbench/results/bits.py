"""Whether two results of one run are the same to the bit, as they are on one CPU.

And what differs where they are not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..records import Result
from .store import Store

TIMED = ("seconds", "escape_seconds", "warmup_s", "load")  # differ always, and decide nothing


def differences(a: Store, b: Store) -> list[str]:
    """A line for each run that both folders hold and that differs.

    What, from where on, and how their environments differ.

    Empty where every number is the same. Runs that only one of them holds are none of it.
    """
    lines = []
    for run_id in sorted(a.ids() & b.ids()):
        first, second = a.get(run_id), b.get(run_id)
        apart = deviations(first, second)
        if apart:
            around = changes(first.environment, second.environment)
            told = (
                ", ".join(f"{key} {old} -> {new}" for key, (old, new) in around.items())
                or "in equal environments"
            )
            lines.append(f"{first.run.title} ({run_id}): {'; '.join(apart)}; {told}")
    return lines


def deviations(a: Result, b: Result) -> list[str]:
    """What of two results differs in any bit, timings aside.

    Statuses, columns of their rows, series and since when.
    """
    if len(a.rows) != len(b.rows) or a.status != b.status:
        return [f"{a.status} against {b.status}, and of rows {len(a.rows)} against {len(b.rows)}"]
    columns: dict[str, None] = {
        name: None for row in (*a.rows, *b.rows) for name in row if name not in TIMED
    }
    pairs = list(zip(a.rows, b.rows, strict=True))
    apart = [name for name in columns if any(not _same(x.get(name), y.get(name)) for x, y in pairs)]
    for name in sorted((a.series.keys() | b.series.keys()) - set(TIMED)):
        x, y = a.series.get(name), b.series.get(name)
        if x is None or y is None or x.shape != y.shape:
            apart.append(f"series {name} in length")
        elif (there := (x != y) & ~(np.isnan(x) & np.isnan(y))).any():
            apart.append(f"series {name} from entry {int(np.flatnonzero(there.any(0))[0])} on")
    return apart


def changes(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The entries of two environments that differ, each with both values; timings aside."""
    names = [*a, *(name for name in b if name not in a)]
    return {
        name: (a.get(name), b.get(name))
        for name in names
        if name not in TIMED and a.get(name) != b.get(name)
    }


def _same(x: Any, y: Any) -> bool:
    return x == y or (x != x and y != y)
