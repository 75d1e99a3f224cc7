"""Which methods leave which kind of saddle: a row per kind and method."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from ..core.problem import Problem
from ..errors import SfnbenchError
from ..members import registry
from ..records import Result, Spec
from ..results.cells import TableEntry
from ..results.tables import Table
from .critical_points.table import flag_share


def by_kind(results: Iterable[Result]) -> Table:
    """The shares of seeds that escaped and that were captured, over all problems of a kind.

    Their intervals are Wilson's, with every seed of every problem counted alike. A run that broke
    as a whole counts as one whose seeds have not escaped. Strict saddles come first. SfnbenchError
    where no race starts at a saddle whose kind is known.
    """
    raced = [each for each in results if each.run.experiment == "race"]
    problems = {
        _name(each): each.run.problem for each in raced if each.facts.has_saddle
    }
    kinds = {name: kind_of_saddle(problem) for name, problem in problems.items()}
    groups: dict[tuple[str, str], list[Result]] = {}
    for result in raced:
        if kind := kinds.get(_name(result)):
            groups.setdefault((kind, result.run.method.label), []).append(result)
    lines = [
        _kind_line(kind, label, group) for (kind, label), group in groups.items()
    ]
    if not lines:
        raise SfnbenchError(
            "--by kind: no race here starts at a saddle whose kind is known"
        )
    return sorted(lines, key=_strict_first)


def kind_of_saddle(spec: Spec) -> str:
    """The kind of the saddle that races on a problem start at, as the problem states it today.

    Empty where the problem states none, or can no longer be made.
    """
    try:
        problem: Problem = registry.build("problem", spec.use, spec.params)
        return problem.saddle_kind
    except Exception:
        # the problem may be of another version, of a plugin that is not here, or lack its data
        return ""


def _name(result: Result) -> str:
    """The problem by all that decides its saddle, apart from its label."""
    problem = result.run.problem
    return json.dumps([problem.use, problem.params], sort_keys=True)


def _kind_line(
    kind: str, label: str, results: Sequence[Result]
) -> dict[str, TableEntry]:
    escaped: list[bool] = []
    captured: list[bool] = []
    for result in results:
        rows = result.race_rows
        escaped += [row["escape_step"] is not None for row in rows]
        if not rows:
            escaped += [False] * len(result.run.seeds)
        captured += [row["captured"] for row in rows if row["captured"] is not None]
    return {
        "kind": kind,
        "optimizer": label,
        "problems": len(set(map(_name, results))),
        "escaped": flag_share(escaped),
        "captured": flag_share(captured),
    }


def _strict_first(line: dict[str, TableEntry]) -> tuple[bool, str]:
    kind = str(line["kind"])
    return not kind.startswith("strict"), kind
