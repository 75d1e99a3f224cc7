"""Series of results as flat columns: a row for each run, seed and step."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..records import Result
from .race.at_budget import axis_of

OF_THE_PROBLEM = "landscape"  # series of that name belong to no seed
CURVE_CIRCUMSTANCES = ("suite", "experiment", "problem", "optimizer", "run_id")
# a column by name: an array (n,), or one value for all n rows
CurveBlock = dict[str, Any]


def blocks(results: Iterable[Result]) -> Iterator[CurveBlock]:
    """The curves of each result as columns of one length, blank ones left out.

    ``seed`` and ``step`` (of a race; else the place in the series), then each series by its name; a
    metric that is measured now and then is nan in between. Races have ``cost``, in gradients. The
    first two parameters of plane problems, ``theta.0`` and ``theta.1``, are there for the seeds
    that kept them.
    """
    for result in results:
        found = _curve_block(result)
        if len(found["seed"]):
            yield found


def curves(results: Iterable[Result]) -> dict[str, list[Any]]:
    """All curves as columns of one length, nan where a result has no such series."""
    found = list(blocks(results))
    names = column_names(found)
    return {
        name: [x for each in found for x in curve_column(each, name)]
        for name in names
    }


def column_names(found: Iterable[Mapping[str, Any]]) -> list[str]:
    """The columns of all blocks, in the order in which they come up."""
    return list(dict.fromkeys(name for each in found for name in each))


def curve_column(block: CurveBlock, name: str) -> list[Any]:
    """One column of a block, nan where it has none."""
    n = len(block["seed"])
    value = block.get(name, np.nan)
    if isinstance(value, np.ndarray):
        return value.tolist()
    return [value] * n


# -- inside ----------------------------------------------------------------------------------------


def _curve_block(result: Result) -> CurveBlock:
    run = result.run
    seeds = np.array([row["seed"] for row in result.rows], dtype=np.int64)  # (S,)
    at = "step" if run.experiment == "race" else "place"
    wide = _wide(result, len(seeds))
    n = max((array.shape[1] for array in wide.values()), default=0)
    whole = {
        name: _padded_rows(array, len(seeds), n) for name, array in wide.items()
    }
    known = np.zeros((len(seeds), n), dtype=bool)
    for array in whole.values():
        known |= ~np.isnan(array)
    i, k = np.nonzero(known)
    values = (
        run.suite,
        run.experiment,
        run.problem.label,
        run.method.label,
        run.id,
    )
    block: CurveBlock = dict(zip(CURVE_CIRCUMSTANCES, values, strict=True))
    block |= {"seed": seeds[i], at: k.astype(np.int64)}
    return block | {name: array[i, k] for name, array in whole.items()}


def _wide(result: Result, n_rows: int) -> dict[str, NDArray[np.float64]]:
    """Every series (S, n) by step; S and n may be fewer than the rows and steps of others."""
    found: dict[str, NDArray[np.float64]] = {}
    for name, array in result.series.items():
        is_of_seeds = array.ndim == 2 and 0 < array.shape[0] <= n_rows
        if (
            name.endswith(".step")
            or name.startswith(OF_THE_PROBLEM)
            or not is_of_seeds
        ):
            continue
        steps = result.series.get(f"{name}.step")
        found[name] = array if steps is None else _by_step(array, steps)
    if "passes.grad" in found:
        found["cost"] = axis_of(result, "cost")
    return found


def _by_step(values: NDArray[np.float64], steps: NDArray[np.float64]) -> Any:
    """Values (S, k) measured at steps (S, k) as an array (S, last step + 1), nan in between."""
    known = np.isfinite(steps)
    last = int(steps[known].max()) if known.any() else -1
    found = np.full((len(values), last + 1), np.nan)
    i, _ = np.nonzero(known)
    found[i, steps[known].astype(int)] = values[known]
    return found


def _padded_rows(
    array: NDArray[np.float64], n_rows: int, n: int
) -> NDArray[np.float64]:
    whole = np.full((n_rows, n), np.nan)
    whole[: array.shape[0], : array.shape[1]] = array
    return whole
