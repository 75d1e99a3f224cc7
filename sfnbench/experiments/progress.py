"""How an experiment says how far it is."""

from __future__ import annotations

from collections.abc import Callable

# called now and then with the fraction that is done
Progress = Callable[[float], None]


def part_of(progress: Progress, i: int, n: int) -> Progress:
    """The progress of part i of n equal parts, reported as that of the whole."""
    return lambda fraction: progress((i + fraction) / n)
