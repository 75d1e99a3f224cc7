"""The check of everything read from a results file, made once, so that readers can trust it.

Whatever the bytes, the JSON and its types: ValueError with the reason, or data of the right kind.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache, lru_cache
from itertools import chain
from types import NoneType
from typing import Any, get_args, get_type_hints

import numpy as np

from ..records import ROWS, Facts, Result, Row, Run, Status, columns
from .encoding import to_run
from .json_values import (
    LARGEST,
    all_numbers,
    check_depth,
    check_is_text,
    check_that,
    fits,
    parse_json,
    short,
)

# of columns in results that were made before they were called otherwise
FORMER_NAMES = {"dwell_steps": "steps_near", "n_lanes": "n_sharing"}
_FACTS = {
    name: get_args(hint) or (hint,) for name, hint in get_type_hints(Facts).items()
}
_FACTS["measures"] = (list,)
_COLUMNS = {types for each in (*ROWS, "") for types in columns(each).values()}
_ACCEPTED = {  # a whole number is a number, too
    types: {*types, int} if float in types else {*types}
    for types in (*_COLUMNS, (float, bool, NoneType))
}
_STATUSES = frozenset(map(str, Status))
_NAMES = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
    NoneType: "null",
}


def read_run(text: object) -> Run:
    """The run, with parameters that the program need not understand but can handle."""
    data = parse_json(text, "run")
    check_depth(data, "run", text)
    if not isinstance(data, dict):
        raise ValueError("its run is no mapping")
    try:
        run = to_run(data)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"its run lacks something ({error})") from None
    for spec in (run.problem, run.method):
        check_that(isinstance(spec.params, dict), "parameters", spec.params)
        for name in ("use", "label", "source"):
            check_is_text(getattr(spec, name), name)
    for name in ("suite", "experiment", "dtype", "device"):
        check_is_text(getattr(run, name), name)
    check_that(all(type(seed) is int for seed in run.seeds), "seeds", run.seeds)
    for hashes in (run.code, run.versions):
        check_that(isinstance(hashes, dict), "code", hashes)
        check_that(
            all(isinstance(each, str) for each in hashes.values()), "code", hashes
        )
    check_that(fits(run.timeout_s, (float,)), "timeout", run.timeout_s)
    _check_settings(run)
    return run


def _check_settings(run: Run) -> None:
    settings = run.settings
    check_that(isinstance(settings, dict), "settings", settings)
    budget = settings.get("budget", {})
    check_that(isinstance(budget, dict), "budget", budget)
    check_that(
        all(fits(each, (float, NoneType)) for each in budget.values()),
        "budget",
        budget,
    )
    metrics = settings.get("metrics", [])
    check_that(
        isinstance(metrics, list) and all(map(_is_metric, metrics)),
        "metrics",
        metrics,
    )
    prices = settings.get("prices", {})
    check_that(
        isinstance(prices, dict) and all_numbers(prices.values()), "prices", prices
    )
    if run.experiment == "critical_points":
        energy, cut_off = settings.get("energy"), settings.get("cut_off")
        check_that(isinstance(energy, str), "energy", energy)
        check_that(fits(cut_off, (float,)), "cut_off", cut_off)
    paths = settings.get("paths", [])
    check_that(
        isinstance(paths, list) and all(map(_is_path, paths)), "paths", paths
    )


def _is_metric(metric: object) -> bool:
    """Whether it is a metric's name and when it is measured: steps alone, in an old result."""
    if not (isinstance(metric, list) and len(metric) == 2):
        return False
    name, every = metric
    return isinstance(name, str) and isinstance(every, int | dict)


def _is_path(path: object) -> bool:
    """Whether it is a path on which searches start: an optimizer, and whether it climbs."""
    optimizer = None
    if isinstance(path, dict):
        optimizer = path.get("optimizer")
    if (
        not isinstance(path, dict)
        or not isinstance(optimizer, dict)
        or "up" not in path
    ):
        return False
    is_named = isinstance(optimizer.get("label"), str)
    return is_named and isinstance(optimizer.get("params"), dict)


def read_environment(text: object) -> dict[str, Any]:
    """The circumstances of a result; the facts of its problem are of the right types."""
    environment = parse_json(text, "environment")
    check_depth(environment, "environment", text)
    if not isinstance(environment, dict):
        raise ValueError(f"its environment is {short(environment)}, not a mapping")
    check_that(
        fits(environment.get("commit"), (str, NoneType)),
        "commit",
        environment.get("commit"),
    )
    prices = environment.get("prices", {})
    check_that(
        isinstance(prices, dict) and all_numbers(prices.values()), "prices", prices
    )
    facts = environment.get("problem", {})
    check_that(isinstance(facts, dict | None), "problem", facts)
    for name, value in (facts or {}).items():
        if name in _FACTS and not fits(value, _FACTS[name]):
            raise ValueError(f"its problem's {name} is {short(value)}")
    measures = (facts or {}).get("measures", [])
    check_that(
        all(isinstance(name, str) for name in measures), "measures", measures
    )
    return environment


def read_rows(text: object, run: Run, facts: Facts) -> tuple[Row, ...]:
    """The rows: each has the columns of its experiment, of their types; others are free."""
    rows = parse_json(text, "rows")
    if not isinstance(rows, list):
        raise ValueError(f"its rows are {short(rows)}, not a list")
    rows = [_with_names_of_today(row) for row in rows]
    for i, row in enumerate(rows):
        if not isinstance(row, dict):
            raise ValueError(f"its row {i} is {short(row)}, not a mapping")
    if not all(
        _is_of_sound_kind(row, run.experiment, facts.measures) for row in rows
    ):
        check_columns(rows, run.experiment, facts)
    for status in {row["status"] for row in rows if "status" in row}:
        if status not in _STATUSES:
            raise ValueError(f"its rows have the status {short(status)}")
    return tuple(rows)


def _with_names_of_today(row: Any) -> Any:
    """A row with each column of a former name under its name of today."""
    if not isinstance(row, dict) or FORMER_NAMES.keys().isdisjoint(row):
        return row
    return {FORMER_NAMES.get(name, name): value for name, value in row.items()}


def _is_of_sound_kind(
    row: Mapping[str, Any], experiment: str, measures: tuple[str, ...]
) -> bool:
    """Whether columns and types of a row are those that nearly all rows have."""
    kinds = tuple(map(type, row.values()))
    whole = _whole_numbers(tuple(row), kinds, experiment, measures)
    return whole is not None and all(
        -LARGEST < row[name] < LARGEST for name in whole
    )


@lru_cache(maxsize=256)
def _whole_numbers(
    names: tuple[str, ...],
    kinds: tuple[type, ...],
    experiment: str,
    measures: tuple[str, ...],
) -> tuple[str, ...] | None:
    """The columns with whole numbers; None where a column lacks, or may be wrong."""
    known = _known_columns(experiment, measures)
    pairs = list(zip(names, kinds, strict=True))
    is_sound = _required_columns(experiment) <= {*names} and all(
        kind in _ACCEPTED[known[name]]
        if name in known
        else kind not in (dict, list)
        for name, kind in pairs
    )
    if not is_sound:
        return None
    return tuple(name for name, kind in pairs if kind is int and name in known)


def _known_columns(
    experiment: str, measures: Iterable[str]
) -> dict[str, tuple[type, ...]]:
    types = (float, bool, NoneType)
    return {**dict.fromkeys(measures, types), **columns(experiment)}


@cache
def _required_columns(experiment: str) -> frozenset[str]:
    """The columns that no row can do without."""
    known = columns(experiment).items()
    return frozenset(name for name, types in known if NoneType not in types) - {
        "status"
    }


def check_columns(
    rows: Sequence[Mapping[str, Any]], experiment: str, facts: Facts
) -> None:
    """ValueError for the first that lacks or is wrong."""
    required = _required_columns(experiment)
    for i, row in enumerate(rows):
        if not required <= row.keys():
            lacking = ", ".join(sorted(required - row.keys()))
            raise ValueError(f"its row {i} lacks {lacking}")
    known = _known_columns(experiment, facts.measures)
    for name in dict.fromkeys(chain.from_iterable(rows)):
        _check_column(rows, name, known.get(name))


def _check_column(
    rows: Sequence[Mapping[str, Any]], name: str, types: tuple[type, ...] | None
) -> None:
    """By the types that occur, because there may be many rows."""
    occurring = {type(row[name]) for row in rows if name in row}
    if types is None:
        if not occurring.isdisjoint((dict, list)):
            check_depth([row.get(name) for row in rows], name)
        return
    if occurring <= _ACCEPTED[types] - {int}:
        return
    for i, row in enumerate(rows):
        if name in row and not fits(row[name], types):
            expected = " or ".join(_NAMES[each] for each in types)
            raise ValueError(
                f"its row {i} has {name} {short(row[name])}, not {expected}"
            )


def check_series(result: Result) -> None:
    """Series are numbers, with a row each of the result's rows, and steps that were made."""
    series = result.series
    for name, array in series.items():
        if array.dtype.kind not in "fiub":
            raise ValueError(f"its series {name} holds no numbers")
    if result.run.experiment == "race":
        _check_race(result)
    elif result.run.experiment in ROWS:
        _check_n_rows(result, series)


def _check_n_rows(result: Result, names: Iterable[str]) -> None:
    n_rows = len(result.rows)
    for name in names:
        if result.series[name].ndim != 2 or len(result.series[name]) != n_rows:
            raise ValueError(
                f"its series {name} has another number of rows than its table"
            )


def _check_race(result: Result) -> None:
    """Metrics with their steps, everything else with an entry for each step of `seconds`."""
    series = result.series
    measured = [
        name
        for name in series
        if f"{name}.step" in series or name.endswith(".step")
    ]
    if not measured and "seconds" not in series:
        return
    others = [
        name for name in series if not name.startswith(("theta.", "landscape"))
    ]
    _check_n_rows(result, others)
    n_steps = 0
    if "seconds" in series:
        n_steps = series["seconds"].shape[1]
    for name in others:
        if name.endswith(".step"):
            _check_steps(series, name, n_steps)
        elif name not in measured and series[name].shape[1] != n_steps:
            raise ValueError(f"its series {name} has another length than seconds")
    if any((row["escape_step"] or 0) >= n_steps for row in result.race_rows):
        raise ValueError("its escape is later than its series")


def _check_steps(series: Mapping[str, np.ndarray], name: str, n_steps: int) -> None:
    steps = series[name]
    values = series.get(name.removesuffix(".step"))
    if values is None or values.shape != steps.shape:
        raise ValueError(f"its series {name} fits no values")
    known = steps[~np.isnan(steps)]
    if len(known) and not (known.min() >= 0 and known.max() < n_steps):
        raise ValueError(f"its series {name} has steps that were not made")
