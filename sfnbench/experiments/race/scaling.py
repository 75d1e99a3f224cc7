"""How the time to escape grows.

Runs that are alike but for one number, a line through their medians, and the law.

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
from typing import Any, Literal, NamedTuple

import numpy as np

from ...records import Result
from ...results.tables import Table
from ...survival.escapes import Escapes
from ...survival.intervals import MIN_RUNS, N_RESAMPLES, Estimate, Floats, resampled_interval
from ...survival.lines import censored_lines
from ...theory.escape_laws import gradient_descent_median_escape, steps_an_e_fold

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


@dataclass(frozen=True)
class Form:
    """What the law of a factor is, and on which axes it is a straight line.

    The factor's own axis is logarithmic.
    """

    slope: str  # what the slope of that line is called
    is_power: bool  # steps ~ x^slope; otherwise steps = intercept - slope ln x

    def along(self, x: Floats) -> Floats:
        """The abscissa of a factor."""
        return np.log(x) if self.is_power else -np.log(x)

    def up(self, steps: Floats) -> Floats:
        """The ordinate of steps; what took none has no logarithm, and is nan."""
        with np.errstate(divide="ignore"):
            up = np.log(steps) if self.is_power else steps
        return np.where(np.isneginf(up), math.nan, up)

    def steps(self, up: Floats) -> Floats:
        """The steps of an ordinate."""
        return np.exp(up) if self.is_power else up


POWER = Form("exponent", is_power=True)
LOGARITHM = Form("steps an e-fold nearer", is_power=False)
FORMS = {("problem", "radius"): LOGARITHM}  # of all others a power


class Point(NamedTuple):
    """One run of a family: how far the factor is, and when each seed escaped."""

    x: float
    escapes: Escapes
    seeds: Sequence[int]
    budget: float  # steps up to which a median would have been seen

    @classmethod
    def of(cls, x: float, result: Result) -> Point:
        """Of a run.

        A seed that got stuck would never escape: it counts as watched for the whole budget.
        """
        budget = float(result.run.settings.get("budget", {}).get("steps", 0))
        rows = result.race_rows
        watched = [row["steps"] if row["status"] == "ok" else budget for row in rows]
        return cls(
            x,
            Escapes.of(rows),
            [row["seed"] for row in rows],
            max(each or budget for each in watched),
        )


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


class Fit(NamedTuple):
    """A straight line through medians, on the axes of its form."""

    slope: Estimate  # nan where there is no line
    intercept: float
    why_not: str  # why there is none; empty where there is one
    # by a median beyond the budget that it would miss: the truth is steeper, and no interval knows
    # it
    held: bool = False


def fit(points: Sequence[Point], form: Form) -> Fit:
    """The line through the Kaplan-Meier medians of a series.

    A median beyond the budget holds it up, if need be.

    Its slope's interval is by bootstrap over seeds, the same ones drawn at every point, for seeds
    are paired: they share their draws. There is none for fewer than five seeds, as with medians.
    """
    seeds = sorted({seed for point in points for seed in point.seeds})
    drawn = np.random.default_rng(0).multinomial(
        len(seeds), np.full(len(seeds), 1 / len(seeds)), N_RESAMPLES
    )
    counts = np.vstack([np.ones_like(seeds), drawn])  # every seed once, and then the resamples
    medians = [
        point.escapes.resampled_medians(counts[:, np.searchsorted(seeds, point.seeds)])
        for point in points
    ]
    x, bounds = (
        np.array([getattr(point, name) for point in points], float) for name in ("x", "budget")
    )
    lines = censored_lines(form.along(x), form.up(np.stack(medians, 1)), form.up(bounds))
    slope, intercept = float(lines.slope[0]), float(lines.intercept[0])
    if math.isnan(slope):
        return Fit(
            Estimate(slope, math.nan, math.nan),
            intercept,
            _why_not(np.array([each[0] for each in medians])),
        )
    beyond = np.isinf([each[0] for each in medians])
    held = bool((beyond & (intercept + slope * form.along(x) < form.up(bounds))).any())
    few = min(len(point.seeds) for point in points) < MIN_RUNS
    around = (
        Estimate(slope, math.nan, math.nan) if few else resampled_interval(slope, lines.slope[1:])
    )
    return Fit(around, intercept, "", held)


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
    """A row a line.

    To how many medians it was fitted, its slope with the 95 % interval, and the exact law's where
    known.
    """
    return [
        {
            "family": figure["title"],
            "of": one["name"],
            "medians": f"{len(one['x']) - sum(one['beyond'])} of {len(one['x'])}",
            "fit": figure["slope"],
            "slope": one["said"],
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


def _why_not(medians: Floats) -> str:
    n_known = int((np.isfinite(medians) & (medians > 0)).sum())
    if len(medians) == 1:
        return "no fit: one point"
    if np.isinf(medians).all():
        return "no fit: beyond the budget everywhere"
    return f"no fit: {n_known} of {len(medians)} medians within the budget"


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
        "said": fitted.why_not or _said(fitted),
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
    """The slope of the exact law.

    Known for the distance, fitted to its own steps for every other factor.
    """
    if len(exact) < len(x) or len(x) < 2:
        return ""
    if family.factor == "radius":
        run = runs[0][1].run
        return f"{steps_an_e_fold(run.method.params['lr'], min(run.problem.params[SPECTRUM])):.4g}"
    nothing = np.full(len(x), math.nan)
    return (
        f"{censored_lines(family.form.along(x), family.form.up(exact)[None], nothing).slope[0]:.3g}"
    )


def _line(x: Floats, y: Floats) -> dict[str, list[float]]:
    return {"x": x.tolist(), "y": y.tolist()}


def _said(fitted: Fit) -> str:
    held = ", held up by the budget" if fitted.held else ""
    value, low, high = (
        f"{round(each, 9) + 0:.3g}" if math.isfinite(each) else f"{each:g}" for each in fitted.slope
    )  # no -1e-16
    return f"{value}{held}" if math.isnan(fitted.slope.low) else f"{value} [{low}, {high}]{held}"
