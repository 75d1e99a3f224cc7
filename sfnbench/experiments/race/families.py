"""Families of races: runs that differ in one number and in nothing else.

A family is found, not declared. Where its number sets how many parameters there are, the factor is
the dimension. A spectrum is taken apart into what theory speaks of: dimension, index, how many
eigenvalues are zero, the lowest and the highest.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from ...records import Result, Spec
from .fits import LOGARITHM, POWER, QUIETER, Form

SPECTRUM = "eigenvalues"  # a parameter of that name is a list of eigenvalues
# these parameters say which draw it is, not how much of anything
NAMES_OF_DRAWS = ("rotation", "realization")
FACTOR_TITLES = {  # of factors whose name says too little
    ("problem", "radius"): "distance from the saddle",
    ("problem", "index"): "index of the saddle",
    ("problem", "lowest"): "|lowest eigenvalue|",
    ("problem", "highest"): "highest eigenvalue",
    ("problem", "noise"): "noise of the gradient",
    ("optimizer", "noise"): "noise of the gradient",
}

VariedKind = Literal["problem", "optimizer"]
Series = list[tuple[float, Result]]  # runs by factor, ascending


@dataclass(frozen=True)
class Family:
    """Runs whose member of a `kind` differs in one number, with a series for each other member."""

    kind: VariedKind
    use: str  # the member whose number it is
    factor: str
    fixed: dict[str, Any]  # everything else that sets it apart
    series: dict[str, Series]  # by label of the other member

    @property
    def form(self) -> Form:
        """The form of its law: a power of every factor but the distance and the noise."""
        if (self.kind, self.factor) == ("problem", "radius"):
            return LOGARITHM
        if (self.kind, self.factor) == ("problem", "noise"):
            return QUIETER
        return POWER

    @property
    def factor_title(self) -> str:
        """The factor in words."""
        return FACTOR_TITLES.get(
            (self.kind, self.factor), self.factor.replace("_", " ")
        )

    def title(self, others: Iterable[Family]) -> str:
        """The family in words, with the fixed values that tell it from others of its factor."""
        same = (self.use, self.factor)
        rivals = [each.fixed for each in others if (each.use, each.factor) == same]
        apart = [
            f", {name}={value}"
            for name, value in self.fixed.items()
            if any(fixed.get(name) != value for fixed in rivals)
        ]
        return f"{self.use}{''.join(apart)}: escape against {self.factor_title}"


def families(results: Iterable[Result]) -> list[Family]:
    """The families of races that start at a saddle, with two values of their factor or more.

    The base of several one-factor series belongs to each of them. A factor is positive, as a
    logarithm has no zero.
    """
    found: dict[tuple[str, str, str, str], Family] = {}
    for result in results:
        if not (result.rows and result.facts.has_saddle):
            continue
        run = result.run
        setting = json.dumps([run.settings, run.dtype, run.device], sort_keys=True)
        for kind, varied, other in _views(result):
            numbers, rest = _taken_apart(varied.params)
            for factor, x in numbers.items():
                fixed = {**rest, **numbers}
                del fixed[factor]
                key = kind, varied.use, factor, _fixed_text(fixed, setting)
                new = Family(kind, varied.use, factor, fixed, {})
                series = found.setdefault(key, new).series
                series.setdefault(other.label, []).append((x, result))
    return [
        _by_dimension(family) for family in found.values() if _has_several(family)
    ]


# -- inside ----------------------------------------------------------------------------------------


def _views(result: Result) -> Iterator[tuple[VariedKind, Spec, Spec]]:
    problem = result.run.problem
    method = result.run.method
    yield "problem", problem, method
    yield "optimizer", method, problem


def _taken_apart(
    params: Mapping[str, Any],
) -> tuple[dict[str, float], dict[str, Any]]:
    """The positive numbers among parameters, and the rest."""
    numbers: dict[str, float] = {}
    rest: dict[str, Any] = {}
    for name, value in params.items():
        for part, size in _spectrum_parts(name, value).items():
            is_number = isinstance(size, int | float) and not isinstance(size, bool)
            is_factor = (
                is_number and size > 0 and part not in (*NAMES_OF_DRAWS, "zeros")
            )
            if is_factor:
                numbers[part] = size
            else:
                rest[part] = size
    return numbers, rest


def _spectrum_parts(name: str, value: Any) -> dict[str, Any]:
    """A parameter as it is, but for a spectrum."""
    if name != SPECTRUM or not isinstance(value, list):
        return {name: value}
    return {
        "dimension": len(value),
        "index": sum(each < 0 for each in value),
        "zeros": value.count(0),
        "lowest": -min(value),
        "highest": max(value),
    }


def _fixed_text(fixed: Mapping[str, Any], setting: str) -> str:
    """All that must be the same within a family."""
    return json.dumps(fixed, sort_keys=True) + setting


def _has_several(family: Family) -> bool:
    """Whether a series has several values; sorts all of them."""
    for runs in family.series.values():
        runs.sort(key=lambda run: run[0])
    return any(len({x for x, _ in runs}) > 1 for runs in family.series.values())


def _by_dimension(family: Family) -> Family:
    """The same family by the number of parameters, where its factor decides that."""
    runs: Sequence[tuple[float, Result]] = [
        run for each in family.series.values() for run in each
    ]
    sizes = {x: result.facts.n_parameters or 0 for x, result in runs}
    if family.kind == "optimizer" or len(set(sizes.values())) < len(sizes):
        return family
    series = {
        label: [(float(sizes[x]), result) for x, result in each]
        for label, each in family.series.items()
    }
    return replace(family, factor="dimension", series=series)
