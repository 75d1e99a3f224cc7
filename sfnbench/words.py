"""Pieces of sentences that messages share, and pydantic's errors in plain words."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from pydantic import ValidationError


def did_you_mean(word: str, known: Iterable[str], where: str = "") -> str:
    """The tail of an error message: the nearest known word, or a short list of them.

    Where neither helps, the command that lists them all, if `where` is one, or nothing.
    """
    names = sorted(known)
    lower = {name.lower(): name for name in reversed(names)}  # -o SFN means sfn
    near = difflib.get_close_matches(word.lower(), lower, n=1)
    if near:
        return f" (did you mean '{one_line(lower[near[0]])}'?)"
    if 0 < len(names) <= 24:
        return f" (known: {', '.join(map(one_line, names))})"
    return f" (`{where}` lists what there is)" if where else ""


def listed(names: Sequence[str], most: int = 4) -> str:
    """The first few names, and how many more there are.

    >>> listed(["a", "b", "c"], most=2)
    'a, b and 1 more'
    """
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or its type where it has none.

    >>> first_line(ValueError("no lr")), first_line(KeyError())
    ('no lr', 'KeyError')
    """
    return next(iter(str(error).splitlines()), "") or type(error).__name__


def counted(n: int, what: str) -> str:
    """So many of something, whose plural is regular.

    >>> counted(1, "run"), counted(2, "tuning run")
    ('1 run', '2 tuning runs')
    """
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def with_article(noun: str) -> str:
    """A noun with its "a" or "an".

    >>> with_article("optimizer"), with_article("problem")
    ('an optimizer', 'a problem')
    """
    return f"an {noun}" if noun[0] in "aeio" else f"a {noun}"


# Control characters, what turns the direction of writing, and halves of surrogate pairs.
_STEERING = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def printable(text: str) -> str:
    r"""Text that steers no terminal: control characters as escapes, line ends and tabs as they are.

    >>> print(printable("a label" + chr(27) + "[2J"))
    a label\x1b[2J
    """
    if text.isprintable():
        return text
    return _STEERING.sub(lambda found: _escaped(found[0]), text)


def one_line(text: str) -> str:
    """Text for a cell or a line: `printable`, with line ends and tabs as escapes too."""
    if text.isprintable():
        return text
    return re.sub(r"[\n\t]", lambda found: _escaped(found[0]), printable(text))


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()


# -- pydantic's errors -----------------------------------------------------------------------------

KeyPath = tuple[str | int, ...]  # keys and places from the top of some data

_TYPES = {
    "float_type": "a number",
    "int_type": "a whole number",
    "bool_type": "true or false",
    "string_type": "text",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "dataclass_type": "a mapping",
    "none_required": "null",
}
_BOUNDS = {
    "greater_than": ("greater than", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("less than", "lt"),
    "less_than_equal": ("at most", "le"),
}
_UNKNOWN_KEY = ("extra_forbidden", "unexpected_keyword_argument")


class Mistake(NamedTuple):
    """One mistake in some data: where, and what is wrong there."""

    path: KeyPath  # of a missing key: the mapping that it is missing from
    message: str
    is_key: bool = False  # the last key of the path is wrong, not its value


@dataclass(frozen=True)
class _Fault:
    """One of pydantic's errors."""

    type: str
    context: dict[str, Any]
    message: str
    path: KeyPath
    # Of each union that led here: its depth in the data, and pydantic's name of the branch
    branches: tuple[tuple[int, str], ...]

    @property
    def misses_type(self) -> bool:
        """Whether the value is of another type than this branch accepts."""
        return self.type in _TYPES or self.type == "literal_error"


@dataclass(frozen=True)
class ErrorReader:
    """Says in plain words what pydantic found wrong with plain data (mappings, lists, scalars)."""

    data: Any
    # the value at a path, as a message quotes it
    written: Callable[[KeyPath], str] | None = None
    # the keys that the mapping at a path may have
    known_keys: Callable[[KeyPath], Iterable[str]] = lambda path: ()
    owner: str = ""  # whose keys they are, such as " of sfn"
    # added where a list or a mapping stands in place of a single value
    list_hint: str = ""

    def mistakes(self, error: ValidationError) -> list[Mistake]:
        """Every mistake, those of a union's branches merged into one."""
        errors = error.errors(include_url=False, include_input=False)
        groups = _merge([self._fault(item) for item in errors])
        return [
            self._mistake(group) for group in groups if not self._follows(group[0])
        ]

    def _follows(self, fault: _Fault) -> bool:
        """Whether a list only counts as too short because its wrong values were left out."""
        given = _value(self.data, fault.path)
        is_short = fault.type == "too_short" and isinstance(given, list | tuple)
        return is_short and len(given) >= fault.context["min_length"]

    def _fault(self, item: Any) -> _Fault:
        """Splits a location into keys of the data and the branches of unions between them."""
        path: list[str | int] = []
        branches = []
        given = self.data
        if item["type"] == "missing":
            location = item["loc"][:-1]
        else:
            location = item["loc"]
        for part in location:
            if _has_part(given, part):
                given = given[part]
                path.append(part)
            else:
                branches.append((len(path), str(part)))
        if item["type"] == "missing":
            path.append(item["loc"][-1])
        return _Fault(
            item["type"],
            item.get("ctx", {}),
            item["msg"],
            tuple(path),
            tuple(branches),
        )

    def _mistake(self, faults: list[_Fault]) -> Mistake:
        fault = faults[0]
        path = fault.path
        parent = fault.path[:-1]
        if fault.type in _UNKNOWN_KEY:
            key = str(path[-1])
            hint = did_you_mean(key, self.known_keys(parent))
            return Mistake(
                path, f"unknown key {key!r}{self.owner}{hint}", is_key=True
            )
        if fault.type == "missing":
            if isinstance(path[-1], int):
                return Mistake(parent, f"{_subject(parent)} has too few values")
            return Mistake(parent, f"missing key {path[-1]!r}{self.owner}")
        subject = _subject(path)
        if fault.type in ("value_error", "assertion_error"):
            reason = str(fault.context.get("error", fault.message))
            return Mistake(path, f"{subject}: {reason}" if path else reason)
        return Mistake(
            path, f"{subject or 'it'} {self._complaint(faults)}{self._hint(faults)}"
        )

    def _complaint(self, faults: list[_Fault]) -> str:
        fault = faults[0]
        if self.written:
            given = self.written(fault.path)
        else:
            given = repr(_value(self.data, fault.path))
        if all(each.misses_type for each in faults):
            expected = either(
                option for each in faults for option in _expected(each)
            )
            return f"must be {expected}, not {given}{self._near(faults)}"
        if fault.type in _BOUNDS:
            words, key = _BOUNDS[fault.type]
            return f"must be {words} {fault.context[key]:g}, not {given}"
        if fault.type in ("too_short", "too_long"):
            return _length(fault)
        return f"is wrong: {fault.message[0].lower()}{fault.message[1:]}"

    def _near(self, faults: list[_Fault]) -> str:
        """The nearest of the words that are allowed."""
        given = _value(self.data, faults[0].path)
        if not isinstance(given, str):
            return ""
        allowed = [str(each.context.get("expected", "")) for each in faults]
        hint = did_you_mean(given, re.findall(r"'([^']*)'", " ".join(allowed)))
        return hint if "did you mean" in hint else ""

    def _hint(self, faults: list[_Fault]) -> str:
        given = _value(self.data, faults[0].path)
        expected = {_TYPES.get(fault.type) for fault in faults}
        if isinstance(given, list | dict) and faults[0].misses_type:
            if {"a list", "a mapping"} & expected:
                return ""
            return self.list_hint
        if isinstance(given, int | float) and "text" in expected:
            return " (put it in quotes)"
        return ""


def explain(error: ValidationError, data: Any) -> str:
    """Every mistake of some data on one line."""
    return "; ".join(
        mistake.message for mistake in ErrorReader(data).mistakes(error)
    )


def either(alternatives: Iterable[str]) -> str:
    """The alternatives, each once.

    >>> either(["a number", "'paper'", "'none'"])
    "a number, 'paper' or 'none'"
    """
    *most, last = dict.fromkeys(alternatives)
    return f"{', '.join(most)} or {last}" if most else last


def _has_part(data: Any, part: str | int) -> bool:
    if isinstance(part, int):
        return isinstance(data, list | tuple) and 0 <= part < len(data)
    return isinstance(data, dict) and part in data


def _value(data: Any, path: KeyPath) -> Any:
    for part in path:
        if _has_part(data, part):
            data = data[part]
    return data


def _merge(faults: list[_Fault]) -> list[list[_Fault]]:
    """Faults in groups of one mistake each.

    Of a union, the branch that the value's type fits counts, or all branches where it fits none.
    """
    merged = [[fault] for fault in faults if not fault.branches]
    in_unions = [fault for fault in faults if fault.branches]
    for path, group in groupby(
        in_unions, key=lambda fault: fault.path[: fault.branches[0][0]]
    ):
        union = list(group)
        branches = [
            list(each)
            for _, each in groupby(union, key=lambda fault: fault.branches[0])
        ]
        fitting = [branch for branch in branches if _is_in_branch(branch, path)]
        if fitting:
            within = [
                replace(fault, branches=fault.branches[1:]) for fault in fitting[0]
            ]
            merged += _merge(within)
        else:
            merged.append(union)
    return merged


def _is_in_branch(branch: list[_Fault], path: KeyPath) -> bool:
    return not any(fault.misses_type and fault.path == path for fault in branch)


def _expected(fault: _Fault) -> list[str]:
    if fault.type == "literal_error":
        return re.split(r", | or ", str(fault.context["expected"]))
    return [_TYPES[fault.type]]


def _length(fault: _Fault) -> str:
    n_given = fault.context["actual_length"]
    if n_given == 0:
        return "is empty"
    if fault.type == "too_short":
        return f"must have at least {fault.context['min_length']} values, not {n_given}"
    return f"must have at most {fault.context['max_length']} values, not {n_given}"


def _subject(path: KeyPath) -> str:
    name = next((part for part in reversed(path) if isinstance(part, str)), "")
    if path and isinstance(path[-1], int):
        return f"a value of {name}"
    return name
