"""Everything that sfnbench raises on misuse.

Numbers that break are a status of a row, never an error.

SfnbenchError
├── SuiteError     a suite that cannot be read, or asks for what does not exist
├── PluginError    a member that is unknown, clashes with another or cannot be imported
│   └── AbsentError       one whose package is not installed
├── DataError      a dataset that is missing, damaged or not to be had
├── StoreError     a results folder that cannot be read or written
│   ├── NoResultsError    one that holds no result, or none yet
│   └── DamagedError      a stored result that cannot be read, where others can
├── ModelError     a model of one's own that is no function of its weights, or misfits its data
├── DeviceError    a device that was asked for and is absent
└── CheckError     a member that breaks the public contract
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

MOST_LINES = 50  # of one suite's error
COPY_AGAIN = "if it is a copy, copy it again, else run it again with --fresh"


class SfnbenchError(Exception):
    """One clear message for the user; the command line prints it and exits with 2."""


class SuiteError(SfnbenchError):
    """What is wrong with a suite, a line each, as ``file:line:column: what is wrong``."""

    @classmethod
    def of(cls, lines: Sequence[str]) -> SuiteError:
        """The error of all these lines; of very many it has the first, and how many more."""
        more = len(lines) - MOST_LINES
        last = [f"and {more:,} more"] if more > 0 else []
        return cls("\n".join([*lines[:MOST_LINES], *last]))


class PluginError(SfnbenchError):
    """An unknown, clashing or broken problem or optimizer."""


class AbsentError(PluginError):
    """A member whose package is not installed; a suite may name it, but it cannot run here."""


class DataError(SfnbenchError):
    """A dataset that is missing, damaged or not to be had."""


class StoreError(SfnbenchError):
    """A results folder that cannot be read or written."""


class NoResultsError(StoreError):
    """A folder that holds no result, or none yet."""


class DamagedError(StoreError):
    """A stored result that cannot be read; the others may be whole."""

    def __init__(self, file: Path, name: str, why: str) -> None:
        super().__init__(
            f"{file}: the result of {name} is damaged ({why}); {COPY_AGAIN}"
        )
        self.file = file
        self.name = name
        self.why = why


class ModelError(SfnbenchError):
    """A model of one's own that is no function of its weights, or misfits data or checkpoint."""


class DeviceError(SfnbenchError):
    """A device that was asked for and is absent."""


class CheckError(SfnbenchError):
    """A member that breaks the public contract of `sfnbench.members.contract`."""
