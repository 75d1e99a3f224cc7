"""Two results of one slot, their rows paired by seed, and what a difference between them says.

Counts (seeds that broke, questions asked) are compared by equality. Losses, escapes and times are
paired by seed: a verdict is given where the 95 % interval of the median difference lies beyond the
tolerance, on one side. Of fewer than six seeds that interval is where all of them lie. What an
experiment measures is in its own ``compare.py``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Generic, Literal, NamedTuple, TypeVar, cast

from ..core.cost import QUESTIONS
from ..records import Result, Row, Status, n_sharing, number
from ..survival.comparisons import holm, paired_differences
from ..survival.escapes import or_never
from ..survival.intervals import LEVEL, MIN_RUNS
from ..words import listed
from .cells import Cell, TableEntry
from .staleness import differences

Verdict = Literal[
    "worse", "better", "changed", "undecided", "same", "not comparable"
]
Seed = tuple[int, str]  # and dtype, where a run has several
Slot = tuple[str, str, str, str]  # suite, experiment, problem, method
R = TypeVar("R", bound=Row)

# a smaller relative difference of a loss or an escape is as good as none
TOLERANCE = 0.01
# the same of a time: a machine that does other things, too, makes as much
TOLERANCE_S = 0.25

# What has to be equal for any number to mean the same; any other difference stands beside the
# verdict.
DECISIVE = (
    ("experiment",),
    ("dtype",),
    ("format",),
    ("problem", "use"),
    ("problem", "params"),
    ("settings",),
)
HARMLESS = (("settings", "metrics"),)
# What has to be equal for times to compare.
MACHINE = ("device", "device_name", "cpu", "n_cores", "threads", "tf32_matmul")


@dataclass(frozen=True)
class Change:
    """One measure of one run, before and after."""

    slot: Slot
    what: str
    before: float
    after: float
    verdict: Verdict
    why: str = ""
    # the interval of the median difference of the pairs
    interval: tuple[float, float] | None = None
    n: int = 0  # pairs
    # the p of Wilcoxon's signed-rank test, corrected after Holm for all pairs
    p: float = math.nan

    @classmethod
    def not_comparable(cls, slot: Slot, what: str, why: str) -> Change:
        """A measure without numbers that mean the same on both sides."""
        return cls(slot, what, math.nan, math.nan, "not comparable", why)

    @property
    def is_void(self) -> bool:
        """Whether there was nothing to compare."""
        return self.verdict == "not comparable"

    @property
    def title(self) -> str:
        """The run, as people call it."""
        *_, problem, method = self.slot
        return f"{method} on {problem}" if method else problem

    def line(self) -> dict[str, TableEntry]:
        """As a row of a table."""
        suite, _, problem, method = self.slot
        low, high = self.interval or (None, None)
        return {
            "suite": suite,
            "problem": problem,
            "optimizer": method,
            "what": self.what,
            "before": self._cell(self.before),
            "after": self._cell(self.after),
            "difference": Cell(
                None, low, high, form=".3g", pattern="[{low}, {high}]"
            ),
            "pairs": self.n or None,
            "p": _known_cell(self.p, ".2g"),
            "verdict": self.verdict,
            "why": self.why,
        }

    def _cell(self, value: float) -> Cell | None:
        """A side; an escape that did not come is spelled as in every other table."""
        is_escape = self.what.startswith("escape_")
        if math.isnan(value):
            return None
        return Cell(value, form=".6g", never=is_escape)


def _known_cell(value: float, form: str) -> Cell | None:
    return None if math.isnan(value) else Cell(value, form=form)


@dataclass(frozen=True)
class Pairs(Generic[R]):
    """Two results of one slot, and the rows of the seeds that both have, side by side."""

    slot: Slot
    before: Result
    after: Result
    seeds: tuple[Seed, ...]
    rows: tuple[tuple[R, R], ...]
    machine: str  # how the machines differ, in words; empty where times compare

    @classmethod
    def of(cls, slot: Slot, before: Result, after: Result) -> Pairs[R]:
        """Paired by seed and dtype, or by place where these have several rows."""
        old = _by_seed(before)
        new = _by_seed(after)
        seeds = tuple(seed for seed in old if seed in new)
        rows = tuple((cast(R, old[seed]), cast(R, new[seed])) for seed in seeds)
        return cls(slot, before, after, seeds, rows, _machines(before, after))

    @property
    def why_not(self) -> str:
        """Why their numbers do not mean the same; empty where they do."""
        reasons = [
            words
            for path, words in differences(self.before.run, self.after.run).items()
            if _begins(path, DECISIVE) and not _begins(path, HARMLESS)
        ]
        return "; ".join(reasons if self.seeds else [*reasons, "no seed in common"])

    def count(
        self,
        what: str,
        before: float,
        after: float,
        *,
        has_direction: bool = True,
        is_same: bool | None = None,
    ) -> Change:
        """A count: more is worse, or a change without a direction."""
        if before == after if is_same is None else is_same:
            return Change(self.slot, what, before, after, "same")
        verdict: Verdict = "changed"
        if has_direction and before != after:
            verdict = "worse" if after > before else "better"
        return Change(self.slot, what, before, after, verdict)

    def broken(self) -> Change:
        """Seeds that broke."""
        before, after = (
            sum(not Status(pair[side]["status"]).sound for pair in self.rows)
            for side in (0, 1)
        )
        return self.count("seeds that broke", before, after)

    def questions(self) -> Iterator[Change]:
        """Steps, and questions by kind: more of them for the same steps is worse."""
        steps = self._counts_of("steps")
        has_same_steps = all(old == new for old, new in steps)
        for name in ("steps", *(f"n_{kind}" for kind in QUESTIONS)):
            counts = self._counts_of(name)
            if counts:
                yield self.count(
                    name,
                    sum(old for old, _ in counts),
                    sum(new for _, new in counts),
                    has_direction=has_same_steps and name != "steps",
                    is_same=all(old == new for old, new in counts),
                )

    def _counts_of(self, name: str) -> list[tuple[float, float]]:
        """A column of the rows that have it on both sides."""
        pairs = [(number(old, name), number(new, name)) for old, new in self.rows]
        return [
            (old, new) for old, new in pairs if old is not None and new is not None
        ]

    def measured(self, measure: Measure[R], floor: float = 0.0) -> Change | None:
        """A measure that each seed has, paired; None where no seed has it on both sides.

        A difference of at most `floor` is none.
        """
        values: dict[Seed, tuple[float, float]] = {}
        names = self._timings() if measure.is_time else self.seeds
        for name, (before, after) in zip(names, self.rows, strict=True):
            old = measure.of(before)
            new = measure.of(after)
            if old is not None and new is not None:
                values[name] = old, new
        if values:
            return _paired(self.slot, measure, values, floor)
        return None

    def _timings(self) -> list[Seed]:
        """A name for each seed's timing: seeds that share a batch share its seconds."""
        names: list[Seed] = []
        left = 0
        for seed, pair in zip(self.seeds, self.rows, strict=True):
            if left <= 0:
                name = seed
                left = max(n_sharing(row) for row in pair)
            names.append(name)
            left -= 1
        return names


class Measure(NamedTuple, Generic[R]):
    """A measure that each seed has, and how to read it."""

    what: str
    of: Callable[[R], float | None]  # None: this seed has none
    tolerance: float = TOLERANCE
    is_time: bool = False


def own_measures(pairs: Pairs[Any]) -> Iterator[Measure[Any]]:
    """The measures that the problem brings."""
    for name in pairs.after.facts.measures:
        yield Measure(name, partial(_own, name))


def _own(name: str, row: Mapping[str, object]) -> float:
    return or_never(number(row, name))


def is_regression(changes: Iterable[Change]) -> bool:
    """Whether anything became worse."""
    return any(change.verdict == "worse" for change in changes)


def share_reasons(changes: Sequence[Change]) -> tuple[list[Change], list[str]]:
    """The changes without the reasons that several share, and a line for each of these reasons.

    What is not comparable for such a reason has nothing else to say, and is left to the line.
    """
    by_reason: dict[str, list[Change]] = {}
    for change in changes:
        void = f"not comparable: {change.what}: {change.why}"
        by_reason.setdefault(void if change.is_void else change.why, []).append(
            change
        )
    kept: set[int] = set()
    lines = []
    shared = {
        reason for reason, group in by_reason.items() if reason and len(group) > 1
    }
    for reason, group in by_reason.items():
        kept |= {
            id(change)
            for change in group
            if reason not in shared or not change.is_void
        }
        if reason in shared:
            titles = list(dict.fromkeys(change.title for change in group))
            several = f"{len(titles)} runs: {listed(titles)}"
            lines.append(f"{reason} ({several if len(titles) > 1 else titles[0]})")
    shown = [change for change in changes if id(change) in kept]
    return [
        replace(each, why="") if each.why in shared else each for each in shown
    ], lines


def corrected(changes: Sequence[Change]) -> list[Change]:
    """P-values corrected for their number, where the seeds suffice for a small one.

    There it has to be small, too.
    """
    tested = [i for i, change in enumerate(changes) if not math.isnan(change.p)]
    changes = list(changes)
    for i, p in zip(tested, holm([changes[i].p for i in tested]), strict=True):
        change = changes[i]
        is_attainable = 2.0 ** (1 - change.n) * len(tested) <= 1 - LEVEL
        is_lucky = (
            is_attainable
            and p > 1 - LEVEL
            and change.verdict in ("worse", "better")
        )
        changes[i] = replace(
            change,
            p=p if is_attainable else math.nan,
            verdict="undecided" if is_lucky else change.verdict,
        )
    return changes


# -- inside ----------------------------------------------------------------------------------------


def _begins(path: Sequence[str], starts: Iterable[tuple[str, ...]]) -> bool:
    return any(tuple(path[: len(start)]) == start for start in starts)


def _by_seed(result: Result) -> dict[Seed, Row]:
    """The rows by seed and dtype, or by place where these have several.

    A run that broke as a whole broke for each seed.
    """
    if not result.rows:
        broke = [Row(seed=seed, status=result.status) for seed in result.run.seeds]
        result = replace(result, rows=tuple(broke))
    named = {(row["seed"], _dtype(row)): row for row in result.rows}
    if len(named) == len(result.rows):
        return named
    return {(i, ""): row for i, row in enumerate(result.rows)}


def _dtype(row: Mapping[str, Any]) -> str:
    return str(row.get("dtype", ""))


def _machines(a: Result, b: Result) -> str:
    """How the machines differ, in words; empty where times compare."""
    facts = [
        (name, a.environment.get(name), b.environment.get(name)) for name in MACHINE
    ]
    return "; ".join(
        f"{name} was {was}, is {now}" for name, was, now in facts if was != now
    )


def _paired(
    slot: Slot,
    measure: Measure[Any],
    values: Mapping[Seed, tuple[float, float]],
    floor: float,
) -> Change:
    before, after = (
        {i: pair[side] for i, pair in enumerate(values.values())} for side in (0, 1)
    )
    found = paired_differences(before, {"after": after})["after"]
    middle = _median(before.values()), _median(after.values())
    low = found.difference.low
    high = found.difference.high
    if found.n < MIN_RUNS:  # of few, an interval is where all of them lie
        gaps = [0.0 if a == b else b - a for a, b in values.values()]
        low, high = (min(gaps), max(gaps)) if found.n > 1 else (math.nan, math.nan)
    scale = min(abs(value) for value in middle)
    slack = max(floor, measure.tolerance * scale if math.isfinite(scale) else 0.0)
    change = Change(
        slot, measure.what, *middle, "same", "", (low, high), found.n, found.p
    )
    if all(abs(b - a) <= slack for a, b in values.values() if a != b):
        return replace(change, p=math.nan)
    if found.n == 1:
        if measure.is_time:
            why = "one timing, because the seeds share a batch"
        else:
            why = "one seed"
        return replace(change, verdict="undecided", why=why, p=math.nan)
    if not (low > slack or high < -slack):
        return change
    if measure.is_time and found.n < MIN_RUNS and max(low, -high) < scale:
        # timings one after another share whatever else the machine does
        why = f"under a factor of 2, of fewer than {MIN_RUNS} timings"
        return replace(change, verdict="undecided", why=why, p=math.nan)
    return replace(change, verdict="worse" if low > slack else "better")


def _median(values: Iterable[float]) -> float:
    ordered = sorted(values)
    n = len(ordered)
    low = ordered[(n - 1) // 2]
    high = ordered[n // 2]
    return low if low == high else (low + high) / 2
