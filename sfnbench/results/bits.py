"""Whether two folders hold the same numbers, to the bit, as they do on one CPU.

Runs are paired by their slot (suite, experiment, problem and method by label), not by id: an id
changes with the code, and whether the numbers did is the question.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import DamagedError
from ..records import Result
from ..words import counted, listed
from .staleness import differences
from .store import Store

# Timings differ every time.
TIMED = ("seconds", "escape_seconds", "warmup_s", "load")
TIMED_EXPERIMENTS = ("throughput",)  # whose numbers are all timings


@dataclass
class BitComparison:
    """The runs that two folders have in common, and where they differ."""

    # titles of runs, as all lists here
    same: list[str] = field(default_factory=list)
    different: dict[str, str] = field(default_factory=dict)  # title -> what differs
    # runs of timings alone, which are not compared
    timed: list[str] = field(default_factory=list)
    only_first: list[str] = field(default_factory=list)
    only_second: list[str] = field(default_factory=list)
    damaged: list[DamagedError] = field(default_factory=list)
    # why ids differ -> titles
    stale: dict[str, list[str]] = field(default_factory=dict)

    @property
    def n_shared(self) -> int:
        """Runs in both folders whose numbers were compared."""
        return len(self.same) + len(self.different)

    def lines(self) -> list[str]:
        """A line for each run that differs, then for each reason why ids differ."""
        found = [f"{title}: {what}" for title, what in self.different.items()]
        for why, titles in self.stale.items():
            found.append(
                f"other ids, {why} ({counted(len(titles), 'run')}: {listed(titles)})"
            )
        return found

    def total(self) -> str:
        """How many runs are the same, differ, and are in one folder alone."""
        n = self.n_shared
        parts = [
            f"{counted(n, 'run')} in both: {len(self.same)} the same to the bit"
        ]
        parts.append(f"{len(self.different)} not")
        if self.timed:
            parts.append(f"{len(self.timed)} more not compared, they are timings")
        if self.only_first:
            parts.append(
                f"{len(self.only_first)} only in the first ({listed(self.only_first)})"
            )
        if self.only_second:
            parts.append(
                f"{len(self.only_second)} only in the second ({listed(self.only_second)})"
            )
        return ", ".join(parts)


def compare_bits(first: Store, second: Store) -> BitComparison:
    """Compare the runs that fill the same slots of both folders; a damaged one is named."""
    found = BitComparison()
    before = first.current()
    after = second.current()
    for slot, run_id in before.items():
        title = f"{slot[3]} on {slot[2]}"
        if slot not in after:
            found.only_first.append(title)
            continue
        if slot[1] in TIMED_EXPERIMENTS:
            found.timed.append(title)
            continue
        try:
            a = first.get(run_id)
            b = second.get(after[slot])
        except DamagedError as error:
            found.damaged.append(error)
            continue
        _compare(found, title, a, b)
    found.only_second += [
        f"{slot[3]} on {slot[2]}" for slot in after if slot not in before
    ]
    return found


def _compare(found: BitComparison, title: str, a: Result, b: Result) -> None:
    what = deviations(a, b)
    if what:
        around = environment_changes(a.environment, b.environment)
        named = ", ".join(
            f"{key} {old} -> {new}" for key, (old, new) in around.items()
        )
        found.different[title] = (
            f"{'; '.join(what)}; {named or 'in equal environments'}"
        )
    else:
        found.same.append(title)
    if a.run.id != b.run.id:
        for why in differences(a.run, b.run).values():
            found.stale.setdefault(why, []).append(title)


def deviations(a: Result, b: Result) -> list[str]:
    """Statuses, columns and series that differ in any bit, timings aside; series: from where on."""
    if len(a.rows) != len(b.rows) or a.status != b.status:
        return [
            f"{a.status} with {len(a.rows)} rows, {b.status} with {len(b.rows)} rows"
        ]
    found = _columns(a, b)
    for name in sorted((a.series.keys() | b.series.keys()) - set(TIMED)):
        x = a.series.get(name)
        y = b.series.get(name)
        if x is None or y is None or x.shape != y.shape:
            found.append(f"series {name} in length")
            continue
        unequal = (x != y) & ~(np.isnan(x) & np.isnan(y))
        if unequal.any():
            entry = int(np.flatnonzero(unequal.any(0))[0])
            found.append(f"series {name} from entry {entry} on")
    return found


def _columns(a: Result, b: Result) -> list[str]:
    """Names of the columns whose values differ."""
    pairs = list(zip(a.rows, b.rows, strict=True))
    names = dict.fromkeys(name for row in (*a.rows, *b.rows) for name in row)
    found = []
    for name in names:
        if name in TIMED:
            continue
        if any(not _same_bits(x.get(name), y.get(name)) for x, y in pairs):
            found.append(name)
    return found


def environment_changes(
    a: Mapping[str, Any], b: Mapping[str, Any]
) -> dict[str, tuple[Any, Any]]:
    """The entries of two environments that differ, each with both values; timings aside."""
    names = [*a, *(name for name in b if name not in a)]
    return {
        name: (a.get(name), b.get(name))
        for name in names
        if name not in TIMED and a.get(name) != b.get(name)
    }


def _same_bits(x: Any, y: Any) -> bool:
    return x == y or (x != x and y != y)
