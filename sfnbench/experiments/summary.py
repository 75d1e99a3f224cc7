"""One table of many results, each read by the table of its experiment."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Sequence

from ..errors import SfnbenchError
from ..records import Result
from ..results.cells import Spread
from ..results.tables import Table, mark_best, where_it_differs
from ..words import did_you_mean
from . import find

ENDED_BY = "ended by"  # the column of limits


def summary(results: Iterable[Result], spread: Spread = "range") -> Table:
    """The rows of all results, the best of each problem marked.

    Of a race one per problem and optimizer: medians over seeds and, in brackets, the lowest and
    highest or with `spread` "interval" the median's interval, from six seeds on. A seed
    that has not escaped counts as later than all that have, so that the median of the escape step
    is exact, or known only to exceed the budget; its brackets are always an interval. A row with a
    seed that broke, diverged or ended worse does not compete, and what ended the runs stands there
    where that differs within a problem. Of a search for critical points one per problem and
    finder, of a throughput measurement one per dtype.
    """
    lines = [line for result in results for line in _lines(result, spread)]
    return where_it_differs(mark_best(lines), ENDED_BY)


def _lines(result: Result, spread: Spread) -> Table:
    own = find(result.run.experiment).table
    if own is not None:
        lines: Table = own.table(result, spread)
        return lines
    run = result.run
    return [
        {
            "problem": run.problem.label,
            "method": run.method.label,
            "status": result.status,
        }
    ]


def matching(
    results: Iterable[Result],
    problems: Sequence[str],
    optimizers: Sequence[str],
    statuses: Sequence[str],
) -> Iterable[Result]:
    """The results of these problems, optimizers (or finders) and statuses; none named, all of them.

    A name is a member's, its label in the suite, or a pattern of either such as ``stall*``; a
    status is that of any seed. SfnbenchError for a name that fits nothing.
    """
    if not (problems or optimizers or statuses):
        # one at a time, as they come: thousands would fill the memory
        return results
    asked = {"problem": problems, "optimizer": optimizers, "status": statuses}
    present: dict[str, set[str]] = {kind: set() for kind in asked}
    picked = []
    for result in results:  # what is left out is not kept
        if all(
            _matches(_names_of_kind(result, kind), patterns, present[kind])
            for kind, patterns in asked.items()
        ):
            picked.append(result)
    for kind, patterns in asked.items():
        for pattern in patterns:
            if not fnmatch.filter(present[kind], pattern):
                hint = did_you_mean(pattern, present[kind])
                raise SfnbenchError(f"no result of {kind} {pattern!r} here{hint}")
    return picked


def _names_of_kind(result: Result, kind: str) -> set[str]:
    """By what a result is found: its problem, its optimizer or its statuses."""
    if kind == "status":
        return {str(result.status), *(row["status"] for row in result.rows)}
    if kind == "problem":
        spec = result.run.problem
    else:
        spec = result.run.method
    return {spec.label, spec.use}


def _matches(names: set[str], patterns: Sequence[str], present: set[str]) -> bool:
    """Whether one of the names fits one of the patterns, if there are any; all are noted."""
    present |= names
    return not patterns or any(
        fnmatch.filter(names, pattern) for pattern in patterns
    )
