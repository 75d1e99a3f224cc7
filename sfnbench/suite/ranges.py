"""Ranges: a parameter given as an interval or as choices, whose value tuning finds.

Written ``lr: {loguniform: [1e-3, 1]}``, ``momentum: {uniform: [0, 0.99]}`` or ``damping: {choice:
[0, paper]}``.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from ..records import Spec
from .yaml_nodes import Issue, Node, Note

Scale = Literal["uniform", "loguniform", "choice"]

SCALES: tuple[Scale, ...] = get_args(Scale)
MAX_RANGES = 16  # of an optimizer; low-discrepancy points are no better than random ones beyond
EDGE = 0.05  # of a range: a winner this near to an end may have rivals outside


@dataclass(frozen=True)
class Range:
    """Where the value of a parameter lies: between two ends, both included, or among choices."""

    scale: Scale
    values: tuple[Any, ...]  # low and high, or the choices
    # whether values are integers; each is as likely as the interval of length 1 around it
    is_whole: bool = False

    @property
    def written(self) -> dict[str, list[Any]]:
        """The range as a suite has it."""
        return {self.scale: list(self.values)}

    def value(self, u: float) -> Any:
        """The value at u in [0, 1) of the sampler's scale.

        >>> Range("loguniform", (0.01, 1.0)).value(0.5)
        0.1
        >>> Range("uniform", (1, 4), is_whole=True).value(0.5)
        3
        """
        if self.scale == "choice":
            return self.values[int(u * len(self.values))]
        low, high = self.values
        margin = 0.5 if self.is_whole else 0.0
        a = self._scaled(low - margin)
        b = self._scaled(high + margin)
        value = a + u * (b - a)
        if self.scale == "loguniform":
            value = math.exp(value)
        # Six digits: the last ones of exp differ between machines, and a person copies six
        if self.is_whole:
            value = math.floor(value + 0.5)
        else:
            value = float(f"{value:.6g}")
        return min(max(value, low), high)

    def edge(self, value: Any) -> str | None:
        """The end, low or high, within `EDGE` of a value in the sampler's scale, if any."""
        if self.scale == "choice":
            return None
        low, high = (self._scaled(end) for end in self.values)
        place = (self._scaled(value) - low) / (high - low)
        if place <= EDGE:
            return "low"
        return "high" if place >= 1 - EDGE else None

    def _scaled(self, value: float) -> float:
        if self.scale == "loguniform":
            return math.log(value)
        return value


@dataclass(frozen=True)
class Tunable(Spec):
    """An optimizer with parameters that are still ranges; `params` has them as they are written."""

    # By parameter, in alphabetical order: that of the sampler's dimensions
    ranges: dict[str, Range]

    @property
    def is_open(self) -> bool:
        """True: its ranges wait for values."""
        return True

    def settled(self, values: Mapping[str, Any]) -> Spec:
        """The optimizer with a value for each range."""
        return Spec(self.use, self.label, {**self.params, **values}, self.source)

    @property
    def extremes(self) -> Iterator[Spec]:
        """The optimizer at each end and choice of a range, the other ranges at their first."""
        first = {name: each.values[0] for name, each in self.ranges.items()}
        for name, each in self.ranges.items():
            for value in each.values:
                yield self.settled({**first, name: value})


def ranges_of(params: Node) -> dict[str, Node]:
    """The parameters of an entry that are written as ranges, rightly or not."""
    found = params.content.items()
    return {
        name: node for name, node in found if node.is_mapping and _is_range(node)
    }


def read_range(
    name: str, node: Node, note: Note
) -> tuple[Scale, list[Node]] | None:
    """The scale of a range, and its ends or choices; None where they are wrong."""
    key = next((scale for scale in SCALES if scale in node.content), None)
    if key is None:
        [only] = node.content
        note(
            Issue(
                node.keys[only],
                f"unknown key {only!r} (did you mean '{_nearest(only)}'?)",
            )
        )
        return None
    for other in node.content:
        if other != key:
            note(Issue(node.keys[other], f"unknown key {other!r} beside {key}"))
    values = node.content[key]
    if not values.is_list:
        note(Issue(values.at, f"{key} must be a list, not {values.described}"))
        return None
    wrong = list(
        _wrong_choices(name, values)
        if key == "choice"
        else _wrong_ends(key, name, values)
    )
    for issue in wrong:
        note(issue)
    return None if wrong else (key, values.content)


def _wrong_choices(name: str, values: Node) -> Iterator[Issue]:
    if not values.content:
        yield Issue(values.at, f"choice is empty: {name} needs at least one value")


def _wrong_ends(key: Scale, name: str, values: Node) -> Iterator[Issue]:
    not_numbers = [
        end for end in values.content if type(end.content) not in (int, float)
    ]
    for end in not_numbers:
        message = (
            f"an end of the range of {name} must be a number, not {end.described}"
        )
        yield Issue(end.at, message)
    if not_numbers:
        return
    if len(values.content) != 2:
        message = f"{key} must have two values, the ends of the range, not {len(values.content)}"
        yield Issue(values.at, message)
        return
    low, high = values.content
    if low.content >= high.content:
        wrong = "reversed"
        if low.content == high.content:
            wrong = "empty"
        message = f"the range of {name} is {wrong}: its low end must be below its high end"
        yield Issue(values.at, message)
    elif key == "loguniform" and low.content <= 0:
        message = f"an end of a loguniform range must be greater than 0, not {low.described}"
        yield Issue(low.at, message)


def _is_range(node: Node) -> bool:
    """Whether one of its keys is a scale, or its only key is nearly one."""
    alone = len(node.content) == 1 and "grid" not in node.content
    return any(key in SCALES or (alone and _nearest(key)) for key in node.content)


def _nearest(key: str) -> str | None:
    return next(iter(difflib.get_close_matches(key, SCALES, n=1)), None)
