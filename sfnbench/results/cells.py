"""The cells of a table: numbers until they are printed.

An entry is a `Cell` (a number with its interval and flags), a `Tally` (counts by name) or words.
Stars and sorting compare numbers; `text` prints an entry, `as_json` keeps its parts apart.

>>> fast, slow = Cell(4.551, form=".2g"), Cell(4.649, form=".2g")
>>> text(fast), text(slow), rank(fast) < rank(slow)
('4.6', '4.6', True)
>>> late = Cell(math.inf, 3, math.inf, form="g", censored=10)
>>> text(late)
'> 10 [3, > 10]'
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ..words import one_line

STAR = " *"
NEVER = "never"
INTERVAL = "{value} [{low}, {high}]"
RANGE = "{low} to {high}"

# range: the seeds' lowest and highest; interval: that of the median
Spread = Literal["range", "interval", "none"]


@dataclass(frozen=True)
class Cell:
    """A number as it was measured, how it is printed, and what it competes for.

    An infinite number is never, or later than `censored`, or else beyond all finite ones.
    """

    value: float | None = None  # None: an interval alone
    low: float | None = None
    high: float | None = None
    form: str = ".4g"  # of each number
    pattern: str = INTERVAL  # where there is an interval
    brackets: str = ""  # what the interval is, in words
    of: int | None = None  # the value is a count of so many
    # more than half broke, which will not escape however long one waits
    never: bool = False
    censored: float | None = None  # steps made without an escape
    # the best has the lowest; None: it does not compete
    score: float | None = None
    rivals: str = ""  # whom it competes with, in words
    # it competes only with those whose number came about in the same way
    league: str = ""
    best: bool = False

    @property
    def has_interval(self) -> bool:
        """Whether there is an interval, of more than one point."""
        if self.low is None or self.high is None or math.isnan(self.low):
            return False
        return self.value is None or self.low != self.high

    @property
    def is_beyond(self) -> bool:
        """Whether some number is only known to be later than the steps that were made."""
        numbers = (self.value, self.low, self.high)
        return self.censored is not None and math.inf in numbers

    def changed(self, **values: Any) -> Cell:
        """As `dataclasses.replace`, in a third of its time: tables have many cells."""
        return Cell(**{**vars(self), **values})

    def number(self, number: float) -> str:
        """One of its numbers as text."""
        if number == math.inf and self.never:
            return NEVER
        if number == math.inf and self.censored is not None:
            return f"> {self.censored:g}"
        return format(number, self.form)

    def __str__(self) -> str:
        if self.of is not None and self.value is not None:
            value = f"{self.value:g}/{self.of}"
        else:
            if self.value is None:
                value = ""
            else:
                value = self.number(self.value)
        if not self.has_interval or self.low is None or self.high is None:
            return value
        low = self.number(self.low)
        high = self.number(self.high)
        return self.pattern.format(value=value, low=low, high=high)


@dataclass(frozen=True)
class Tally:
    """Counts by name, the most common first."""

    counts: Mapping[str, int]
    separator: str = " "

    def __str__(self) -> str:
        return self.separator.join(
            f"{count} {name}" for name, count in self.counts.items()
        )


# words and whole numbers stand for themselves
TableEntry = Cell | Tally | str | int | None
Line = Mapping[str, TableEntry]


def optional_cell(value: float | None, form: str) -> Cell | None:
    """A number printed in that form; None where there is none."""
    return None if value is None else Cell(value, form=form)


def share(
    count: int, of: int, low: float | None = None, high: float | None = None
) -> Cell:
    """A count of so many, with the interval of the share.

    >>> text(share(3, 4, 0.3, 0.95))
    '3/4 (0.30-0.95)'
    """
    pattern = "{value} ({low}-{high})"
    return Cell(count, low, high, form=".2f", pattern=pattern, of=of)


def text(entry: TableEntry, *, is_starred: bool = False) -> str:
    """An entry as people read it; with `is_starred` the best carries a star."""
    if entry is None:
        return ""
    is_best = is_starred and isinstance(entry, Cell) and entry.best
    return one_line(f"{entry}{STAR if is_best else ''}")


def rank(entry: TableEntry) -> tuple[int, float, str]:
    """The key that a column is sorted by: numbers, later than so many steps, never, words."""
    if isinstance(entry, int):
        return 0, entry, ""
    words = text(entry)
    if isinstance(entry, Tally):
        return 0, next(iter(entry.counts.values()), 0), words
    if not isinstance(entry, Cell):
        return 3, 0.0, words
    number = entry.low if entry.value is None else entry.value
    if number is None:
        return 3, 0.0, words
    if number == math.inf and entry.never:
        return 2, 0.0, words
    if number == math.inf and entry.censored is not None:
        return 1, entry.censored, words
    return 0, number / (entry.of or 1), words


def as_json(entry: TableEntry) -> Any:
    """An entry with its parts apart, in strict JSON: null for infinite and missing numbers."""
    if isinstance(entry, Tally):
        return dict(entry.counts)
    if not isinstance(entry, Cell):
        return None if entry == "" else entry
    parts: dict[str, Any] = {"text": text(entry), "value": _finite(entry.value)}
    if entry.of is not None:
        parts["of"] = entry.of
    parts |= {"low": _finite(entry.low), "high": _finite(entry.high)}
    return parts | {
        "never": entry.never,
        "censored": entry.censored,
        "best": entry.best,
    }


def is_empty(entry: TableEntry) -> bool:
    """Whether there is nothing to print."""
    return text(entry) == ""


def used_columns(table: Iterable[Line]) -> list[str]:
    """The columns in which some row has something, in the order in which they come up."""
    filled: dict[str, bool] = {}
    for line in table:
        for name, entry in line.items():
            filled[name] = filled.get(name, False) or not is_empty(entry)
    return [name for name, is_filled in filled.items() if is_filled]


def _finite(number: float | None) -> float | None:
    if number is not None and math.isfinite(number):
        return number
    return None


def no_formula(text: str) -> str:
    """Text for a cell of a csv file, with an apostrophe where a spreadsheet would take a formula.

    >>> no_formula("=1+1"), no_formula("-1e-3"), no_formula("sfn")
    ("'=1+1", '-1e-3', 'sfn')
    """
    if not text.startswith(("=", "+", "-", "@", "\t", "\r", "\n")):
        return text
    try:
        float(text)
    except ValueError:
        return f"'{text}"
    return text
