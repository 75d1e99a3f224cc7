"""Results at an equal budget.

Where each run stood when it had used up so many steps, so much cost or so much time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from ...core.cost import PRICES, QUESTIONS, price
from ...errors import SfnbenchError
from ...records import RaceRow, Result, Status
from ...results.cells import Spread, TableEntry, share
from ...results.tables import Table, mark_best
from .table import circumstances, middle

AXES = ("steps", "cost", "seconds")
BUDGETS = (*AXES, "epochs")
REACHED = "among those all of whose seeds reached the budget, and none ended worse"
ALIKE = ", with as many in a batch"


def at_budget(
    results: Iterable[Result], axis: str, budget: float, spread: Spread = "range"
) -> Table:
    """One row per problem and optimizer: each metric as last measured within the budget.

    Median and `spread` over seeds of every metric with a series. `reached` says how many seeds went
    as far as that: one that ended before counts with its last value, and one that diverged as
    infinite. In seconds, only runs with as many seeds in a batch compete, on one kind of machine.
    """
    return mark_best(
        [_budget_line(result, axis, budget, spread) for result in results]
    )


def budget_from(at: str) -> tuple[str, float]:
    """The axis and number of ``--at AXIS=NUMBER``; SfnbenchError for any other text."""
    axis, _, number = at.partition("=")
    try:
        budget = float(number)
    except ValueError:
        budget = 0.0
    if axis not in BUDGETS or not 0 < budget < float("inf"):
        raise SfnbenchError(
            f"--at {at}: expected one of {', '.join(BUDGETS)}, an equals sign and a "
            "number, as in cost=500"
        )
    return axis, budget


def axis_of(result: Result, axis: str) -> np.ndarray:
    """The amount that each seed had used up after each step, (S, steps + 1), NaN after its end.

    Steps, cost in gradients, seconds, or epochs: a step is that share of one which its largest
    batch is of all examples.
    """
    seconds = result.series["seconds"]
    if axis == "seconds":
        return seconds
    if axis == "steps":
        return np.where(np.isnan(seconds), np.nan, np.arange(seconds.shape[1]))
    passes = _counts_of_kinds(result, "passes")
    if axis == "epochs":
        n = np.diff(_counts_of_kinds(result, "calls"), axis=1)
        shares = np.divide(
            np.diff(passes, axis=1), n, out=np.zeros_like(n), where=n > 0
        ).max(-1)
        shares[np.isnan(seconds[:, 1:])] = np.nan
        return np.concatenate(
            [np.zeros_like(seconds[:, :1]), shares.cumsum(1)], axis=1
        )
    return price(
        passes,
        result.facts.n_parameters or 0,
        result.environment.get("prices", PRICES),
    )


def repriced(result: Result, prices: Mapping[str, float]) -> Result:
    """The same with every cost by other prices than `sfnbench.cost.PRICES`.

    Of a race, series and all.
    """
    if prices == PRICES or "passes.grad" not in result.series:
        return result
    result = replace(
        result, environment={**result.environment, "prices": dict(prices)}
    )
    costs = axis_of(result, "cost")
    pairs = zip(result.race_rows, costs, strict=True)
    return replace(
        result, rows=tuple(_repriced(row, spent) for row, spent in pairs)
    )


def _repriced(row: RaceRow, spent: np.ndarray) -> RaceRow:
    """The row with the cost (n,) that it had spent after each step."""
    if row["cost"] is None:
        return row
    left = row["escape_step"]
    escape_cost = None if left is None else float(spent[left])
    return {**row, "cost": float(np.nanmax(spent)), "escape_cost": escape_cost}


def _counts_of_kinds(result: Result, what: str) -> np.ndarray:
    """The calls or passes of each seed after each step, (S, steps + 1, 4)."""
    return np.stack([result.series[f"{what}.{kind}"] for kind in QUESTIONS], -1)


def _budget_line(
    result: Result, axis: str, budget: float, spread: Spread
) -> dict[str, TableEntry]:
    run = result.run
    n_seeds = len(result.run.seeds)
    line: dict[str, TableEntry] = {
        "problem": run.problem.label,
        "optimizer": run.method.label,
    }
    names = [
        name.removesuffix(".step")
        for name in result.series
        if name.endswith(".step")
    ]
    if not names:  # the run broke before it began
        return {**line, "reached": share(0, n_seeds), "loss": None}
    used = axis_of(result, axis)
    n_reached = int((np.nanmax(used, 1) >= budget * (1 - 1e-9)).sum())
    line["reached"] = share(n_reached, n_seeds)
    broken = [
        row["status"] in (Status.DIVERGED, Status.ERROR) for row in result.rows
    ]
    is_rival = n_reached == n_seeds and not _ended_worse(result, used, budget)
    rivals, league = REACHED, ""
    if axis == "seconds":
        rivals, league = REACHED + ALIKE, circumstances(result)
    for name in names:
        cell = middle(_last_values(result, name, used, budget, broken), spread)
        if cell and is_rival and _has_best(result, name):
            cell = replace(cell, score=cell.value, rivals=rivals, league=league)
        line[name.replace("_", " ")] = cell
    return line


def _ended_worse(result: Result, used: np.ndarray, budget: float) -> bool:
    """Whether a seed had ended within the budget, with a loss far above its start."""
    ended = np.nanmax(used, 1) <= budget * (1 + 1e-9)
    statuses = [row["status"] for row in result.rows]
    return bool((ended & (np.array(statuses) == Status.WORSE)).any())


def _has_best(result: Result, name: str) -> bool:
    """Whether the lowest is the best; a loss without a floor says when a race was stopped."""
    facts = result.facts
    return name in facts.measures or (
        name == "loss" and facts.bounded_below is not False
    )


def _last_values(
    result: Result,
    name: str,
    used: np.ndarray,
    budget: float,
    broken: Sequence[bool],
) -> list[float | None]:
    values: list[float | None] = []
    for seed, steps in enumerate(result.series[f"{name}.step"]):
        at = steps[np.isfinite(steps)].astype(int)
        within = at[used[seed, at] <= budget * (1 + 1e-9)]
        if broken[seed] and np.nanmax(used[seed]) <= budget:
            values.append(np.inf)
        elif len(within):
            values.append(float(result.series[name][seed, len(within) - 1]))
        else:
            values.append(None)
    return values
