"""Values to text and bytes and back, without loss and without pickle.

JSON is Python's dialect, in which NaN, Infinity and every float come back exactly. Series are an
.npz file.
"""

from __future__ import annotations

import io
import json
import struct
import tokenize
import zipfile
import zlib
from typing import Any

import numpy as np

from ..errors import StoreError
from ..records import Run, Spec

UNREADABLE = (  # what damage makes json, zipfile and numpy raise
    *(ValueError, TypeError, LookupError, AttributeError, ArithmeticError, SyntaxError),
    *(EOFError, OSError, MemoryError, RuntimeError, zipfile.BadZipFile, zlib.error),
    *(struct.error, tokenize.TokenError),
)


def to_json(value: object) -> str:
    """Compact JSON.

    What has no place in it becomes numbers or text, for it must not cost a finished result.
    """
    return json.dumps(value, separators=(",", ":"), default=_plain)


def to_run(data: dict[str, Any]) -> Run:
    """The Run whose `dataclasses.asdict` went through JSON."""
    given = dict(data)
    method = given.pop("optimizer", None) or given.pop(
        "method"
    )  # the former up to format 3
    given["problem"], given["method"] = Spec(**given["problem"]), Spec(**method)
    given["seeds"] = tuple(given["seeds"])
    return Run(**given)


def pack(series: dict[str, np.ndarray]) -> bytes:
    """The bytes of an .npz file.

    Unlike `numpy.savez` it takes any name and refuses what only pickle could write.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, values in series.items():
            array = np.asarray(values)
            if array.dtype.hasobject:
                raise StoreError(f"series {name!r} holds objects, not numbers")
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, array, allow_pickle=False)
    return buffer.getvalue()


def unpack(npz: bytes) -> dict[str, np.ndarray]:
    """The series that `pack` packed; ValueError for anything else."""
    if not zipfile.is_zipfile(
        io.BytesIO(npz)
    ):  # numpy would take it for a pickle, and say how to load that
        raise ValueError("its series are no archive of arrays")
    with np.load(io.BytesIO(npz), allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    return str(value)
