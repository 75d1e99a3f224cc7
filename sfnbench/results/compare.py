"""Two sets of results of the same suites, run by run.

What became worse, what better, and what cannot be compared.

Counts (seeds that broke, questions asked) are compared by equality. Losses, escapes and times are
paired by seed: a verdict is given where the 95 % interval of the median difference lies beyond the
tolerance, on one side. Of fewer than six seeds that interval is where all of them lie.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

from .. import environment
from ..core.cost import QUESTIONS
from ..errors import NoResultsError
from ..records import Result, Status
from ..survival.comparisons import holm, paired_differences
from ..survival.intervals import LEVEL, MIN_RUNS
from ..words import listed
from .cells import Cell, Entry
from .staleness import differences
from .store import FILE, Damaged, Store

Verdict = Literal["worse", "better", "changed", "undecided", "same", "not comparable"]
Row = Mapping[str, Any]
Seed = tuple[int, str]  # and dtype, where a run has several
Place = tuple[str, str, str, str]  # suite, experiment, problem, optimizer

TOLERANCE = 0.01  # of a loss or an escape: a smaller relative difference is as good as none
TOLERANCE_S = 0.25  # of a time: a machine that does other things, too, makes as much
TOLERANCE_STEP = 0.1  # of a step's time in gradients, in which the machine cancels
RATES = ("steps_per_s", "samples_per_s", "hvp_per_s")
STEP = "step_in_grads"
ROUNDING = 1e-12  # of the loss at the start: losses below that have all arrived

# What has to be equal for any number to mean the same; anything else that differs is said beside
# the verdict.
DECISIVE = (
    ("experiment",),
    ("dtype",),
    ("format",),
    ("problem", "use"),
    ("problem", "params"),
    ("settings",),
)
HARMLESS = (("settings", "metrics"),)
MACHINE = (
    "device",
    "device_name",
    "cpu",
    "n_cores",
    "threads",
    "tf32_matmul",
)  # has to be equal for times


@dataclass(frozen=True)
class Change:
    """One measure of one run, before and after."""

    place: Place
    what: str
    before: float
    after: float
    verdict: Verdict
    why: str = ""
    interval: tuple[float, float] | None = None  # of the median difference of the pairs
    n: int = 0  # pairs
    p: float = (
        math.nan
    )  # of Wilcoxon's signed-rank test, corrected after Holm for all pairs that differ

    def line(self) -> dict[str, Entry]:
        """As a row of a table."""
        suite, _, problem, optimizer = self.place
        low, high = self.interval or (None, None)
        return {
            "suite": suite,
            "problem": problem,
            "optimizer": optimizer,
            "what": self.what,
            "before": _number(self.before, ".6g"),
            "after": _number(self.after, ".6g"),
            "difference": Cell(None, low, high, form=".3g", pattern="[{low}, {high}]"),
            "pairs": self.n or None,
            "p": _number(self.p, ".2g"),
            "verdict": self.verdict,
            "why": self.why,
        }


def _number(value: float, form: str) -> Cell | None:
    return None if math.isnan(value) else Cell(value, form=form)


class Paired(NamedTuple):
    """A measure that each seed has, and how to read it."""

    what: str
    of: Callable[[Row], float | None]  # None: this seed has none
    tolerance: float = TOLERANCE
    is_time: bool = False


def load(
    side: str | Path, runs: Path = Path("runs"), damaged: Damaged | None = None
) -> dict[Place, Result]:
    """The results of a folder, or, where `side` is no folder, those that this commit left anywhere below `runs`.

    A commit is given as git takes it: a hash, a branch, HEAD~1. Of several results in one place the
    last counts. StoreError where there are none, or where one is damaged that `damaged` does not
    take.
    """
    if Path(side).is_dir():
        with Store(side) as store:
            return {_place(result): result for result in store.summaries(damaged=damaged)}
    commit = environment.revision(Path.cwd(), str(side))
    if commit is None:
        raise NoResultsError(f"{side}: neither a folder of results nor a commit of the clone here")
    found: dict[Place, Result] = {}
    for file in sorted(runs.glob(f"**/{FILE}"), key=lambda file: file.stat().st_mtime):
        with Store(file.parent) as store:
            found |= {
                _place(r): r
                for r in store.summaries(current=False, damaged=damaged)
                if r.environment.get("commit") == commit
            }
    if not found:
        again = "check it out and run a suite with `--out` a folder of its own below, for what has a result is not run again"
        raise NoResultsError(f"{side}: commit {commit[:12]} has left no results in {runs}; {again}")
    return found


def compare(before: Mapping[Place, Result], after: Mapping[Place, Result]) -> list[Change]:
    """Every measure of every run of either side, in the order of `before`, then of what is new."""
    changes: list[Change] = []
    for place in dict.fromkeys([*before, *after]):
        if place in before and place in after:
            changes += _changes(place, before[place], after[place])
        else:
            side = "before" if place in before else "after"
            changes.append(
                Change(place, "results", math.nan, math.nan, "not comparable", f"there only {side}")
            )
    return _corrected(changes)


def is_regression(changes: Iterable[Change]) -> bool:
    """Whether anything became worse."""
    return any(change.verdict == "worse" for change in changes)


def told_once(changes: Sequence[Change]) -> tuple[list[Change], list[str]]:
    """The changes without the reasons that several share, and a line for each of these.

    Whom it holds for.

    What is not comparable for such a reason has nothing else to say, and is left to the line.
    """
    of: dict[str, list[Change]] = {}
    for change in changes:
        of.setdefault(
            f"not comparable: {change.what}: {change.why}" if _is_void(change) else change.why, []
        ).append(change)
    kept, lines = [], []
    for reason, sharing in of.items():
        if not reason or len(sharing) == 1:
            kept += sharing
            continue
        kept += [replace(change, why="") for change in sharing if not _is_void(change)]
        runs = list(
            dict.fromkeys(
                f"{o} on {p}" if o else p for _, _, p, o in (change.place for change in sharing)
            )
        )
        lines.append(
            f"{reason} ({len(runs)} runs: {listed(runs)})"
            if len(runs) > 1
            else f"{reason} ({runs[0]})"
        )
    order = {(change.place, change.what): i for i, change in enumerate(changes)}
    return sorted(kept, key=lambda change: order[change.place, change.what]), lines


# -- inside ----------------------------------------------------------------------------------------


def _is_void(change: Change) -> bool:
    return change.verdict == "not comparable"


def _place(result: Result) -> Place:
    return result.run.suite, *result.run.slot


def _changes(place: Place, a: Result, b: Result) -> Iterator[Change]:
    differs = differences(a.run, b.run)
    decisive = [
        said
        for path, said in differs.items()
        if _begins(path, DECISIVE) and not _begins(path, HARMLESS)
    ]
    before, after = _by_seed(a), _by_seed(b)
    seeds = [seed for seed in before if seed in after]
    if not seeds:
        decisive.append("no seed in common")
    if decisive:
        yield Change(place, "results", math.nan, math.nan, "not comparable", "; ".join(decisive))
        return
    said = "; ".join(differs.values())
    pairs = [(before[seed], after[seed]) for seed in seeds]
    machine = _machines(a, b)
    if machine:
        yield Change(place, "seconds", math.nan, math.nan, "not comparable", machine)
    if a.run.experiment == "throughput":
        yield from () if machine else _rates(place, seeds, pairs)
        return
    for change in (
        *_counts(place, pairs, a),
        *_paired_all(place, seeds, pairs, b, timed=not machine),
    ):
        yield (
            replace(change, why="; ".join(filter(None, (change.why, said))))
            if change.verdict != "same"
            else change
        )


def _begins(path: Sequence[str], starts: Iterable[tuple[str, ...]]) -> bool:
    return any(tuple(path[: len(start)]) == start for start in starts)


def _by_seed(result: Result) -> dict[Seed, Row]:
    """The rows by seed and dtype, or by place where these have several.

    One that broke as a whole broke for each seed.
    """
    rows: Sequence[Row] = result.rows or [
        {"seed": seed, "status": result.status} for seed in result.run.seeds
    ]
    named = {(row.get("seed", i), row.get("dtype", "")): row for i, row in enumerate(rows)}
    return named if len(named) == len(rows) else {(i, ""): row for i, row in enumerate(rows)}


def _machines(a: Result, b: Result) -> str:
    """How the machines differ, in words; empty where times compare."""
    facts = [(name, a.environment.get(name), b.environment.get(name)) for name in MACHINE]
    return "; ".join(f"{name} was {was}, is {now}" for name, was, now in facts if was != now)


def _counts(place: Place, pairs: Sequence[tuple[Row, Row]], a: Result) -> Iterator[Change]:
    """Seeds that broke, then questions by kind: more of them for the same steps is worse."""

    def n_broken(side: int) -> int:
        return sum(not Status(pair[side].get("status", "ok")).sound for pair in pairs)

    yield _count(place, "seeds that broke", n_broken(0), n_broken(1), better_lower=True)
    if any("converged" in row for pair in pairs for row in pair):
        failed = (sum(not pair[side].get("converged") for pair in pairs) for side in (0, 1))
        yield _count(place, "not converged", *failed, better_lower=True)
    lasted = [
        pair
        for pair in pairs
        if pair[0].get("steps") is not None and pair[1].get("steps") is not None
    ]
    limit = (a.run.settings.get("budget") or {}).get("seconds")
    if limit and any((row.get("seconds") or 0) >= limit for pair in lasted for row in pair):
        yield Change(
            place,
            "steps",
            math.nan,
            math.nan,
            "not comparable",
            "the clock ended the run, not the count of steps",
        )
        return
    alike = all(one["steps"] == other["steps"] for one, other in lasted)
    for name in ("steps", *(f"n_{kind}" for kind in QUESTIONS)):
        told = [(one[name], other[name]) for one, other in lasted if name in one and name in other]
        if told:
            sums = [sum(pair[side] for pair in told) for side in (0, 1)]
            equal = all(one == other for one, other in told)
            directed = alike and name != "steps"
            yield _count(place, name, *sums, better_lower=directed, equal=equal)


def _count(
    place: Place, what: str, a: float, b: float, *, better_lower: bool, equal: bool | None = None
) -> Change:
    if a == b if equal is None else equal:
        return Change(place, what, a, b, "same")
    verdict: Verdict = "changed" if not better_lower or a == b else "worse" if b > a else "better"
    return Change(place, what, a, b, verdict)


def _paired_all(
    place: Place, seeds: Sequence[Seed], pairs: Sequence[tuple[Row, Row]], b: Result, timed: bool
) -> Iterator[Change]:
    names = dict.fromkeys(name for pair in pairs for row in pair for name in row)
    for measure in _measures(names, b):
        if measure.is_time and not timed:
            continue
        of: dict[Seed, tuple[float, float]] = {}
        for seed, (one, other) in zip(
            _timings(seeds, pairs) if measure.is_time else seeds, pairs, strict=False
        ):
            values = measure.of(one), measure.of(other)
            if values[0] is not None and values[1] is not None:
                of[seed] = values[0], values[1]
        if of:
            start = max(
                (abs(row.get("start_loss") or 0.0) for pair in pairs for row in pair), default=0.0
            )
            yield _paired(
                place, measure, of, ROUNDING * start if measure.what == "final_loss" else 0.0
            )


def _timings(seeds: Sequence[Seed], pairs: Sequence[tuple[Row, Row]]) -> list[Seed]:
    """A name for each seed's timing.

    Those that share a batch share it, for they share its seconds.
    """
    names: list[Seed] = []
    left = 0
    for seed, pair in zip(seeds, pairs, strict=True):
        if left <= 0:
            name, left = seed, max(int(row.get("n_lanes") or 1) for row in pair)
        names.append(name)
        left -= 1
    return names


def _measures(names: Iterable[str], result: Result) -> Iterator[Paired]:
    """What a row of these columns is compared by."""
    facts = result.environment.get("problem") or {}
    names = set(names)
    if facts.get("bounded_below", True) and "final_loss" in names:
        yield Paired("final_loss", _or_never("final_loss"))
    if facts.get("has_saddle") and "escape_step" in names:
        yield Paired("escape_step", _or_never("escape_step"))
        yield Paired("escape_cost", _or_never("escape_cost"))
    for name in facts.get("measures", ()):
        yield Paired(name, _or_never(name))
    if {"seconds", "steps"} <= names:
        yield Paired("seconds a step", _seconds_a_step, TOLERANCE_S, is_time=True)


def _or_never(name: str) -> Callable[[Row], float]:
    """A loss that was not reached, or an escape that did not come, is infinitely late."""
    return lambda row: (
        math.inf if row.get(name) is None or math.isnan(row[name]) else float(row[name])
    )


def _rates(
    place: Place, seeds: Sequence[Seed], pairs: Sequence[tuple[Row, Row]]
) -> Iterator[Change]:
    """Throughputs, of which up is good, and what a step takes in gradients, of which down is.

    They differ where the medians do and the quartiles over blocks lie apart.
    """
    for (_, dtype), (one, other) in zip(seeds, pairs, strict=True):
        for name in (*RATES, STEP):
            if one.get(name) is None or other.get(name) is None:
                continue
            tolerance, up_is_good = (TOLERANCE_STEP, False) if name == STEP else (TOLERANCE_S, True)
            rises = other[f"{name}_q1"] > one[f"{name}_q3"] and other[name] > one[name] * (
                1 + tolerance
            )
            falls = (
                other[f"{name}_q3"] < one[f"{name}_q1"]
                and other[name] * (1 + tolerance) < one[name]
            )
            why = _unsure(one, other, name) if rises or falls else ""
            verdict: Verdict = (
                "same" if not (rises or falls) else "better" if rises == up_is_good else "worse"
            )
            yield Change(
                place,
                f"{name} {dtype}",
                one[name],
                other[name],
                "undecided" if why else verdict,
                why,
            )


def _unsure(one: Row, other: Row, name: str) -> str:
    """Why a difference between two timings may be the machine's.

    Empty where nothing speaks for that.
    """
    if one.get("disturbed") or other.get("disturbed"):
        return "others kept the machine busy"
    if name == STEP:
        return ""
    if one.get("drifting") or other.get("drifting"):
        return "the machine drifted meanwhile"
    paces = [row["matmul_flops_per_s"] for row in (one, other) if row.get("matmul_flops_per_s")]
    if len(paces) == 2 and max(paces) > (1 + TOLERANCE_STEP) * min(paces):
        return f"a matrix product was {'slower' if paces[1] < paces[0] else 'faster'}, too"
    return ""


def _seconds_a_step(row: Row) -> float | None:
    steps, seconds = row.get("steps"), row.get("seconds")
    return seconds / steps if steps and seconds is not None else None


def _paired(
    place: Place, measure: Paired, of: Mapping[Seed, tuple[float, float]], floor: float
) -> Change:
    before, after = ({i: values[side] for i, values in enumerate(of.values())} for side in (0, 1))
    found = paired_differences(before, {"after": after})["after"]
    middle = _median(before.values()), _median(after.values())
    low, high = found.difference.low, found.difference.high
    if found.n < MIN_RUNS:  # all there is to say of few: where they lie
        gaps = [0.0 if a == b else b - a for a, b in of.values()]
        low, high = (min(gaps), max(gaps)) if found.n > 1 else (math.nan, math.nan)
    scale = min(abs(value) for value in middle)
    slack = max(floor, measure.tolerance * scale if math.isfinite(scale) else 0.0)
    change = Change(place, measure.what, *middle, "same", "", (low, high), found.n, found.p)
    if all(abs(b - a) <= slack for a, b in of.values() if a != b):
        return replace(change, p=math.nan)
    if found.n == 1:
        why = "one timing, for the seeds share a batch" if measure.is_time else "one seed"
        return replace(change, verdict="undecided", why=why, p=math.nan)
    up, down = low > slack, high < -slack
    if not up and not down:
        return change
    if (
        measure.is_time and found.n < MIN_RUNS and max(low, -high) < scale
    ):  # one after another, in one weather
        return replace(
            change,
            verdict="undecided",
            why=f"under a factor of 2, of fewer than {MIN_RUNS} timings",
            p=math.nan,
        )
    return replace(change, verdict="worse" if up else "better")


def _median(values: Iterable[float]) -> float:
    ordered = sorted(values)
    n = len(ordered)
    low, high = ordered[(n - 1) // 2], ordered[n // 2]
    return low if low == high else (low + high) / 2


def _corrected(changes: Sequence[Change]) -> list[Change]:
    """P-values corrected for their number, where the seeds suffice for a small one.

    There it has to be small, too.
    """
    tested = [i for i, change in enumerate(changes) if not math.isnan(change.p)]
    changes = list(changes)
    for i, p in zip(tested, holm([changes[i].p for i in tested]), strict=True):
        change = changes[i]
        attainable = 2.0 ** (1 - change.n) * len(tested) <= 1 - LEVEL
        lucky = attainable and p > 1 - LEVEL and change.verdict in ("worse", "better")
        changes[i] = replace(
            change,
            p=p if attainable else math.nan,
            verdict="undecided" if lucky else change.verdict,
        )
    return changes
