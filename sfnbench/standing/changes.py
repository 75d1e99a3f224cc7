"""What of the code behind archived runs has changed since."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ..errors import SfnbenchError
from ..members.identity import identify, source_hash, unchanging
from ..records import Result, Run
from ..results.staleness import differences


def changes_since(
    results: Iterable[Result],
) -> tuple[dict[str, list[str]], list[str]]:
    """What changed of each method, by label, and what changed of all: a problem, the harness.

    Refactoring counts as well: a hash of source cannot tell it from another number.
    """
    by_method: dict[str, dict[str, None]] = {}
    of_all: dict[str, None] = {}
    with unchanging():
        for result in results:
            own = by_method.setdefault(result.run.method.label, {})
            for path, sentence in _changes_of(result.run).items():
                if path[0] == "code":
                    of_all[sentence] = None
                elif path[0] == "problem":
                    of_all[f"the source of {result.run.problem.label} changed"] = (
                        None
                    )
                else:
                    own[sentence] = None
    return {name: list(said) for name, said in by_method.items()}, list(of_all)


# -- inside ----------------------------------------------------------------------------------------


def _changes_of(run: Run) -> dict[tuple[str, ...], str]:
    """By path in `Run.decisive`; a member or a package that is not here is one, too."""
    problem = run.problem
    method = run.method
    try:
        now = replace(
            run,
            problem=replace(
                problem, source=source_hash("problem", problem.use, problem.params)
            ),
            method=replace(
                method, source=source_hash("optimizer", method.use, method.params)
            ),
        )
        return differences(run, identify(now, "optimizer"))
    except (SfnbenchError, ImportError) as error:
        return {("method", "source"): f"not here: {error}"}
