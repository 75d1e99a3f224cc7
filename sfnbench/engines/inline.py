"""One run after another in this process: for debugging, and where no process may be started. Has no timeout."""

from __future__ import annotations

import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pkgutil import resolve_name

from ..environment import describe
from ..plan import Run
from ..registry import add_plugins
from ..store import Result
from . import Conditions, Progress

# How a want of memory reads when it is a RuntimeError: of torch's CPU allocator, of CUDA's libraries.
_NO_MEMORY = ("not enough memory", "can't allocate memory", "out of memory", "CUBLAS_STATUS_ALLOC_FAILED")


def inline(runs: Iterable[Run], conditions: Conditions, on_progress: Progress | None = None) -> Iterator[Result]:
    """Execute the runs here; Ctrl-C passes, everything else that a run raises becomes its result."""
    with threads_limited(conditions.threads):
        for run in runs:
            with warnings.catch_warnings(record=True) as caught:
                result = attempt(run, conditions, None if on_progress is None else lambda x, r=run: on_progress(r, x))
            yield with_log(result, "".join(warnings.formatwarning(w.message, w.category, w.filename, w.lineno) for w in caught))
