"""How methods look: a colour, dashes and a marker, no two of them alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import count, product

from .figure import Panel

# Okabe, Ito 2008; the yellow is too pale
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
DASHES = ("solid", "dash", "dot", "dashdot")
MARKERS = (
    "",
    "square",
    "triangle-up",
    "diamond",
    "cross",
    "star",
    "pentagon",
    "hexagon",
)
PATTERNS = ("", "/", ".", "x", "-", "|", "+", "\\")  # of bars, which have no dashes
GREY = "#808080"  # seen on white and on black


@dataclass(frozen=True)
class Look:
    """How a method is drawn in every figure."""

    colour: str
    dash: str = "solid"
    marker: str = ""  # along a line, now and then; empty: none
    pattern: str = ""
    n_round: int = 0  # how often all combinations have been used up: larger markers


def looks(labels: Iterable[str]) -> dict[str, Look]:
    """A look for each label: six colours, then other dashes, then markers, then larger ones.

    >>> found = looks(map(str, range(1000)))
    >>> len(set(found.values()))
    1000
    """
    return dict(zip(labels, _all(), strict=False))


def looks_in(panel: Panel, known: Mapping[str, Look]) -> dict[str, Look]:
    """The look of each method of a panel: its known one, or grey where too many have a colour.

    A panel whose curves are of something else, as of problems, has looks of its own.
    """
    own = looks(label for label in panel.methods if label not in known)
    grey = Look(GREY)
    return {
        label: {**own, **known}[label] if label in panel.in_colour else grey
        for label in panel.methods
    }


def _all() -> Iterable[Look]:
    for n_round in count():
        for i, (marker, dash, colour) in enumerate(
            product(MARKERS, DASHES, COLOURS)
        ):
            pattern = PATTERNS[i // len(COLOURS) % len(PATTERNS)]
            yield Look(colour, dash, marker, pattern, n_round)
