"""Two sets of results compared, each pair by the comparison of its experiment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from ..records import Result
from ..results.compare import Change, Pairs, Slot, corrected
from ..results.staleness import differences
from . import find


def compare(
    before: Mapping[Slot, Result], after: Mapping[Slot, Result]
) -> list[Change]:
    """Every measure of every run of either side, in the order of `before`, then of what is new."""
    changes: list[Change] = []
    for slot in dict.fromkeys([*before, *after]):
        if slot in before and slot in after:
            changes += _changes(slot, before[slot], after[slot])
        else:
            side = "before" if slot in before else "after"
            changes.append(
                Change.not_comparable(slot, "results", f"there only {side}")
            )
    return corrected(changes)


def _changes(slot: Slot, before: Result, after: Result) -> Iterator[Change]:
    pairs: Pairs[Any] = Pairs.of(slot, before, after)
    if pairs.why_not:
        yield Change.not_comparable(slot, "results", pairs.why_not)
        return
    if pairs.machine:
        yield Change.not_comparable(slot, "seconds", pairs.machine)
    own = find(after.run.experiment).compare
    if own is None:
        yield pairs.broken()
        return
    others = "; ".join(differences(before.run, after.run).values())
    for change in own.changes(pairs):
        if change.verdict == "same" or not others:
            yield change
        else:
            yield replace(change, why="; ".join(filter(None, (change.why, others))))
