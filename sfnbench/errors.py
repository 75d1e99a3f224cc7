"""Everything that sfnbench raises on misuse. Numbers that break are a status of a row, never an error.

SfnbenchError
├── SuiteError     a suite that cannot be read, or asks for what does not exist
├── PluginError    a member that is unknown, clashes with another or cannot be imported
├── DataError      a dataset that is missing, damaged or not to be had
├── StoreError     a results folder that cannot be read or written
│   ├── NoResultsError    one that holds no result, or none yet
│   └── DamagedError      a stored result that cannot be read, where others can
├── DeviceError    a device that was asked for and is absent
└── CheckError     a member that breaks the public contract
"""

import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path

COPY_AGAIN = "if it is a copy, copy it again, else run it again with --fresh"


class SfnbenchError(Exception):
    """One clear message for the user; the command line prints it and exits with 2."""


class SuiteError(SfnbenchError):
    """Every problem of a suite at once, a line each, as ``file:line:column: what is wrong``."""


class PluginError(SfnbenchError):
    """An unknown, clashing or broken problem or optimizer."""


class DataError(SfnbenchError):
    """A dataset that is missing, damaged or not to be had."""


class StoreError(SfnbenchError):
    """A results folder that cannot be read or written."""


class NoResultsError(StoreError):
    """A folder that holds no result, or none yet."""


class DamagedError(StoreError):
    """A stored result that cannot be read; the others may be whole."""

    def __init__(self, file: Path, name: str, why: str) -> None:
        super().__init__(f"{file}: the result of {name} is damaged ({why}); {COPY_AGAIN}")
        self.file, self.name, self.why = file, name, why


class DeviceError(SfnbenchError):
    """A device that was asked for and is absent."""


class CheckError(SfnbenchError):
    """A member that breaks the public contract of `sfnbench.checks`."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The tail of an error message: the nearest known word, or a short list of them; empty where neither helps."""
    names = sorted(known)
    near = difflib.get_close_matches(word, names, n=1)
    if near:
        return f" (did you mean '{near[0]}'?)"
    return f" (known: {', '.join(names)})" if 0 < len(names) <= 24 else ""


def listed(names: Sequence[str], most: int = 4) -> str:
    """The first few names, and how many more there are.

    >>> listed(["a", "b", "c"], most=2)
    'a, b and 1 more'
    """
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


# How a want of memory reads where it is but a RuntimeError: from torch's allocator on the CPU, from CUDA's libraries.
_NO_MEMORY = ("not enough memory", "can't allocate memory", "out of memory", "CUBLAS_STATUS_ALLOC_FAILED")


def is_want_of_memory(error: BaseException) -> bool:
    """Whether this is what Python, torch's allocators or CUDA's libraries raise where memory runs out."""
    # torch.OutOfMemoryError by its name: it has lived in two modules, and torch may not be what raised.
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _NO_MEMORY)
