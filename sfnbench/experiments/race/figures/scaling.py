"""How the time to escape grows with one factor, on axes that make its law a straight line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ....records import Result
from ....report.figure import Axis, Figure, Panel, Symbol, Trace
from ..families import Family
from ..scaling import Growth, growths

MOST_TICKS = 8  # one for each factor, unless there are more
# a budget of over so many times anything known would squeeze an axis
MOST_BEYOND = 3


def extract(result: Result) -> bool:
    """Nothing beyond the rows."""
    return True


def figures(runs: Sequence[tuple[Result, bool]]) -> Iterator[Figure]:
    """A figure for each family with a median within the budget."""
    for title, family, series in growths([result for result, _ in runs]):
        if all(each.is_beyond.all() for each in series):
            continue
        yield Figure(title, title, [_growth_panel(title, family, series)])


def top(family: Family, series: Sequence[Growth]) -> float:
    """The highest steps to show: a budget far beyond all that is known must not squeeze the rest.

    A logarithmic axis has room for it.
    """
    budgets = max(float(each.medians.max()) for each in series)
    known = [
        high for each in series for high in each.high[~each.is_beyond].tolist()
    ]
    if known and budgets > MOST_BEYOND * max(known) and not family.form.is_power:
        return 1.1 * max(known)
    return budgets


# -- inside ----------------------------------------------------------------------------------------


def _growth_panel(title: str, family: Family, series: Sequence[Growth]) -> Panel:
    highest = top(family, series)
    traces = [trace for each in series for trace in _growth_traces(each, highest)]
    notes = [
        "Kaplan-Meier medians with 95 % intervals.",
        f"Legend: {family.form.slope}.",
    ]
    if any(each.is_beyond.any() for each in series):
        notes.append("Hollow triangle: the median is beyond the budget.")
    if any(each.law is not None for each in series):
        notes.append("Thin grey line: the exact law.")
    factors = sorted({float(x) for each in series for x in each.x})
    ticks = None
    if len(factors) <= MOST_TICKS:
        ticks = [(x, f"{x:g}") for x in factors]
    return Panel(
        "scaling",
        title,
        Axis(family.factor_title, "log", ticks=ticks),
        Axis("median escape step", "log" if family.form.is_power else "linear"),
        traces,
        notes,
        has_legend=True,
    )


def _growth_traces(growth: Growth, highest: float) -> Iterator[Trace]:
    """The line of one series with its medians, and the law; the first of them is in the legend."""
    label = f"{growth.label}: {growth.slope}"
    x = growth.x
    y = np.minimum(growth.medians, highest)
    known = ~growth.is_beyond
    is_new = True
    if not growth.fit.why_not:
        yield Trace(x, growth.line, growth.label, label)
        is_new = False
    if known.any():
        ends = growth.low[known], growth.high[known]
        yield Trace(
            x[known],
            y[known],
            growth.label,
            label,
            "points",
            *ends,
            "circle",
            in_legend=is_new,
        )
        is_new = False
    if not known.all():
        x = x[~known]
        y = y[~known]
        hollow: Symbol = "triangle-up-open"
        yield Trace(
            x, y, growth.label, label, "points", symbol=hollow, in_legend=is_new
        )
    if growth.law is not None:
        yield Trace(
            growth.x,
            growth.law,
            label=f"its exact law: {growth.law_slope}",
            width=1,
        )
