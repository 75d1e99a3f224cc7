"""JSON read from a results file: values of the right kind, or ValueError with the reason."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

MOST_LEVELS = 40  # of lists and mappings in one another
LARGEST = 2**63  # whole numbers below it
SHOWN = 30  # characters of a wrong value in a message
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def parse_json(text: object, name: str) -> Any:
    """The JSON in a column of that name."""
    if not isinstance(text, str):
        raise ValueError(f"its {name} is no text")
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError(f"its {name} is nested too deeply") from None
    if not text.isascii() or ("\\u" in text and _SURROGATE.search(text)):
        check_text(json.dumps(value, ensure_ascii=False), name)
    return value


def check_text(text: object, name: str) -> str:
    """Text that can be printed: half of a surrogate pair cannot."""
    found = check_is_text(text, name)
    try:
        found.encode()
    except UnicodeEncodeError:
        raise ValueError(f"its {name} is not valid Unicode") from None
    return found


def fits(value: object, types: Sequence[type]) -> bool:
    """Whether a JSON value is of one of the types; a whole number is a number, true is not."""
    if isinstance(value, int) and not isinstance(value, bool):
        return (int in types or float in types) and -LARGEST < value < LARGEST
    return type(value) in types


def check_is_text(text: object, name: str) -> str:
    """The value of that name, where it is text."""
    if not isinstance(text, str):
        raise ValueError(f"its {name} is {short(text)}, not text")
    return text


def all_numbers(values: Iterable[Any]) -> bool:
    """Whether all are finite numbers."""
    return all(fits(value, (float,)) and math.isfinite(value) for value in values)


def check_that(is_right: bool, name: str, value: object) -> None:
    """ValueError with the value of that name, unless it is right."""
    if not is_right:
        raise ValueError(f"its {name}: {short(value)}")


def check_depth(value: object, name: str, text: object = None) -> None:
    """ValueError where lists and mappings are nested more deeply than readers can follow.

    A JSON text with few brackets answers that at once.
    """
    if isinstance(text, str) and text.count("{") + text.count("[") <= MOST_LEVELS:
        return
    level: list[object] = [value]
    for _ in range(MOST_LEVELS):
        inner: list[object] = []
        for each in level:
            if isinstance(each, dict):
                inner += each.values()
            elif isinstance(each, list):
                inner += each
        if not inner:
            return
        level = inner
    raise ValueError(f"its {name} is nested more than {MOST_LEVELS} levels deep")


def short(value: object) -> str:
    """A value in a message, in ASCII."""
    text = ascii(value)
    if len(text) <= SHOWN:
        return text
    return f"{text[: SHOWN - 3]}..."
