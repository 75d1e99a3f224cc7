"""Who follows a session: a progress bar, a notebook, an experiment tracker."""

from __future__ import annotations

from collections.abc import Sequence

from ..records import Result, Run
from .tuning import Tuned


class Observer:
    """Hears what a session does; this one ignores it."""

    def stage(self, name: str) -> None:
        """A stage begins, of a session that has several: tuning, then results."""

    def begin(
        self, todo: Sequence[Run], n_stored: int, stale: Sequence[str]
    ) -> None:
        """The first run is about to start.

        `todo` will be executed, `n_stored` results are there already, and `stale` has a reason for
        each stored result that no longer counts.
        """

    def progress(self, run: Run, fraction: float) -> None:
        """A run that is being executed has got so far, from 0 to 1."""

    def finished(self, result: Result) -> None:
        """A run is done, and its result is in the store."""

    def end(self) -> None:
        """The last run is done, or the session was interrupted."""

    def tuned(self, found: Tuned) -> None:
        """Tuning is done; called for each optimizer on each problem."""


class Several(Observer):
    """Tells each of several observers all that it hears."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        self.observers = tuple(observers)

    def stage(self, name: str) -> None:
        """Tell them of the stage."""
        for each in self.observers:
            each.stage(name)

    def begin(
        self, todo: Sequence[Run], n_stored: int, stale: Sequence[str]
    ) -> None:
        """Tell them what is to be done."""
        for each in self.observers:
            each.begin(todo, n_stored, stale)

    def progress(self, run: Run, fraction: float) -> None:
        """Tell them how far a run is."""
        for each in self.observers:
            each.progress(run, fraction)

    def finished(self, result: Result) -> None:
        """Tell them of the result."""
        for each in self.observers:
            each.finished(result)

    def end(self) -> None:
        """Tell them that it is over."""
        for each in self.observers:
            each.end()

    def tuned(self, found: Tuned) -> None:
        """Tell them what tuning has found."""
        for each in self.observers:
            each.tuned(found)
