"""The keys of a search for critical points: finders, starts, what counts as critical."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from annotated_types import Ge, Le, MinLen
from pydantic import model_validator

from ...members.registry import Kind
from ..keys import (
    STEPS_LIMIT,
    Above0,
    MemberEntry,
    MetricName,
    NotBelow0,
    SeededKeys,
    StrictModel,
)


class OnPath(StrictModel):
    """Starts on an optimizer's path, one path a seed: points of it, drawn with their noise."""

    optimizer: Annotated[Any, MemberEntry("optimizer")]
    steps: Annotated[int, Ge(1), Le(STEPS_LIMIT)] = 100
    every: Annotated[int, Ge(1)] = 1  # so far apart are the points that are kept
    up: bool = False  # climb the loss instead
    count: Annotated[int, Ge(1)] = 10  # starts a seed
    # Amplitudes of uniform noise, one drawn for each start
    noise: Annotated[tuple[NotBelow0, ...], MinLen(1)] = (0.0,)


class Cube(StrictModel):
    """Starts uniform in a cube around 0."""

    count: Annotated[int, Ge(0)] = 0  # a seed
    amplitude: Above0 = 1.0


class Keys(SeededKeys):
    """The keys of a search for critical points."""

    method: ClassVar[Kind] = "finder"

    finders: Annotated[tuple[Any, ...], MinLen(1)] = ("levenberg_marquardt",)
    # Asked of every finder of an index, several of each in turn; any: as its entry says
    index: (
        Annotated[int, Ge(0)]
        | Annotated[tuple[Annotated[int, Ge(0)], ...], MinLen(1)]
        | Literal["any"]
    ) = "any"
    paths: tuple[OnPath, ...] = ()
    random: Annotated[int, Ge(0)] = 0  # starts a seed, each the problem's own
    cube: Cube = Cube()
    # Search in the problem's subspaces too, such as networks with fewer units
    subspaces: bool = False
    # density: the index by inertia, for large networks
    spectrum: Literal["eigenvalues", "density"] = "eigenvalues"
    # Drawn against alpha: the loss, or a measure
    energy: Annotated[str, MetricName()] = "loss"
    # squared gradient norm below which a point is called critical
    cut_off: Above0 = 1e-20
    # |eigenvalues| up to this count as zero, in units of the largest
    zero: NotBelow0 = 1e-6
    # points whose invariants differ by less, relatively, are one point
    same: NotBelow0 = 1e-7

    # Follow the gradient flow from both sides of each saddle of index 1: which minima it joins
    joins: bool = False

    def settings(self) -> dict[str, Any]:
        """All that decides numbers; `joins` adds some, and changes none."""
        found = super().settings()
        if not self.joins:
            del found["joins"]
        return found

    @model_validator(mode="after")
    def _starts_somewhere(self) -> Self:
        if not (self.paths or self.random or self.cube.count):
            raise ValueError("no starts: give paths, random or cube")
        return self
