"""How the time to escape grows with one number by which runs differ.

A family is found, not declared: the runs of a suite whose member has one parameter that differs,
and nothing else that does. Where that parameter sets the number of parameters, the factor is the
dimension. A spectrum is taken apart into what theory speaks of: dimension, index, how many
eigenvalues are zero, the lowest and the highest.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from ...records import Result
from ...results.tables import Table
from ...survival.intervals import Floats
from ...theory.escape_laws import gradient_descent_median_escape, steps_an_e_fold
from .fits import LOGARITHM, POWER, Form, Point, fit, in_words, slope_of

SPECTRUM = "eigenvalues"  # a parameter of that name is a list of eigenvalues
FAR = 3  # times as long as anything known: a budget that would squeeze an axis
NAMES_OF_DRAWS = (
    "rotation",
    "realization",
)  # numbers that say which draw it is, not how much of anything
SAID = {  # of factors whose name does not say it
    ("problem", "radius"): "distance from the saddle",
    ("problem", "index"): "index of the saddle",
    ("problem", "lowest"): "|lowest eigenvalue|",
    ("problem", "highest"): "highest eigenvalue",
    ("optimizer", "noise"): "noise of the gradient",
}


FORMS = {("problem", "radius"): LOGARITHM}  # of all others a power


@dataclass(frozen=True)
class Family:
    """Runs that differ in one number of their `kind` of member, a series for each member of the other kind."""

    kind: Literal["problem", "optimizer"]
    use: str  # the member whose number it is
    factor: str
    fixed: dict[str, Any]  # everything else that sets it apart
    series: dict[
        str, list[tuple[float, Result]]
    ]  # label of the other member -> by factor, ascending

    @property
    def form(self) -> Form:
        """The form of its law."""
        return FORMS.get((self.kind, self.factor), POWER)

    @property
    def said(self) -> str:
        """The factor in words."""
        return SAID.get((self.kind, self.factor), self.factor.replace("_", " "))


def families(results: Iterable[Result]) -> list[Family]:
    """The families among runs of races that start at a saddle.

    Those with two values of their factor or more.

    The base of several one-factor series belongs to each of them. A factor is positive: a logarithm
    has no zero.
    """
    found: dict[tuple[str, str, str, str], Family] = {}
    for result in results:
        if not (result.rows and result.environment.get("problem", {}).get("has_saddle")):
            continue
        for kind, varied, other in _views(result):
            numbers, rest = _taken_apart(varied.params)
            for factor, x in numbers.items():
                fixed = {**rest, **numbers}
                del fixed[factor]
                alike = json.dumps(
                    [fixed, result.run.settings, result.run.dtype, result.run.device],
                    sort_keys=True,
                )
                family = found.setdefault(
                    (kind, varied.use, factor, alike), Family(kind, varied.use, factor, fixed, {})
                )
                family.series.setdefault(other.label, []).append((x, result))
    several = [
        family
        for family in found.values()
        if max(len(_xs(runs)) for runs in family.series.values()) > 1
    ]
    for family in several:
        for runs in family.series.values():
            runs.sort(key=lambda run: run[0])
    return list(map(_by_dimension, several))


def law(result: Result) -> float | None:
    """The exact median escape step of gradient descent on a quadratic saddle over all starts.

    None of any other run.
    """
    problem, optimizer = result.run.problem, result.run.method
    if optimizer is None or (problem.use, optimizer.use) != (
        "quadratic_saddle",
        "gradient_descent",
    ):
        return None
    of = {**problem.params, **optimizer.params}
    asked: list[Any] = [of.get(name) for name in (SPECTRUM, "radius", "lr", "escape_drop")]
    if None in asked or of.get("start_at") is not None or of["lr"] * max(of[SPECTRUM]) > 2:
        return None
    return gradient_descent_median_escape(*asked)


def drawn(
    results: Sequence[Result], places: Mapping[str, Mapping[str, int]]
) -> list[dict[str, Any]]:
    """What is drawn of each family, as plain JSON values without infinity.

    `places` of labels by kind of member.

    `x` of a series are its factors, `y` its medians with `low` and `high`; one that is `beyond` the
    budget stands at it. `fit` and `law` are lines; `said` is the fit in words. `top` is the edge of
    the steps' axis, which a budget far beyond everything known must not squeeze where it is not
    logarithmic.
    """
    found = families(results)
    shown = []
    for family in found:
        rivals = [
            other.fixed
            for other in found
            if (other.use, other.factor) == (family.use, family.factor)
        ]
        different = [
            name
            for name, value in family.fixed.items()
            if any(each.get(name) != value for each in rivals)
        ]
        where = "".join(f", {name}={family.fixed[name]}" for name in different)
        series = [_series(family, label, places) for label in family.series]
        shown.append(
            {
                "title": f"{family.use}{where}: escape against {family.said}",
                "kind": family.kind,
                "x": family.said,
                "power": family.form.is_power,
                "slope": family.form.slope,
                "series": series,
                "top": _top(family, series),
            }
        )
    return shown


def table(figures: Iterable[Mapping[str, Any]]) -> Table:
    """A row a line: the number of its medians, its slope, whether it holds, and the exact law.

    Brackets hold the 95 % interval over seeds, from four points and six seeds on; a slope without
    one says by how much whole steps may have moved it.
    """
    return [
        {
            "family": figure["title"],
            "of": one["name"],
            "medians": f"{len(one['x']) - sum(one['beyond'])} of {len(one['x'])}",
            "fit": figure["slope"],
            "slope, 95 % over seeds": one["said"],
            "exact law": one["law_said"],
        }
        for figure in figures
        for one in figure["series"]
    ]


# -- inside ----------------------------------------------------------------------------------------


def _views(result: Result) -> Iterator[tuple[Literal["problem", "optimizer"], Any, Any]]:
    problem, optimizer = result.run.problem, result.run.method
    yield "problem", problem, optimizer
    yield "optimizer", optimizer, problem


def _taken_apart(params: Mapping[str, Any]) -> tuple[dict[str, float], dict[str, Any]]:
    """The positive numbers among parameters, and the rest."""
    numbers: dict[str, float] = {}
    rest: dict[str, Any] = {}
    for name, value in params.items():
        if name == SPECTRUM and isinstance(value, list):
            parts = {"dimension": len(value), "index": sum(each < 0 for each in value)}
            parts |= {"zeros": value.count(0), "lowest": -min(value), "highest": max(value)}
        else:
            parts = {name: value}
        for part, size in parts.items():
            is_number = isinstance(size, int | float) and not isinstance(size, bool)
            counts = is_number and size > 0 and part not in (*NAMES_OF_DRAWS, "zeros")
            (numbers if counts else rest)[part] = size
    return numbers, rest


def _xs(runs: Iterable[tuple[float, Any]]) -> set[float]:
    return {x for x, _ in runs}


def _by_dimension(family: Family) -> Family:
    """The same family by the number of parameters, where its factor decides that."""
    runs = [run for each in family.series.values() for run in each]
    sizes = {x: result.environment["problem"]["n_parameters"] for x, result in runs}
    if family.kind == "optimizer" or len(set(sizes.values())) < len(sizes):
        return family
    series = {
        label: [(float(sizes[x]), result) for x, result in each]
        for label, each in family.series.items()
    }
    return replace(family, factor="dimension", series=series)


def _series(family: Family, label: str, places: Mapping[str, Mapping[str, int]]) -> dict[str, Any]:
    runs, form = family.series[label], family.form
    points = [Point.of(x, result) for x, result in runs]
    medians = [point.escapes.median() for point in points]
    fitted = fit(points, form)
    x = np.array([point.x for point in points])
    known = [law(result) for _, result in runs]
    exact = np.array([step for step in known if step is not None and math.isfinite(step)])
    run = runs[0][1].run
    found = {
        "name": label,
        "o": places["optimizer"][run.method.label],
        "p": places["problem"][run.problem.label] if family.kind == "optimizer" else None,
        "x": x.tolist(),
        "beyond": [math.isinf(median.value) for median in medians],
        "fit": None
        if fitted.why_not
        else _line(x, form.steps(fitted.intercept + fitted.slope.value * form.along(x))),
        "said": in_words(fitted, form),
        "law": _line(x, exact) if len(exact) == len(x) else None,
        "law_said": _law_said(family, runs, x, exact),
    }
    for name in ("y", "low", "high"):
        values = [getattr(median, "value" if name == "y" else name) for median in medians]
        values = [
            median.value if math.isnan(value) else value
            for value, median in zip(values, medians, strict=True)
        ]
        found[name] = [
            min(value, point.budget) for value, point in zip(values, points, strict=True)
        ]
    return found


def _top(family: Family, series: Sequence[Mapping[str, Any]]) -> float:
    """Above all budgets.

    On an axis that is not logarithmic, of those far beyond everything known, a little above that.
    """
    known = [
        high
        for each in series
        for high, beyond in zip(each["high"], each["beyond"], strict=True)
        if not beyond
    ]
    budgets = [y for each in series for y in each["y"]]
    far = known and max(budgets) > FAR * max(known)
    return 1.1 * max(known) if far and not family.form.is_power else max(budgets)


def _law_said(
    family: Family, runs: Sequence[tuple[float, Result]], x: Floats, exact: Floats
) -> str:
    """The slope of the exact law: known for the distance, else fitted to the law's own steps."""
    if len(exact) < len(x) or len(x) < 2:
        return ""
    if family.factor == "radius":
        run = runs[0][1].run
        return f"{steps_an_e_fold(run.method.params['lr'], min(run.problem.params[SPECTRUM])):.4g}"
    return slope_of(x, exact, family.form)


def _line(x: Floats, y: Floats) -> dict[str, list[float]]:
    return {"x": x.tolist(), "y": y.tolist()}
