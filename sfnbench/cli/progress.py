"""Progress of a session: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from ..records import Result, Run
from ..session.observer import Observer
from ..session.tuning import Tuned
from ..words import counted, printable

MAX_REASONS = 10  # printed at most; after a change of tuning each trial has one


class Terminal(Observer):
    """Follows a session on the console: runs done, failed and left, and the time to go."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.n_failed = 0
        self._n_done = 0
        self._fractions: dict[str, float] = {}
        self._bar: Progress | None = None
        self._stage = ""
        self._doing = "running"
        self._n_todo = 0

    def stage(self, name: str) -> None:
        """Count from zero."""
        self._stage = f"{name}: "
        self._doing = name
        self.n_failed = 0
        self._n_done = 0
        self._fractions = {}

    def begin(
        self, todo: Sequence[Run], n_stored: int, stale: Sequence[str]
    ) -> None:
        """Say what there is, show the bar, and count from zero."""
        self._n_done = 0
        self._fractions = {}
        for reason in stale[:MAX_REASONS]:
            self._say(f"again: {reason}")
        if len(stale) > MAX_REASONS:
            self._say(f"again: {len(stale) - MAX_REASONS} more")
        have = f", {n_stored} already there" if n_stored else ""
        self._say(f"{self._stage}{counted(len(todo), 'run')} to do{have}")
        if todo and self.console.is_terminal:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("runs"),
            )
            self._bar = Progress(
                *columns,
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                console=self.console,
            )
            self._bar.start()
            self._all = self._bar.add_task(self._doing, total=len(todo))
        self._n_todo = len(todo)

    @property
    def done(self) -> str:
        """How many of the runs to do are done."""
        return f"{self._n_done} of {counted(self._n_todo, 'run')}"

    def progress(self, run: Run, fraction: float) -> None:
        """Move the bar by fractions of runs."""
        self._fractions[run.id] = fraction
        self._show()

    def finished(self, result: Result) -> None:
        """A line for each run that is done."""
        self._n_done += 1
        self._fractions[result.run.id] = 1.0
        self.n_failed += result.status.failed
        place = f"[{self._n_done}/{self._n_todo}]"
        line = (
            f"{place} {result.run.title}: {result.status}, {result.seconds:.1f} s"
        )
        if result.status.failed:
            line += f"\n    {result.reason}"
        self._say(line)
        self._show()

    def end(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()

    def tuned(self, found: Tuned) -> None:
        """The winner of a tuning in a line."""
        values = ", ".join(
            f"{key}={value}" for key, value in (found.best or {}).items()
        )
        best = f"{values}, the best of {counted(len(found.trials), 'trial')}"
        sentence = "; ".join([found.broken or best, *found.remarks])
        self._say(f"tuned {found.run.title}: {sentence}")

    def _say(self, line: str) -> None:
        self.console.print(
            printable(line), highlight=False, markup=False, soft_wrap=True
        )

    def _show(self) -> None:
        if self._bar is not None:
            failed = ""
            if self.n_failed:
                failed = f", {self.n_failed} failed"
            self._bar.update(
                self._all,
                completed=sum(self._fractions.values()),
                description=f"{self._doing}{failed}",
            )
