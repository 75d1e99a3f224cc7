"""Series to bytes and back, without loss and without pickle.

One stream for all arrays of a result: an archive of fifteen files took five times as long. Of each
array the first bytes of all numbers are put together, then the second ones, and so on: so counts
and flat curves all but vanish. What is noise down to the last byte is kept as it is, since
deflating it takes long and saves a fifth.
"""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from math import prod

import numpy as np

from ..errors import StoreError

MAGIC = b"sfnbench series 1\n"
# So many different bytes in a sample of so many are noise: 162 are likely
N_DIFFERENT = 120
SAMPLE = 256
_LENGTH = struct.Struct("<I")


def pack(series: dict[str, np.ndarray]) -> bytes:
    """The bytes of arrays by name; StoreError for what only pickle could write."""
    heads = []
    noise: list[bytes] = []
    deflated: list[bytes] = []
    for name, values in series.items():
        array = np.asarray(values)
        if array.dtype.hasobject:
            raise StoreError(f"series {name!r} holds objects, not numbers")
        by_columns = array.flags.fnc  # as numpy.save keeps it
        sorted_bytes = _transposed(array.T if by_columns else array)
        is_noise = _is_noise(sorted_bytes[:SAMPLE])
        (noise if is_noise else deflated).append(sorted_bytes)
        heads.append((name, array.dtype.str, array.shape, by_columns, is_noise))
    head = json.dumps(heads, separators=(",", ":")).encode()
    body = zlib.compress(b"".join([_LENGTH.pack(len(head)), head, *deflated]), 1)
    return b"".join([MAGIC, _LENGTH.pack(len(body)), body, *noise])


def unpack(packed: bytes) -> dict[str, np.ndarray]:
    """The series that `pack` packed, now or as an .npz file; ValueError for anything else."""
    if not packed.startswith(MAGIC):
        return _from_npz(packed)
    at = len(MAGIC)
    end = at + _LENGTH.size + _LENGTH.unpack_from(packed, at)[0]
    body = zlib.decompress(packed[at + _LENGTH.size : end])
    begin = _LENGTH.size + _LENGTH.unpack_from(body)[0]
    deflated = io.BytesIO(body[begin:])
    noise = io.BytesIO(packed[end:])
    series = {}
    for name, dtype, shape, by_columns, is_noise in json.loads(
        body[_LENGTH.size : begin]
    ):
        kind = np.dtype(dtype)
        source = noise if is_noise else deflated
        taken = source.read(kind.itemsize * prod(shape))
        numbers = np.frombuffer(taken, np.uint8).reshape(kind.itemsize, prod(shape))
        flat = numbers.T.copy().view(kind)
        series[name] = flat.reshape(shape, order="F" if by_columns else "C")
    return series


def _transposed(array: np.ndarray) -> bytes:
    """The first bytes of all numbers, then the second ones, and so on."""
    if not array.size:
        return b""
    numbers = np.ascontiguousarray(array).reshape(-1)
    return numbers.view(np.uint8).reshape(array.size, -1).T.tobytes()


def _is_noise(sample: bytes) -> bool:
    # where more are alike, too few are left to differ
    most = SAMPLE - N_DIFFERENT + 1
    if sample[:1] and sample.count(sample[0]) > most:
        return False
    return len(set(sample)) >= N_DIFFERENT


def _from_npz(npz: bytes) -> dict[str, np.ndarray]:
    """The series of a result that an earlier version has stored."""
    # numpy would take anything else for a pickle, and say how to load that
    if not zipfile.is_zipfile(io.BytesIO(npz)):
        raise ValueError("its series are no archive of arrays")
    with np.load(io.BytesIO(npz), allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}
