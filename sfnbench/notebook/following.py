"""Who follows a session that Python started: a bar in a notebook, failures on stderr."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from html import escape
from typing import Any

from ..records import Result, Run
from ..session.observer import Observer
from ..words import counted


def follower() -> Observer:
    """A bar in a notebook, else an observer that keeps still."""
    return Bar() if in_notebook() else Observer()


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return hasattr(shell, "kernel")


class Bar(Observer):
    """A bar in the cell's output, which needs no widgets: runs done, failed and left."""

    def __init__(self) -> None:
        self._stage = ""
        self._n_todo = 0
        self._n_failed = 0
        self._shares: dict[str, float] = {}
        self._handle: Any = None

    def stage(self, name: str) -> None:
        """Count from zero."""
        self._stage = f"{name}: "

    def begin(
        self, todo: Sequence[Run], n_stored: int, stale: Sequence[str]
    ) -> None:
        """Show the bar, unless there is nothing to do."""
        self._n_todo = len(todo)
        self._n_failed = 0
        self._shares = {}
        self._handle = None
        if todo:
            from IPython.display import display

            self._handle = display(self, display_id=True)

    def progress(self, run: Run, fraction: float) -> None:
        """Move by fractions of runs."""
        self._shares[run.id] = fraction
        self._show()

    def finished(self, result: Result) -> None:
        """Move by a run."""
        self._shares[result.run.id] = 1.0
        self._n_failed += result.status.failed
        self._show()

    def _show(self) -> None:
        if self._handle is not None:
            self._handle.update(self)

    def __repr__(self) -> str:
        n_done = sum(share >= 1 for share in self._shares.values())
        failed = ""
        if self._n_failed:
            failed = f", {self._n_failed} failed"
        return (
            f"{self._stage}{n_done} of {counted(self._n_todo, 'run')} done{failed}"
        )

    def _repr_html_(self) -> str:
        share = sum(self._shares.values()) / max(1, self._n_todo)
        return f'<progress max="1" value="{share:.3f}"></progress> {escape(repr(self))}'
