"""The state of a long run, kept on disk now and then: a killed run goes on where it was.

An experiment offers the state of each of its parts; what it finds in the file at its next start is
where it goes on. The file holds tensors, numbers and texts, and loading it runs no code.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import torch
from torch.utils._pytree import tree_map

Kept = dict[str, Any]  # arrays, tensors, numbers and texts by name

_current_file: ContextVar[tuple[Path, float] | None] = ContextVar(
    "_current_file", default=None
)


@contextmanager
def checkpoints_in(file: Path | None, every_s: float) -> Iterator[None]:
    """The run that is executed in this block keeps its state in that file; None: nowhere."""
    before = _current_file.set(None if file is None else (file, every_s))
    try:
        yield
    finally:
        _current_file.reset(before)


class Checkpoint:
    """The state of the parts of one run, with what an earlier try has left of it."""

    def __init__(self) -> None:
        self._place = _current_file.get()
        self._parts: dict[str, Kept] = {}
        self._written = monotonic()
        if self._place is not None:
            # one that is damaged is worth nothing, and costs nothing
            with suppress(Exception):
                self._parts = torch.load(self._place[0], weights_only=True)

    def part(self, name: str) -> Kept | None:
        """The state of a part, where an earlier try has left one."""
        return self._parts.get(name)

    def offer(
        self, name: str, state: Callable[[], Kept | None], is_done: bool = False
    ) -> None:
        """Keep the state of a part, if it is time; None: it cannot be kept."""
        if self._place is None:
            return
        file, every_s = self._place
        is_due = monotonic() - self._written >= every_s
        kept = state() if is_due or is_done else None
        if kept is not None:
            self._parts[name] = kept
        if is_due and kept is not None:
            self._write(file)
            self._written = monotonic()

    def _write(self, file: Path) -> None:
        new = file.with_name(f"{file.name}.{os.getpid()}")
        # a full disk costs the checkpoint, and not the run
        with suppress(OSError, RuntimeError):
            file.parent.mkdir(exist_ok=True)
            torch.save(tree_map(_tensor_of, self._parts), new)
            os.replace(new, file)


def _tensor_of(leaf: Any) -> Any:
    if isinstance(leaf, np.ndarray):
        return torch.from_numpy(leaf)
    return leaf
