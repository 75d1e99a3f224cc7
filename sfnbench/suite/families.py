"""Families of problems: one entry that stands for all that meet its conditions.

Written ``{use: s2mpj, where: {dim: [2, 100], negative_curvature_at_start: true}}``.
"""

from __future__ import annotations

import importlib
import json

from pydantic import Field, ValidationError, model_validator

from ..experiments.keys import StrictModel
from ..members.registry import S2MPJ, Kind
from .validation import to_issues
from .yaml_nodes import Issue, Node, Note

FAMILY = S2MPJ.removesuffix(".")


class FamilyConditions(StrictModel):
    """The conditions that a family's problems meet, in their own sizes."""

    dim: tuple[int, int] = Field(default=(1, 100))
    negative_curvature_at_start: bool | None = None

    @model_validator(mode="after")
    def _is_no_empty_range(self) -> FamilyConditions:
        if self.dim[0] > self.dim[1]:
            raise ValueError(f"dim must be [lowest, highest], not {list(self.dim)}")
        return self


def spread(kind: Kind, entry: Node, note: Note) -> list[Node]:
    """The entries that an entry stands for: itself, or one for each problem of a family.

    AbsentError where the family's package is not installed.
    """
    use = entry.child("use") or entry
    if kind != "problem" or use.content != FAMILY:
        return [entry]
    where = entry.child("where")
    if where is None:
        example = "write s2mpj.ROSENBR, or {use: s2mpj, where: {dim: [2, 100]}}"
        note(Issue(use.at, f"s2mpj is a family of problems: {example}"))
        return []
    try:
        asked = FamilyConditions.model_validate_json(json.dumps(where.plain()))
        # this import brings torch
        module = importlib.import_module("sfnbench.problems._s2mpj")
        names = module.names_where(asked.dim, asked.negative_curvature_at_start)
    except ValidationError as error:
        known = [*FamilyConditions.model_fields]
        for issue in to_issues(error, where, lambda path: known):
            note(issue)
        return []
    if not names:
        note(Issue(where.at, "no problem of S2MPJ meets these conditions"))
    shared = entry.without("where")
    return [
        shared.replaced({"use": Node(use.at, name, text=name)}) for name in names
    ]
