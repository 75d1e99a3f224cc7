"""The order of methods in training: figures 3 and 4 of the paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from claims.claim import Claim, Results, verdict_of
from sfnbench.experiments.race.at_budget import at_budget
from sfnbench.records import Result
from sfnbench.results.cells import Cell
from sfnbench.survival.intervals import Estimate

COST = 200.0  # gradients, on all examples
# arms of figure 4: from the start, and from where momentum SGD stalls
FROM_START = ("MSGD tuned", "|H|", "H", "Gauss-Newton")
FROM_STALL = ("stall, MSGD lr/10", "stall, |H|", "stall, H wide")


def the_order_of_methods(found: Results) -> Claim:
    """Saddle-free Newton first, on three kinds of networks."""
    figures, holds = [], {}
    by_problem: dict[str, list[Result]] = {}
    for result in found.of("mlp_mnist"):
        by_problem.setdefault(result.run.problem.label, []).append(result)
    for problem, results in by_problem.items():
        losses = {r.run.method.label: _final(r) for r in results}
        holds[problem] = _leads(losses, "sfn")
        figures += _lines(f"{problem}, 25 epochs", losses, results)
    for suite in ("autoencoder", "rnn"):
        results = found.of(suite)
        at = {
            line["optimizer"]: line["loss"]
            for line in at_budget(results, "cost", COST)
        }
        losses = {label: _estimate(cell) for label, cell in at.items()}
        for labels, ours, where in (
            (FROM_START, "|H|", suite),
            (FROM_STALL, "stall, |H|", f"{suite}, from the stall"),
        ):
            if not all(label in losses for label in labels):
                continue
            some = {label: losses[label] for label in labels}
            holds[where] = _leads(some, ours)
            figures += _lines(f"{where}, cost {COST:g}", some, results)
    where = dict.fromkeys(line["setting"] for line in figures)
    firsts = {each: _first(figures, each) for each in where}
    leading = [name for name, is_first in holds.items() if is_first]
    return Claim(
        "Saddle-free Newton trains to the lowest loss",
        verdict_of(list(holds.values())),
        f"in {len(leading)} of {len(holds)} settings: {', '.join(leading) or 'none'}",
        "Rule: yes where in every setting the highest of its seeds ends below the lowest "
        "of every rival's"
        " (three seeds of `mlp_mnist`, five of the others: too few for an interval or a test at"
        " 5 %). Small networks are compared at equal epochs, as in the paper, large ones at equal"
        " cost.",
        figures,
        (
            f"Lowest median: {'; '.join(f'{of}: {first}' for of, first in firsts.items())}.",
            "An epoch of a dense Newton method costs some 2 d gradients: the column of cost says"
            " how unequal equal epochs are. Brackets hold the lowest and highest of the seeds.",
        ),
    )


def _lines(where: str, losses: dict[str, Estimate], of: Sequence[Result]) -> list:
    costs = {r.run.method.label: r.race_rows for r in of}
    lines = []
    for label, loss in sorted(losses.items(), key=lambda pair: pair[1].value):
        line = {"setting": where, "method": label}
        line["loss"] = f"{loss.value:.4g} [{loss.low:.4g}, {loss.high:.4g}]"
        if "cost" not in where:
            cost = np.median([row["cost"] for row in costs[label]])
            line["cost in gradients"] = f"{cost:.3g}"
        lines.append(line)
    return lines


def _first(figures: Sequence[Mapping[str, str]], setting: str) -> str:
    """The method with the lowest median in a setting; its lines are in that order."""
    return next(line["method"] for line in figures if line["setting"] == setting)


def _leads(losses: dict[str, Estimate], ours: str) -> bool:
    rivals = [loss for label, loss in losses.items() if label != ours]
    return all(losses[ours].high < rival.low for rival in rivals)


def _final(result: Result) -> Estimate:
    values = np.array([row["final_loss"] for row in result.race_rows], float)
    return Estimate(
        float(np.median(values)), float(values.min()), float(values.max())
    )


def _estimate(cell: object) -> Estimate:
    assert isinstance(cell, Cell)
    assert cell.value is not None
    low, high = cell.low, cell.high
    assert low is not None
    assert high is not None
    return Estimate(cell.value, low, high)
