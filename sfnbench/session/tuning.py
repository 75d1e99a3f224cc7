"""Fair tuning.

The same settings budget for every optimizer, chosen by seeds that no result is made with.

An *open* run is one whose optimizer still has ranges. Its trials are runs like any other, at points
of the unit cube that are the same for every optimizer and problem; the trial with the lowest median
of the metric gives the ranges their values. Budgets are equal: as many trials for each, each trial
with the same seeds and the same budget, in steps as the suite's or, with ``tune: {budget: {cost:
N}}``, in cost.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import yaml

from ..errors import SuiteError
from ..experiments.keys import Tune
from ..members.identity import identify
from ..records import Result, Run, Status, number
from ..results.writing import written_whole
from ..suite.ranges import MAX_RANGES, Range, Tunable
from ..suite.reading import TUNING_SEEDS, Suite
from ..words import counted

TUNED_FILE = "tuned.yaml"
_N_DRAWS = (1, 2, 5, *(10 * 2**i for i in range(20)))


@dataclass(frozen=True)
class Tuned:
    """The outcome of tuning one optimizer on one problem."""

    run: Run  # the open one
    tune: Tune
    # the values tried, a name of each range -> value
    trials: tuple[dict[str, Any], ...]
    # of each trial, the median of the metric over tuning seeds, infinite where it broke
    losses: tuple[float, ...]
    cost: float = 0.0  # what all trials spent, in gradients
    # Of the metric: the median loss at the start of trials; nan where it is no loss.
    start: float = math.nan
    # The problem's loss has no floor: it says when a race was stopped, not how it went.
    is_bottomless: bool = False

    @property
    def best(self) -> dict[str, Any] | None:
        """The values of the trial with the lowest loss, the first of equals.

        None where no loss is finite.
        """
        i = min(range(len(self.losses)), key=self.losses.__getitem__)
        if math.isfinite(self.losses[i]):
            return self.trials[i]
        return None

    @property
    def edges(self) -> dict[str, str]:
        """The parameters whose best value lies at an end of its range, and which end.

        Low or high.
        """
        if self.best:
            ends = {
                name: each.edge(self.best[name])
                for name, each in _ranges(self.run).items()
            }
        else:
            ends = {}
        return {name: end for name, end in ends.items() if end}

    @property
    def settled(self) -> Run:
        """The run with the best values.

        Where all trials broke, one that holds the ranges as they are written.
        """
        optimizer = self.run.method
        assert isinstance(optimizer, Tunable)
        if self.best is not None:
            return replace(self.run, method=optimizer.settled(self.best))
        # the run keeps how it was tuned: another tuning may find something
        tuned_by = {**self.run.settings, "tune": _tune_keys(self.tune)}
        return replace(self.run, method=optimizer.settled({}), settings=tuned_by)

    @property
    def broken(self) -> str:
        """Why there is no best trial; empty where there is one."""
        if self.best:
            return ""
        trials = f"no trial of {len(self.trials)} has a finite {self.tune.metric}"
        if self.tune.metric.endswith("loss"):
            trials += " that is not far above its start,"
        seeds = counted(self.tune.seeds, "tuning seed")
        return f"{trials} over {seeds}: look at their ranges, and at tuning/ beside the results"

    @property
    def remarks(self) -> list[str]:
        """Remarks for its reader.

        Winners at an end of their range, and a metric that says little here.
        """
        ranges = {
            name: _range_text(each) for name, each in _ranges(self.run).items()
        }
        said = [
            f"{name} is at the {end} end of {ranges[name]}: widen the range"
            for name, end in self.edges.items()
        ]
        if self.best and min(self.losses) >= self.start:
            said.insert(
                0,
                f"the best trial ends at {min(self.losses):.6g}, no better than its start:"
                " no trial has shown that the method works here; change the ranges",
            )
        if self.is_bottomless and self.tune.metric.endswith("loss"):
            said.append(
                f"{self.tune.metric} ranks badly where the loss has no floor: "
                "escape_cost would do better"
            )
        return said


def sample(tune: Tune) -> np.ndarray:
    """Points of the unit cube, (trials, MAX_RANGES).

    An optimizer with n ranges takes the first n coordinates.

    With more trials the same points come first, whatever the sampler. So raising `trials` costs
    only the new ones.
    """
    rng = np.random.default_rng(tune.seed)
    if tune.sampler == "random":
        return rng.random((tune.trials, MAX_RANGES))
    from scipy.stats import qmc  # takes a second to import

    if tune.sampler == "halton":
        return qmc.Halton(MAX_RANGES, seed=rng).random(tune.trials)
    # Sobol' points are balanced in powers of two: scipy warns of other numbers
    return qmc.Sobol(MAX_RANGES, seed=rng).random_base2(
        math.ceil(math.log2(tune.trials))
    )[: tune.trials]


def settings(run: Run, tune: Tune) -> tuple[dict[str, Any], ...]:
    """The values that the ranges of an open run take in each trial, by name."""
    ranges = _ranges(run)
    return tuple(
        {
            name: each.value(u)
            for (name, each), u in zip(
                ranges.items(), point[: len(ranges)], strict=True
            )
        }
        for point in sample(tune).tolist()
    )


def trials(run: Run, tune: Tune) -> tuple[Run, ...]:
    """The trials of an open run, in the sampler's order.

    SuiteError where it would be tuned by seeds of its own.
    """
    optimizer = run.method
    assert isinstance(optimizer, Tunable)
    assert tune.budget is not None
    seeds = range(TUNING_SEEDS, TUNING_SEEDS + tune.seeds)
    if max(run.seeds) >= TUNING_SEEDS:
        raise SuiteError(
            f"seeds from {TUNING_SEEDS} on are for tuning alone, not {max(run.seeds)}"
        )
    metrics = [
        metric for metric in run.settings["metrics"] if metric[0] == "loss"
    ] or [["loss", {"steps": 1}]]
    frame = replace(
        run,
        seeds=tuple(seeds),
        settings={
            **run.settings,
            "budget": tune.budget.model_dump(),
            "metrics": metrics,
        },
    )
    frame = identify(frame, "optimizer")  # it measures the loss alone
    made = []
    for values in settings(run, tune):
        label = optimizer.label + "".join(
            f" {name}={value}" for name, value in values.items()
        )
        made.append(
            replace(frame, method=replace(optimizer.settled(values), label=label))
        )
    return tuple(made)


def winners(
    runs: Iterable[Run], tune: Tune, results: Mapping[str, Result]
) -> tuple[Tuned, ...]:
    """The outcome of tuning for each open run whose trials all have a result.

    Results are by the trial's id.
    """
    found = []
    for run in runs:
        done = [results.get(trial.id) for trial in trials(run, tune)]
        losses = tuple(
            median_over_seeds(result, tune.metric)
            for result in done
            if result is not None
        )
        if len(losses) == len(done):
            kept = [result for result in done if result is not None]
            is_bottomless = any(
                result.facts.bounded_below is False for result in kept
            )
            cost = math.fsum(
                row["cost"] or 0.0 for result in kept for row in result.race_rows
            )
            start = math.nan
            if tune.metric.endswith("loss"):
                start = _start_loss(kept)
            tried = settings(run, tune)
            found.append(
                Tuned(run, tune, tried, losses, cost, start, is_bottomless)
            )
    return tuple(found)


def _start_loss(trials: Iterable[Result]) -> float:
    """The median loss at the starts of all trials."""
    rows = [row for result in trials for row in result.race_rows]
    known = [row["start_loss"] for row in rows if row["start_loss"] is not None]
    return median(known) if known else math.nan


def median_over_seeds(result: Result, metric: str) -> float:
    """The median of a metric over seeds.

    A seed that diverged or failed, or has no finite number, counts as infinite.
    """
    values = [
        number(row, metric) if Status(row["status"]).sound else None
        for row in result.rows
    ]
    finite = [
        value if value is not None and math.isfinite(value) else math.inf
        for value in values
    ]
    return median(finite) if finite else math.inf


def expected_best(losses: Sequence[float], k: int) -> float:
    """The expected lowest of k different trials, drawn at random from those that were made.

        E = sum_i  l_(i) C(n - i, k - 1) / C(n, k),     l_(1) <= ... <= l_(n)

    Dodge et al. 2019, "Show Your Work" (EMNLP), draw with replacement, which is biased; without,
    the estimate is unbiased (Tang et al. 2020, "Showing Your Work Doesn't Always Work", ACL). It is
    infinite while k trials can all have failed.

    >>> expected_best([3.0, 1.0, 2.0], 2)  # of the pairs, two hold the 1
    1.3333333333333333
    """
    n = len(losses)
    if not 1 <= k <= n:
        raise ValueError(
            f"k must be between 1 and the number of losses, {n}, not {k}"
        )
    weights = [math.comb(n - i, k - 1) / math.comb(n, k) for i in range(1, n + 1)]
    return math.fsum(
        weight * loss
        for weight, loss in zip(weights, sorted(losses), strict=True)
        if weight > 0
    )


def write_report(suite: Suite, tuned: Iterable[Tuned], folder: Path) -> Path:
    """Write ``tuned.yaml`` for people to review.

    The best values, and the whole spread that they are the best of. StoreError where it cannot be
    written.
    """
    assert suite.tune is not None
    head = (
        f"# Written by `sfnbench run {suite.name}`, and read by the report alone. "
        "Numbers are medians over tuning seeds.\n"
        "# cost: what all trials spent, in gradients; equal for all where `tune` has a "
        "budget of cost.\n"
        "# expected_best: the lowest median to expect of so many trials, drawn from "
        "these without replacement.\n"
    )
    report = {
        "tune": _tune_keys(suite.tune),
        "tuned": [_entry(each) for each in tuned],
    }
    text = yaml.safe_dump(
        report,
        sort_keys=False,
        default_flow_style=None,
        allow_unicode=True,
        width=10**6,
    )
    path = folder / TUNED_FILE
    with written_whole(path) as partial:
        partial.write_text(head + text, encoding="utf-8")
    return path


# -- inside ----------------------------------------------------------------------------------------


def _ranges(run: Run) -> dict[str, Range]:
    assert isinstance(run.method, Tunable)
    return run.method.ranges


def _range_text(each: Range) -> str:
    return f"{{{each.scale}: {list(each.values)}}}"


def _tune_keys(tune: Tune) -> dict[str, Any]:
    return tune.model_dump(mode="json")


def _entry(tuned: Tuned) -> dict[str, Any]:
    losses = tuned.losses
    n = len(tuned.losses)
    entry: dict[str, Any] = {
        "problem": tuned.run.problem.label,
        "optimizer": tuned.run.method.label,
    }
    if tuned.broken:
        entry["broken"] = tuned.broken
    entry |= {"params": tuned.best, tuned.tune.metric: _six_digits(min(losses))}
    entry |= {
        "trials": n,
        "failed": sum(math.isinf(loss) for loss in losses),
        "cost": _six_digits(tuned.cost),
    }
    if tuned.remarks:
        entry["remarks"] = tuned.remarks
    draws = [*takewhile(lambda k: k < n, _N_DRAWS), n]
    entry["expected_best"] = {
        k: _six_digits(expected_best(losses, k)) for k in draws
    }
    order = sorted(range(n), key=losses.__getitem__)
    entry["spread"] = [
        {**tuned.trials[i], tuned.tune.metric: _six_digits(losses[i])}
        for i in order
    ]
    return entry


def _six_digits(loss: float) -> float:
    return float(f"{loss:.6g}")
