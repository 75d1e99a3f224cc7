"""Steps a second of each optimizer, and those that its FLOPs would allow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ....arrays import Floats
from ....records import Result
from ....report.figure import Axis, Figure, Panel, Trace

RATE_COLUMNS = ("steps_per_s_q1", "steps_per_s", "steps_per_s_q3", "flops_share")
FILLED = 0.85  # of a dtype's place along the axis, by the bars of all optimizers
NOTES = (
    "Median over blocks, with error bars to the quartiles. The line above a bar: the steps a second"
    " that its FLOPs would allow at the FLOP/s of one large matrix product, and the share of them"
    " that is reached. Without counted FLOPs there is no line.",
)


@dataclass(frozen=True, eq=False)
class Rates:
    """Steps a second of one run, a number for each dtype."""

    dtypes: list[str]
    low: Floats
    middle: Floats
    high: Floats
    share: (
        Floats  # of the FLOP/s of a matrix product; nan where no FLOPs were counted
    )

    @property
    def ceiling(self) -> Floats:
        """The steps a second at those FLOP/s: the FLOPs of a step cancel."""
        return self.middle / self.share


def extract(result: Result) -> Rates | None:
    """The rates of a run; None where it was not timed."""
    rows = [row for row in result.timings if row.get("steps_per_s") is not None]
    if not rows:
        return None
    columns = [
        np.array([row.get(name) for row in rows], float) for name in RATE_COLUMNS
    ]
    return Rates([row["dtype"] for row in rows], *columns)


def figures(runs: Sequence[tuple[Result, Rates]]) -> Iterator[Figure]:
    """A figure for each problem."""
    problems: dict[str, dict[str, Rates]] = {}
    for result, rates in runs:
        problems.setdefault(result.run.problem.label, {})[
            result.run.method.label
        ] = rates
    for problem, by_method in problems.items():
        yield Figure(
            f"{problem} throughput", problem, [_rate_panel(by_method)], problem
        )


# -- inside ----------------------------------------------------------------------------------------


def _rate_panel(by_method: dict[str, Rates]) -> Panel:
    dtypes = list(
        dict.fromkeys(dtype for each in by_method.values() for dtype in each.dtypes)
    )
    width = FILLED / len(by_method)
    traces = []
    for i, (method, rates) in enumerate(by_method.items()):
        middle = (i - (len(by_method) - 1) / 2) * width
        x = middle + np.array([dtypes.index(dtype) for dtype in rates.dtypes])
        traces += [
            _rate_bars(method, x, rates, 0.9 * width),
            _ceilings(method, x, rates, width),
        ]
    ends = [
        each
        for rates in by_method.values()
        for each in (rates.low, rates.high, rates.ceiling)
    ]
    lowest = float(np.nanmin(np.concatenate(ends)))
    highest = float(np.nanmax(np.concatenate(ends)))
    return Panel(
        "rates",
        "Steps a second",
        Axis(
            "dtype", range=(-0.5, len(dtypes) - 0.5), ticks=list(enumerate(dtypes))
        ),
        Axis(
            "steps a second", "log", (lowest / 5, 6 * highest)
        ),  # room for bars, and for words
        traces,
        NOTES,
        best_first=sorted(
            by_method, key=lambda method: -float(by_method[method].middle.max())
        ),
    )


def _rate_bars(method: str, x: Floats, rates: Rates, width: float) -> Trace:
    text = ["" if np.isfinite(share) else "no FLOPs" for share in rates.share]
    return Trace(
        x,
        rates.middle,
        method,
        "",
        "bars",
        rates.low,
        rates.high,
        width=width,
        text=text,
    )


def _ceilings(method: str, x: Floats, rates: Rates, width: float) -> Trace:
    """A line above each bar, from its left to its right, with a gap to the next."""
    n = len(x)
    across = np.stack([x - width / 2, x, x + width / 2, np.full(n, np.nan)], 1)
    upright = np.stack([*[rates.ceiling] * 3, np.full(n, np.nan)], 1)
    text = [
        ["", f"{100 * share:.2g} %" if np.isfinite(share) else "", "", ""]
        for share in rates.share
    ]
    words = [each for four in text for each in four]
    label = f"{method}: what its FLOPs would allow"
    return Trace(
        across.ravel(), upright.ravel(), method, label, text=words, in_legend=False
    )
