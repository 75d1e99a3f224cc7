"""Why a stored run is stale: everything that decides its numbers, before and now."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from ..core.cost import PRICES
from ..records import Run

Path = tuple[str, ...]

_ABSENT = object()
_WIDTH = 60  # of a value in a message


def why_stale(stored: Run, planned: Run) -> str:
    """One line: the slot, and each thing that decides the numbers and differs.

    >>> from sfnbench.records import Run, Spec
    >>> problem = Spec("mlp", "digits", {}, "")
    >>> methods = [Spec("sfn", "sfn", {"lr": lr}, "") for lr in (0.1, 0.2)]
    >>> before, now = [Run("s", "race", problem, method, (0,), {}) for method in methods]
    >>> why_stale(before, now)
    'sfn on digits: lr was 0.1, is 0.2'
    """
    return f"{planned.title}: {'; '.join(differences(stored, planned).values())}"


def differences(before: Run, now: Run) -> dict[Path, str]:
    """Differences that decide the numbers: the path in `Run.decisive`, and a sentence."""
    old = dict(_leaves(_complete(before.decisive)))
    new = dict(_leaves(_complete(now.decisive)))
    found: dict[Path, str] = {}
    # an earlier run without code is of a version whose ids rested on less, hashed otherwise
    if now.code and not before.code:
        found["code",] = "it was not recorded with which harness it was run"
        old = _without_code(old)
        new = _without_code(new)
    for path in dict.fromkeys([*old, *new]):
        if any(
            path == other[: len(path)] and len(other) > len(path)
            for other in (*old, *new)
        ):
            continue  # an empty mapping on one side: the entries of the other are named
        was = old.get(path, _ABSENT)
        is_ = new.get(path, _ABSENT)
        if was is _ABSENT or is_ is _ABSENT or json.dumps(was) != json.dumps(is_):
            found[path] = _sentence(path, was, is_)
    return found


def _without_code(leaves: Mapping[Path, Any]) -> dict[Path, Any]:
    of_code = {("method", "source"), ("problem", "source")}
    return {
        path: value
        for path, value in leaves.items()
        if path not in of_code and path[0] not in ("code", "versions")
    }


def _complete(decisive: dict[str, Any]) -> dict[str, Any]:
    """With the settings of a race in the form of today.

    Earlier versions of format 3 left out what a suite did not give, and wrote a metric's steps as
    a bare number.
    """
    settings = decisive["settings"]
    if not isinstance(settings.get("budget"), dict):
        return decisive
    budget = {"seconds": None, "cost": None, "epochs": None, **settings["budget"]}
    prices = {**PRICES, **settings.get("prices", {})}
    metrics = [
        [name, {"steps": every} if isinstance(every, int) else every]
        for name, every in settings.get("metrics", [])
    ]
    complete = {**settings, "budget": budget, "prices": prices, "metrics": metrics}
    return {**decisive, "settings": complete}


def _leaves(data: dict[str, Any], path: Path = ()) -> Iterator[tuple[Path, Any]]:
    for key, value in data.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, (*path, str(key)))
        else:
            yield (*path, str(key)), value


def _sentence(path: Path, was: object, now: object) -> str:
    match path:
        case ("method", "source"):
            return "its source changed"
        case ("problem", "source"):
            return "the problem's source changed"
        case ("code", name):
            return f"the {name} changed"
        case ("format",):
            return f"the format of results was {was}, is {now}"
        case ("method", "params", *rest):
            name = ".".join(rest)
        case ("problem", "params", *rest):
            name = f"the problem's {'.'.join(rest)}"
        case ("settings" | "versions", *rest):
            name = ".".join(rest)
        case _:
            name = ".".join(path)
    if was is _ABSENT:
        return f"{name} was not set, is {_shortened(now)}"
    if now is _ABSENT:
        return f"{name} was {_shortened(was)}, is not set"
    return f"{name} was {_shortened(was)}, is {_shortened(now)}"


def _shortened(value: object) -> str:
    if isinstance(value, list | tuple):
        value = list(value)
        are_whole = all(type(each) is int for each in value)  # seeds
        is_long = len(value) > 2 and are_whole
        if is_long and value == list(range(value[0], value[0] + len(value))):
            return f"{value[0]} to {value[-1]}"
    if isinstance(value, str):
        text = value
    else:
        text = json.dumps(value)
    if len(text) <= _WIDTH:
        return text
    return f"{text[: _WIDTH - 3]}..."
