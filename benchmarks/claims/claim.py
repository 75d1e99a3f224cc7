"""A claim with its verdict, and how numbers are written on the page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sfnbench.records import Result
from sfnbench.survival.intervals import Estimate

YES, NO, DEPENDS = "yes", "no", "depends"
Line = Mapping[str, str]


@dataclass(frozen=True)
class Claim:
    """What was claimed, whether it holds by which rule, and the figures behind that."""

    title: str
    verdict: str
    line: str  # the answer in a line
    rule: str  # when it counts as yes
    figures: Sequence[Line]
    remarks: Sequence[str] = field(default_factory=tuple)


@dataclass(frozen=True)
class Results:
    """Stored results by suite."""

    by_suite: Mapping[str, list[Result]]

    def of(self, suite: str, method: str | None = None) -> list[Result]:
        """The results of a suite, of one method where it is named by its label or its use."""
        found = self.by_suite[suite]
        if method is None:
            return found
        return [
            r for r in found if method in (r.run.method.label, r.run.method.use)
        ]


def verdict_of(flags: Sequence[bool]) -> str:
    """Yes where all hold, no where none does."""
    if all(flags):
        return YES
    return DEPENDS if any(flags) else NO


def text(estimate: Estimate, form: str = ".3g") -> str:
    """A number with its interval, as far as it has one."""
    value, low, high = estimate
    if math.isinf(value):
        return f"beyond the budget{_interval(low, high, form)}"
    return f"{value:{form}}{_interval(low, high, form)}"


def _interval(low: float, high: float, form: str) -> str:
    if math.isnan(low) or (math.isinf(low) and math.isinf(high)):
        return ""
    return f" [{low:{form}}, {high:{form}}]"


def seeds_of(result: Result) -> str:
    """Its seeds in words."""
    return f"{len(result.run.seeds)} seeds"
