"""Values to text and bytes and back, without loss and without pickle.

JSON is Python's dialect, in which NaN, Infinity and every float come back exactly. Series are an
.npz file.
"""

from __future__ import annotations

import functools
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

    A value that JSON lacks becomes numbers or text: it must not cost a finished result.
    """
    return json.dumps(value, separators=(",", ":"), default=_as_json)


def to_run(data: dict[str, Any]) -> Run:
    """The Run whose `dataclasses.asdict` went through JSON."""
    given = dict(data)
    method = given.pop("optimizer", None) or given.pop(
        "method"
    )  # the former up to format 3
    given["problem"] = Spec(**given["problem"])
    given["method"] = Spec(**method)
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
            by_columns = array.flags.fnc  # as numpy.save keeps it
            head = _npy_head(array.dtype, array.shape, by_columns)
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                file.write(head + array.tobytes("F" if by_columns else "C"))
    return buffer.getvalue()


@functools.lru_cache(maxsize=256)
def _npy_head(dtype: np.dtype[Any], shape: tuple[int, ...], by_columns: bool) -> bytes:
    """The header of an .npy file, which numpy takes long to write."""
    head = io.BytesIO()
    like = np.lib.stride_tricks.as_strided(np.empty(1, dtype), shape, (0,) * len(shape))
    said = np.lib.format.header_data_from_array_1_0(like)
    np.lib.format.write_array_header_1_0(head, {**said, "fortran_order": by_columns})
    return head.getvalue()


def unpack(npz: bytes) -> dict[str, np.ndarray]:
    """The series that `pack` packed; ValueError for anything else."""
    if not zipfile.is_zipfile(
        io.BytesIO(npz)
    ):  # numpy would take it for a pickle, and say how to load that
        raise ValueError("its series are no archive of arrays")
    with np.load(io.BytesIO(npz), allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def _as_json(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    return str(value)
