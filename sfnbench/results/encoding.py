"""Values to text and bytes and back, without loss and without pickle.

JSON is Python's dialect, in which NaN, Infinity and every float come back exactly.
"""

from __future__ import annotations

import json
import struct
import tokenize
import zipfile
import zlib
from dataclasses import asdict
from typing import Any

from ..records import Run, Spec

UNREADABLE = (  # what damage makes json, zipfile and numpy raise
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    SyntaxError,
    EOFError,
    OSError,
    MemoryError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    tokenize.TokenError,
)


def to_json(value: object) -> str:
    """Compact JSON.

    A value that JSON lacks becomes numbers or text: it must not cost a finished result.
    """
    return _ENCODER.encode(value)


def from_run(run: Run) -> dict[str, Any]:
    """As `dataclasses.asdict`, which copies each value, at great length."""
    found = {name: getattr(run, name) for name in run.__dataclass_fields__}
    for name in ("problem", "method"):
        spec = found[name]
        found[name] = asdict(spec) if spec.is_open else spec.__getstate__()
    return found


def to_run(data: dict[str, Any]) -> Run:
    """The Run whose `dataclasses.asdict` went through JSON."""
    given = dict(data)
    # the key was `optimizer` up to format 3
    method = given.pop("optimizer", None) or given.pop("method")
    given["problem"] = Spec(**given["problem"])
    given["method"] = Spec(**method)
    given["seeds"] = tuple(given["seeds"])
    return Run(**given)


def _as_json(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    return str(value)


_ENCODER = json.JSONEncoder(separators=(",", ":"), default=_as_json)
