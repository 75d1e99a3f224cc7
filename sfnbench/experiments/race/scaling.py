"""How the time to escape grows in each family: a line through the medians, and the exact law."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...arrays import Flags, Floats
from ...records import Result
from ...results.tables import Table
from ...theory.escape_laws import gradient_descent_median_escape, steps_an_e_fold
from .families import SPECTRUM, Family, families
from .fits import Fit, Form, Point, fit, fit_in_words, slope_of


@dataclass(frozen=True, eq=False)
class Growth:
    """One series of a family: its medians at n factors, the line through them, and the law."""

    label: str  # of the member that does not vary
    form: Form
    x: Floats  # (n,)
    medians: Floats  # (n,); the budget where the median is beyond it
    low: Floats  # (n,) 95 % intervals, likewise
    high: Floats
    is_beyond: Flags  # (n,)
    fit: Fit
    law: Floats | None  # (n,) exact medians of escape
    law_slope: str  # empty where there is none

    @property
    def slope(self) -> str:
        """The slope in words, or why there is none."""
        return fit_in_words(self.fit, self.form)

    @property
    def line(self) -> Floats:
        """The steps of the fitted line at each factor; nan where there is no fit."""
        return self.form.steps(
            self.fit.intercept + self.fit.slope.value * self.form.along(self.x)
        )


def growths(results: Sequence[Result]) -> list[tuple[str, Family, list[Growth]]]:
    """The title of every family with its series."""
    found = families(results)
    return [
        (
            family.title(found),
            family,
            [_growth(family, label) for label in family.series],
        )
        for family in found
    ]


def law(result: Result) -> float | None:
    """The exact median escape step of gradient descent on a quadratic saddle over all starts.

    None of any other run.
    """
    problem = result.run.problem
    method = result.run.method
    if (problem.use, method.use) != ("quadratic_saddle", "gradient_descent"):
        return None
    params = {**problem.params, **method.params}
    known: list[Any] = [
        params.get(name) for name in (SPECTRUM, "radius", "lr", "escape_drop")
    ]
    if None in known or params.get("start_at") is not None:
        return None
    if params["lr"] * max(params[SPECTRUM]) > 2:
        return None
    return gradient_descent_median_escape(*known)


def table(found: Iterable[tuple[str, Family, list[Growth]]]) -> Table:
    """A row for each line: the number of its medians, its slope, whether it holds, the exact law.

    Brackets hold the 95 % interval over seeds, from four points and six seeds on; a slope without
    one says by how much whole steps may have moved it.
    """
    return [
        {
            "family": title,
            "of": each.label,
            "medians": f"{(~each.is_beyond).sum()} of {len(each.x)}",
            "fit": family.form.slope,
            "slope, 95 % over seeds": each.slope,
            "exact law": each.law_slope,
        }
        for title, family, series in found
        for each in series
    ]


# -- inside ----------------------------------------------------------------------------------------


def _growth(family: Family, label: str) -> Growth:
    runs = family.series[label]
    points = [Point.of(x, result) for x, result in runs]
    # medians: (n, 3)
    medians = np.array([point.escapes.median() for point in points], float)
    value, low, high = medians.T
    budgets = np.array([point.budget for point in points])
    x = np.array([point.x for point in points], float)
    steps = np.array([law(result) or math.nan for _, result in runs], float)
    exact = steps if np.isfinite(steps).all() else None
    return Growth(
        label,
        family.form,
        x,
        np.minimum(value, budgets),
        np.minimum(np.where(np.isnan(low), value, low), budgets),
        np.minimum(np.where(np.isnan(high), value, high), budgets),
        np.isinf(value),
        fit(points, family.form),
        exact,
        _law_slope(family, runs[0][1], x, exact) if len(x) > 1 else "",
    )


def _law_slope(
    family: Family, result: Result, x: Floats, exact: Floats | None
) -> str:
    """The slope of the exact law of gradient descent; empty where there is none.

    Known for the distance and for the noise, else fitted to the law's own steps.
    """
    run = result.run
    is_noise = (family.use, family.factor) == ("noisy_saddle", "noise")
    if exact is None and not (is_noise and run.method.use == "gradient_descent"):
        return ""
    if exact is not None and family.factor != "radius":
        return slope_of(x, exact, family.form)
    return f"{steps_an_e_fold(run.method.params['lr'], min(run.problem.params[SPECTRUM])):.4g}"
