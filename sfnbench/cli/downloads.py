"""How far a download is, on a terminal."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)


class DownloadBar:
    """A bar of rich's that is filled as pooch fills tqdm's."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task

    @property
    def total(self) -> float | None:
        """Bytes in all; None where neither the dataset nor the mirror says."""
        return self._progress.tasks[self._task].total

    @total.setter
    def total(self, n_bytes: int) -> None:
        if n_bytes:  # pooch says 0 where the mirror says nothing
            self._progress.update(self._task, total=n_bytes)

    def update(self, n_bytes: int) -> None:
        """So many bytes more."""
        self._progress.advance(self._task, n_bytes)

    def reset(self) -> None:
        """Empty again; pooch counts in whole chunks, and at the end it puts that right."""
        self._progress.update(self._task, completed=0)

    def close(self) -> None:
        """All of it is there."""
        self._progress.update(self._task, completed=self.total)


@contextmanager
def download_bar(
    console: Console, name: str, n_bytes: int
) -> Iterator[DownloadBar | None]:
    """A bar for as long as a file of so many bytes is downloaded (0: not known).

    None where there is no terminal.
    """
    if not console.is_terminal:
        yield None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        yield DownloadBar(progress, progress.add_task(name, total=n_bytes or None))
