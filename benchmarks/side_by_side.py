"""Two ways of doing the same, timed in turn in one process after a warm-up.

What else the machine does meets both alike.
"""

from collections.abc import Callable
from statistics import median
from time import perf_counter


def seconds(*ways: Callable[[], object], rounds: int = 7) -> list[float]:
    """The median time of each way, one call a round."""
    times: list[list[float]] = [[] for _ in ways]
    for way in ways:
        way()
    for _ in range(rounds):
        for way, spent in zip(ways, times, strict=True):
            began = perf_counter()
            way()
            spent.append(perf_counter() - began)
    return [median(spent) for spent in times]
