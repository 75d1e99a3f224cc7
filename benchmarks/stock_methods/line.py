"""A line of the table: one method, and what was found of it."""

from dataclasses import dataclass, fields

from .by_hand import N_STEPS


@dataclass
class Line:
    """What was found of one method; a text is the reason why not."""

    name: str
    constructed: bool | str = ""
    runs: bool | str = ""
    by_hand: bool | str = ""
    seeds: bool | str = ""
    repeats: bool | str = ""
    counts: bool | str = ""

    n_steps: int = N_STEPS  # after which it agreed with what it does by hand

    @property
    def cells(self) -> list[bool | str]:
        """The answers in their order."""
        return [getattr(self, each.name) for each in fields(self)[1:-1]]

    @property
    def reason(self) -> str:
        """Why it does not run, or where it differs."""
        texts = [cell for cell in self.cells if isinstance(cell, str) and cell]
        return texts[0].removeprefix(f"{self.name}: ") if texts else ""

    @property
    def is_right(self) -> bool:
        """Whether everything is as it has to be."""
        return all(cell is True for cell in self.cells)

    @property
    def written(self) -> str:
        """A row of the table."""
        marks = [_mark(cell) for cell in self.cells]
        if self.n_steps < N_STEPS and self.by_hand is True:
            marks[2] = f"yes, {self.n_steps} steps"
        return "| " + " | ".join([f"`{self.name}`", *marks, self.reason]) + " |"


def _mark(cell: bool | str) -> str:
    if cell is True:
        return "yes"
    return "no" if cell else ""
