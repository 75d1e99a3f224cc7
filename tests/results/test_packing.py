"""Series come back from their bytes as they were, those of earlier versions too."""

import io
import random
import struct
import zlib

import numpy as np
import pytest

from sfnbench.errors import StoreError
from sfnbench.results.encoding import UNREADABLE
from sfnbench.results.packing import MAGIC, pack, unpack

RNG = np.random.default_rng(0)
SERIES = {
    "noise": RNG.standard_normal((3, 200)),
    "counts": np.arange(600.0).reshape(3, 200),
    "steps": np.arange(40, dtype=np.int64),
    "small": RNG.standard_normal(5).astype(np.float32),
    "by columns": np.asfortranarray(RNG.standard_normal((40, 30))),
    "nothing": np.empty((0, 4)),
    "one": np.float64(0.1),
    "flags": np.array([True, False]),
    "bits": np.array([np.nan, -0.0, np.inf, 5e-324]),
    "odd/name é": np.array(["a", "bcd"]),
}


def assert_same(found, expected):
    assert list(found) == list(expected)
    for name, given in expected.items():
        array = np.asarray(given)
        assert found[name].dtype == array.dtype, name
        assert found[name].shape == array.shape, name
        assert found[name].flags.fnc == array.flags.fnc, name
        assert found[name].tobytes() == array.tobytes(), name


def test_all_come_back_to_the_bit():
    assert_same(unpack(pack(SERIES)), SERIES)
    assert_same(unpack(pack({})), {})


def test_what_comes_back_can_be_written_to():
    for array in unpack(pack(SERIES)).values():
        array[...] = array


def test_noise_is_kept_as_it_is_and_counts_are_deflated():
    noise, counts = SERIES["noise"], SERIES["counts"]
    assert pack({"noise": noise}).endswith(
        noise.view(np.uint8).reshape(-1, 8).T.tobytes()
    )
    assert len(pack({"counts": counts})) < counts.nbytes / 5


def test_series_of_earlier_versions_are_read():
    npz = io.BytesIO()
    numbers = {name: each for name, each in SERIES.items() if "/" not in name}
    np.savez_compressed(npz, **numbers)
    assert_same(unpack(npz.getvalue()), numbers)


def test_objects_are_refused():
    with pytest.raises(StoreError, match="'a' holds objects, not numbers"):
        pack({"a": np.array([None])})


def test_any_damage_is_one_of_the_known_errors():
    rng = random.Random(0)
    whole = pack({name: SERIES[name] for name in ("counts", "small", "noise")})
    for _ in range(500):
        cut = bytearray(whole)
        for _ in range(rng.choice((1, 3))):
            cut[rng.randrange(len(cut))] = rng.randrange(256)
        try:
            unpack(bytes(cut[: rng.choice((len(cut), rng.randrange(len(cut))))]))
        except UNREADABLE:
            continue


@pytest.mark.parametrize(
    "head",
    [
        b'[["a","|O",[1],false,false]]',
        b'[["a","<f8",[1e300],false,false]]',
        b'[["a","<f8",[1000000000000],false,false]]',
        b'[["a","nonsense",[1],false,false]]',
        b"[3]",
        b"{}nothing",
    ],
)
def test_a_head_that_lies_is_refused(head):
    body = zlib.compress(struct.pack("<I", len(head)) + head + bytes(8))
    with pytest.raises(UNREADABLE):
        unpack(MAGIC + struct.pack("<I", len(body)) + body)
