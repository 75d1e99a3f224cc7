"""Pieces of sentences that messages share."""

import difflib
from collections.abc import Iterable, Sequence


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The tail of an error message: the nearest known word, or a short list of them.

    Empty where neither helps.
    """
    names = sorted(known)
    near = difflib.get_close_matches(word, names, n=1)
    if near:
        return f" (did you mean '{near[0]}'?)"
    return f" (known: {', '.join(names)})" if 0 < len(names) <= 24 else ""


def listed(names: Sequence[str], most: int = 4) -> str:
    """The first few names, and how many more there are.

    >>> listed(["a", "b", "c"], most=2)
    'a, b and 1 more'
    """
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def counted(n: int, what: str) -> str:
    """So many of something, whose plural is regular.

    >>> counted(1, "run"), counted(2, "tuning run")
    ('1 run', '2 tuning runs')
    """
    return f"{n:,} {what}{'' if n == 1 else 's'}"
