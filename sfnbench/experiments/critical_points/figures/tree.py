"""A disconnectivity tree: at which loss which minima come together."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ....records import Result
from ....report.figure import Axis, Figure, Panel, Trace
from ..known import is_known_loss

MOST_NAMED = 12  # saddles whose minima a caption lists
# losses of a saddle and of the minima to its sides
Join = tuple[float, float, float]


@dataclass(frozen=True)
class Branch:
    """A minimum, or branches that come together at a saddle's loss."""

    loss: float
    parts: tuple[Branch, ...] = ()

    @property
    def minima(self) -> Iterator[float]:
        """The losses of its minima, from left to right."""
        if not self.parts:
            yield self.loss
        for part in self.parts:
            yield from part.minima


def extract(result: Result) -> list[Join] | None:
    """The saddles of a run that are known to join two minima; None without any."""
    sides = result.series.get("joined")
    if sides is None:
        return None
    losses = [row["loss"] for row in result.points]
    found = [
        (loss, float(low), float(high))
        for loss, (low, high) in zip(losses, sides, strict=True)
        if math.isfinite(low + high)
    ]
    return sorted(found) or None


def figures(runs: Sequence[tuple[Result, list[Join]]]) -> Iterator[Figure]:
    """A figure for each problem, a panel for each finder."""
    problems: dict[str, list[tuple[Result, list[Join]]]] = {}
    for result, joins in runs:
        problems.setdefault(result.run.problem.label, []).append((result, joins))
    for problem, found in problems.items():
        panels = [_panel(result.run.method.label, joins) for result, joins in found]
        yield Figure(f"{problem} tree", problem, panels, problem)


def trees(joins: Sequence[Join]) -> list[Branch]:
    """The trees that these saddles make of their minima, saddles of the lowest loss first."""
    roots: list[Branch] = []
    for saddle, low, high in sorted(joins):
        for side in (low, high):
            if _root(roots, side) is None:
                roots.append(Branch(side))
        met = [_root(roots, low), _root(roots, high)]
        if met[0] is not met[1]:
            parts = [root for root in roots if root in met]
            roots = [root for root in roots if root not in met]
            roots.append(Branch(saddle, tuple(sorted(parts, key=_lowest))))
    return sorted(roots, key=_lowest)


# -- inside ----------------------------------------------------------------------------------------


def _root(roots: Sequence[Branch], minimum: float) -> Branch | None:
    """The tree that a minimum is in; None where it is in none."""
    for root in roots:
        if any(is_known_loss(minimum, other) for other in root.minima):
            return root
    return None


def _lowest(branch: Branch) -> float:
    return min(branch.minima)


def _panel(finder: str, joins: Sequence[Join]) -> Panel:
    found = trees(joins)
    minima = [loss for tree in found for loss in tree.minima]
    x: list[float] = []
    y: list[float] = []
    n_drawn = 0
    for tree in found:
        _draw(tree, n_drawn, x, y)
        n_drawn += len(list(tree.minima))
    places = np.arange(len(minima))
    ticks = [(float(i), f"{loss:.5g}") for i, loss in enumerate(minima)]
    across = Axis(
        "minima, by their loss", range=(-0.5, len(minima) - 0.5), ticks=ticks
    )
    traces = [
        Trace(x, y, finder, f"{finder}: {len(joins)} saddles of index 1"),
        Trace(places, minima, finder, f"{len(minima)} minima", "points"),
    ]
    notes = [
        "Branches come together at the loss of the lowest saddle that joins their minima, to"
        " which the gradient flow leads from both sides of it."
    ]
    return Panel(
        finder,
        "Which minima the saddles join",
        across,
        Axis("loss"),
        traces,
        notes,
        list(_said(joins)),
    )


def _draw(tree: Branch, left: int, x: list[float], y: list[float]) -> float:
    """Add the lines of a tree whose first minimum stands there; the place of its foot."""
    if not tree.parts:
        return float(left)
    feet = []
    for part in tree.parts:
        feet.append(_draw(part, left, x, y))
        left += len(list(part.minima))
    middle = sum(feet) / len(feet)
    for foot, part in zip(feet, tree.parts, strict=True):
        x += [foot, foot, middle, math.nan]
        y += [part.loss, tree.loss, tree.loss, math.nan]
    return middle


def _said(joins: Sequence[Join]) -> Iterator[str]:
    if len(joins) > MOST_NAMED:
        yield f"{len(joins)} saddles, more than a caption can list."
        return
    for saddle, low, high in joins:
        if is_known_loss(low, high):
            yield f"{saddle:.6g} joins {low:.6g} with itself."
        else:
            yield f"{saddle:.6g} joins {low:.6g} and {high:.6g}."
