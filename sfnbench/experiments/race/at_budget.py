"""Results at an equal budget.

Where each run stood when it had used up so many steps, so much cost or so much time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ...core.cost import PRICES, QUESTIONS, price
from ...records import Result
from ...results.tables import Table
from ..summary import Spread, middle

AXES = ("steps", "cost", "seconds")
BUDGETS = (*AXES, "epochs")


def at_budget(
    results: Iterable[Result], axis: str, budget: float, spread: Spread = "range"
) -> Table:
    """One row per problem and optimizer.

    Each metric as it was last measured within the budget, median and `spread`.

    The loss, and every other metric with a series, over seeds. `reached` says how many seeds went
    as far as that: one that ended before counts with its last value, and one that diverged as
    infinite.
    """
    return [_row(result, axis, budget, spread) for result in results]


def axis_of(result: Result, axis: str) -> np.ndarray:
    """What each seed had used up after each step, (S, steps + 1), NaN after its end.

    Steps, cost in gradients, seconds, or epochs: a step is that share of one which its largest
    batch is of all examples.
    """
    seconds = result.series["seconds"]
    if axis == "seconds":
        return seconds
    if axis == "steps":
        return np.where(np.isnan(seconds), np.nan, np.arange(seconds.shape[1]))
    passes = _by_kind(result, "passes")
    if axis == "epochs":
        n = np.diff(_by_kind(result, "calls"), axis=1)
        shares = np.divide(np.diff(passes, axis=1), n, out=np.zeros_like(n), where=n > 0).max(-1)
        shares[np.isnan(seconds[:, 1:])] = np.nan
        return np.concatenate([np.zeros_like(seconds[:, :1]), shares.cumsum(1)], axis=1)
    return price(
        passes,
        result.environment["problem"]["n_parameters"],
        result.environment.get("prices", PRICES),
    )


def repriced(result: Result, prices: Mapping[str, float]) -> Result:
    """The same with every cost by other prices than `sfnbench.cost.PRICES`.

    Of a race, series and all.
    """
    if prices == PRICES or "passes.grad" not in result.series:
        return result
    result = replace(result, environment={**result.environment, "prices": dict(prices)})
    costs = axis_of(result, "cost")
    rows = []
    for row, spent in zip(result.rows, costs, strict=True):
        left = row.get("escape_step")
        new = {
            "cost": float(np.nanmax(spent)),
            "escape_cost": None if left is None else float(spent[int(left)]),
        }
        rows.append(
            {name: new.get(name, value) if name in row else value for name, value in row.items()}
        )
    return replace(result, rows=tuple(rows))


def _by_kind(result: Result, what: str) -> np.ndarray:
    """The calls or passes of each seed after each step, (S, steps + 1, 4)."""
    return np.stack([result.series[f"{what}.{kind}"] for kind in QUESTIONS], -1)


def _row(result: Result, axis: str, budget: float, spread: Spread) -> dict[str, Any]:
    run = result.run
    row: dict[str, Any] = {"problem": run.problem.label, "optimizer": run.method.label}
    names = [name.removesuffix(".step") for name in result.series if name.endswith(".step")]
    if not names:  # the run broke before it began
        return {**row, "reached": f"0/{len(run.seeds)}", "loss": ""}
    used = axis_of(result, axis)
    row["reached"] = f"{int((np.nanmax(used, 1) >= budget * (1 - 1e-9)).sum())}/{len(run.seeds)}"
    broken = np.array([seed.get("status") in ("diverged", "error") for seed in result.rows])
    for name in names:
        row[name.replace("_", " ")] = middle(
            _last_values(result, name, used, budget, broken), spread=spread
        )
    return row


def _last_values(
    result: Result, name: str, used: np.ndarray, budget: float, broken: np.ndarray
) -> list[float | None]:
    values: list[float | None] = []
    for seed, steps in enumerate(result.series[f"{name}.step"]):
        at = steps[np.isfinite(steps)].astype(int)
        within = at[used[seed, at] <= budget * (1 + 1e-9)]
        ended = broken[seed] and np.nanmax(used[seed]) <= budget
        if ended:
            values.append(np.inf)
        else:
            values.append(
                float(result.series[name][seed, len(within) - 1]) if len(within) else None
            )
    return values
