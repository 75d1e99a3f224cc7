"""Images, their reduction, and files that are checked before they are used."""

import gzip
import hashlib
import http.server
import os
import struct
import threading
from pathlib import Path

import numpy as np
import pooch
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from sfnbench import datasets
from sfnbench.datasets import DataError, File, Images, _files, area_average, digits, load, locate, mnist
from sfnbench.datasets._idx import read_idx

REAL = Path(os.environ.get("SFNBENCH_DATA", ""))
needs_mnist = pytest.mark.skipif(
    not os.environ.get("SFNBENCH_DATA") or not (REAL / "mnist").is_dir(), reason="no SFNBENCH_DATA with MNIST in it"
)


def images(*shape, seed=0):
    return np.random.default_rng(seed).random(shape)


# -- names ------------------------------------------------------------------------------------------------------------


def test_every_dataset_loads_as_what_it_says():
    assert {"digits", "mnist"} <= set(datasets.names())
    for name in datasets.names():
        assert datasets.find(name).n_train > 0


def test_unknown_name_suggests_the_nearest():
    with pytest.raises(DataError, match=r"unknown dataset 'minst' \(did you mean 'mnist'\?\)"):
        load("minst")


# -- digits -----------------------------------------------------------------------------------------------------------


def test_digits_are_those_of_scikit_learn():
    theirs, ours = load_digits(), load("digits")
    np.testing.assert_array_equal(ours.x, theirs.images / 16)
    np.testing.assert_array_equal(ours.y, theirs.target)
    assert (ours.x.dtype, ours.y.dtype, ours.n_classes) == (np.float64, np.int64, 10)
    assert ours.x.min() == 0.0
    assert ours.x.max() == 1.0


def test_digits_are_the_same_if_scikit_learn_keeps_its_table_elsewhere(monkeypatch):
    expected = load("digits")
    monkeypatch.setattr(digits.Path, "is_file", lambda path: False)
    moved = load("digits")
    np.testing.assert_array_equal(moved.x, expected.x)
    np.testing.assert_array_equal(moved.y, expected.y)


def test_the_first_examples_are_the_first():
    whole, few = load("digits"), load("digits", n_examples=7)
    np.testing.assert_array_equal(few.x, whole.x[:7])
    np.testing.assert_array_equal(few.y, whole.y[:7])


def test_blocks_leave_no_seam(monkeypatch):
    whole = load("digits", size=5, n_examples=100)
    monkeypatch.setattr(datasets._images, "BLOCK", 33)
    np.testing.assert_array_equal(load("digits", size=5, n_examples=100).x, whole.x)
    np.testing.assert_allclose(whole.x, area_average(load("digits").x[:100], 5), rtol=1e-14)


@pytest.mark.parametrize("n_examples", [0, -1, 1798])
def test_more_examples_than_there_are(n_examples):
    with pytest.raises(DataError, match=f"{n_examples} examples asked for, but the train split has 1797"):
        load("digits", n_examples=n_examples)


def test_digits_have_no_test_split():
    with pytest.raises(DataError, match="the test split has 0"):
        load("digits", "test")


# -- area averages ----------------------------------------------------------------------------------------------------

sizes = st.integers(1, 12)


@given(side=sizes, size=sizes, seed=st.integers(0, 99))
def test_area_average_keeps_the_mean_and_the_range(side, size, seed):
    before = images(2, side, side, seed=seed)
    after = area_average(before, size)
    assert after.shape == (2, size, size)
    assert after.dtype == np.float64
    np.testing.assert_allclose(after.mean((1, 2)), before.mean((1, 2)), rtol=1e-13)
    assert (after.min((1, 2)) >= before.min((1, 2)) * (1 - 1e-14)).all()
    assert (after.max((1, 2)) <= before.max((1, 2)) * (1 + 1e-14)).all()


@given(side=sizes, size=sizes, factor=st.floats(-3, 3))
def test_area_average_is_linear(side, size, factor):
    a, b = images(2, side, side)
    together = area_average(a + factor * b, size)
    np.testing.assert_allclose(together, area_average(a, size) + factor * area_average(b, size), atol=1e-13)


@given(side=sizes)
def test_area_average_to_the_same_size_is_the_identity(side):
    before = images(3, side, side)
    np.testing.assert_array_equal(area_average(before, side), before)


@given(size=st.integers(1, 6), factor=st.integers(1, 5))
def test_a_whole_factor_is_the_mean_of_blocks(size, factor):
    before = images(2, size * factor, size * factor)
    blocks = before.reshape(2, size, factor, size, factor).mean((2, 4))
    np.testing.assert_allclose(area_average(before, size), blocks, rtol=1e-13)


@given(height=sizes, width=sizes, size=sizes)
def test_any_factor_is_the_mean_of_blocks_of_the_finest_common_grid(height, width, size):
    before = images(height, width)
    fine = np.kron(before, np.ones((size, size)))  # every old edge and every new edge is an edge of this grid
    blocks = fine.reshape(size, height, size, width).mean((1, 3))
    np.testing.assert_allclose(area_average(before, size), blocks, rtol=1e-12)


def test_weights_are_overlaps_over_the_new_cell():
    """28 to 10 as it is defined: W[i, j] = |[2.8 i, 2.8 (i + 1)] and [j, j + 1]| / 2.8, applied from both sides."""
    i, j = np.ogrid[:10, :28]
    W = np.clip(np.minimum(2.8 * (i + 1), j + 1) - np.maximum(2.8 * i, j), 0, None) / 2.8
    before = images(3, 28, 28)
    np.testing.assert_allclose(area_average(before, 10), W @ before @ W.T, rtol=1e-12)


def test_white_bytes_stay_exactly_white():
    assert (area_average(np.full((28, 28), 255, np.uint8), 10) / 255 == 1.0).all()


# -- idx files --------------------------------------------------------------------------------------------------------


def idx(values, magic=None, shape=None):
    shape = values.shape if shape is None else shape
    header = bytes((0, 0, 8, values.ndim)) if magic is None else magic
    return header + struct.pack(f">{len(shape)}I", *shape) + values.astype(np.uint8).tobytes()


VALUES = np.arange(24).reshape(2, 3, 4)


@given(shape=st.lists(st.integers(0, 4), min_size=1, max_size=4), seed=st.integers(0, 9))
@settings(max_examples=30)
def test_idx_round_trip(tmp_path_factory, shape, seed):
    values = np.random.default_rng(seed).integers(0, 256, shape)
    path = tmp_path_factory.mktemp("idx") / "x.gz"
    path.write_bytes(gzip.compress(idx(values)))
    np.testing.assert_array_equal(read_idx(path), values)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (gzip.compress(idx(VALUES))[:-9], "cannot be unpacked"),
        (idx(VALUES), "cannot be unpacked"),
        (gzip.compress(b""), "is no idx file of unsigned bytes: it begins with nothing"),
        (gzip.compress(b"<html>"), "is no idx file of unsigned bytes: it begins with 3c 68"),
        (gzip.compress(idx(VALUES, magic=bytes((0, 0, 13, 3)))), "is no idx file of unsigned bytes"),
        (gzip.compress(idx(VALUES)[:9]), "is no idx file of unsigned bytes"),
        (gzip.compress(idx(VALUES)[:-1]), r"holds 23 values, but its header says 24 \(2, 3, 4\)"),
        (gzip.compress(idx(VALUES) + b"!"), "holds 25 values, but its header says 24"),
        (gzip.compress(idx(VALUES, shape=(2**32 - 1,) * 3)), "holds 24 values, but its header says 7922816"),
    ],
    ids=["truncated", "not packed", "empty", "a web page", "floats", "half a header", "one short", "one more", "huge"],
)
def test_damaged_idx(tmp_path, content, message):
    path = tmp_path / "x.gz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_idx(path)


# -- files in a folder ------------------------------------------------------------------------------------------------


def file_of(content, mirrors=("https://mirror.invalid/data",)):
    return File("set/part.gz", hashlib.sha256(content).hexdigest(), mirrors)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        pytest.fail("the network was tried though SFNBENCH_DATA is set")

    monkeypatch.setenv("SFNBENCH_DATA", str(tmp_path))
    monkeypatch.setattr(pooch, "retrieve", fail)
    (tmp_path / "set").mkdir()
    return tmp_path


def test_found_in_the_folder(folder):
    (folder / "set/part.gz").write_bytes(b"right")
    assert locate(file_of(b"right")) == folder / "set/part.gz"


def test_missing_file_says_how_to_get_it(folder):
    expected = f"SFNBENCH_DATA={folder} has no set/part.gz: download https://mirror.invalid/data/part.gz"
    with pytest.raises(DataError, match=expected):
        locate(file_of(b"right"))


def test_missing_folder(folder, monkeypatch):
    monkeypatch.setenv("SFNBENCH_DATA", str(folder / "nowhere"))
    with pytest.raises(DataError, match=r"nowhere has no set/part.gz: .* or unset SFNBENCH_DATA"):
        locate(file_of(b"right"))


def test_wrong_sum_names_the_file_and_both_sums(folder):
    (folder / "set/part.gz").write_bytes(b"wrong")
    sums = [hashlib.sha256(content).hexdigest() for content in (b"wrong", b"right")]
    with pytest.raises(DataError, match=rf"set/part.gz is not .* is {sums[0]}, expected {sums[1]}\..*delete it and"):
        locate(file_of(b"right"))


def test_a_folder_in_the_place_of_the_file(folder):
    (folder / "set/part.gz").mkdir()
    with pytest.raises(DataError, match=r"set/part.gz cannot be read: Is a directory"):
        locate(file_of(b"right"))


def test_sums_are_taken_once_and_again_after_a_change(folder, monkeypatch):
    taken = []
    digest = hashlib.file_digest
    monkeypatch.setattr(hashlib, "file_digest", lambda *args: taken.append(args) or digest(*args))
    path = folder / "set/part.gz"
    path.write_bytes(b"right")
    for _ in range(3):
        locate(file_of(b"right"))
    assert len(taken) == 1
    path.write_bytes(b"something else")
    with pytest.raises(DataError, match="is not the file that was expected"):
        locate(file_of(b"right"))


# -- files from the network -------------------------------------------------------------------------------------------


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """A mirror on this machine: its address, the folder it gives, the paths that were asked for, and the user's cache."""
    given_out = tmp_path / "mirror"
    given_out.mkdir()
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(given_out))

        def log_message(self, *args):
            asked.append(self.path)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("SFNBENCH_DATA", raising=False)
    monkeypatch.setattr(_files, "_cache", lambda: tmp_path / "cache")
    yield f"http://127.0.0.1:{server.server_port}", given_out, asked
    server.shutdown()
    thread.join()
    server.server_close()


def test_downloaded_once(mirror, tmp_path):
    address, given_out, asked = mirror
    (given_out / "part.gz").write_bytes(b"right")
    for _ in range(2):
        path = locate(file_of(b"right", (address,)))
        assert path == tmp_path / "cache/set/part.gz"
        assert path.read_bytes() == b"right"
    assert asked == ["/part.gz"]


def test_next_mirror_where_one_fails(mirror):
    address, given_out, _ = mirror
    for name, content in {"lacks": None, "damaged": b"wrong", "good": b"right"}.items():
        (given_out / name).mkdir()
        if content:
            (given_out / name / "part.gz").write_bytes(content)
    mirrors = tuple(f"{address}/{name}" for name in ("lacks", "damaged", "good"))
    assert locate(file_of(b"right", mirrors)).read_bytes() == b"right"


def test_damaged_cache_is_downloaded_again(mirror, tmp_path):
    address, given_out, _ = mirror
    (given_out / "part.gz").write_bytes(b"right")
    (tmp_path / "cache/set").mkdir(parents=True)
    (tmp_path / "cache/set/part.gz").write_bytes(b"wrong")
    assert locate(file_of(b"right", (address,))).read_bytes() == b"right"


def test_no_mirror_helps(mirror, tmp_path):
    address, given_out, _ = mirror
    (given_out / "part.gz").write_bytes(b"wrong")
    closed = "http://127.0.0.1:9"  # the discard port: nobody listens
    with pytest.raises(DataError) as caught:
        locate(file_of(b"right", (address, address + "/lacks", closed)))
    text = str(caught.value)
    assert "set/part.gz could not be downloaded into" in text
    assert hashlib.sha256(b"right").hexdigest() in text
    assert hashlib.sha256(b"wrong").hexdigest() in text
    assert f"{address}/lacks/part.gz: 404" in text
    assert f"{closed}/part.gz: " in text
    assert "name that folder in SFNBENCH_DATA" in text
    assert not list((tmp_path / "cache/set").iterdir())


def test_cache_that_cannot_be_written(mirror, tmp_path):
    address, given_out, _ = mirror
    (given_out / "part.gz").write_bytes(b"right")
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(DataError, match=r"cache/set/part\.gz"):
        locate(file_of(b"right", (address,)))


# -- MNIST ------------------------------------------------------------------------------------------------------------


@needs_mnist
@pytest.mark.parametrize(
    ("split", "counts"),  # as published with the data set
    [
        ("train", [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]),
        ("test", [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]),
    ],
)
def test_mnist_has_the_published_number_of_each_digit(split, counts):
    assert np.bincount(load("mnist", split, size=1).y).tolist() == counts


@needs_mnist
def test_mnist_averaged_down_keeps_every_mean():
    whole, small = load("mnist", n_examples=5000), load("mnist", n_examples=5000, size=10)
    assert isinstance(small, Images)
    assert (whole.x.shape, small.x.shape) == ((5000, 28, 28), (5000, 10, 10))
    assert (whole.x.min(), whole.x.max()) == (0.0, 1.0)
    np.testing.assert_allclose(small.x.mean((1, 2)), whole.x.mean((1, 2)), rtol=1e-12)


@needs_mnist
def test_mnist_training_pixels_have_the_well_known_mean():
    assert round(float(load("mnist", size=1).x.mean()), 4) == 0.1307


@needs_mnist
@pytest.mark.parametrize("damage", ["flipped", "truncated"])
def test_damaged_mnist_is_refused(tmp_path, monkeypatch, damage):
    (tmp_path / "mnist").mkdir()
    for name in mnist.SHA256:
        if name.startswith("t10k"):
            content = bytearray((REAL / "mnist" / name).read_bytes())
            if "labels" in name:
                content = content[:-100] if damage == "truncated" else content
                content[1000] ^= 1
            (tmp_path / "mnist" / name).write_bytes(content)
    monkeypatch.setenv("SFNBENCH_DATA", str(tmp_path))
    with pytest.raises(DataError, match=rf"t10k-labels-idx1-ubyte.gz is not .*expected {mnist.FILES[3].sha256}"):
        load("mnist", "test")


def test_mnist_with_consistent_files_of_the_wrong_shape(tmp_path, monkeypatch):
    """Sums that fit a file of another shape: the shapes are checked all the same."""
    (tmp_path / "mnist").mkdir()
    made = {"train-images-idx3-ubyte.gz": np.zeros((2, 28, 28)), "train-labels-idx1-ubyte.gz": np.zeros(3)}
    files = []
    for name, values in made.items():
        content = gzip.compress(idx(values))
        (tmp_path / "mnist" / name).write_bytes(content)
        files.append(File(f"mnist/{name}", hashlib.sha256(content).hexdigest(), mnist.MIRRORS))
    monkeypatch.setenv("SFNBENCH_DATA", str(tmp_path))
    wrong = datasets.ImageDataset(
        n_train=3, n_test=0, side=28, n_classes=10, read=lambda split: datasets._idx.read_split(tuple(files), split)
    )
    with pytest.raises(DataError, match=r"images \(2, 28, 28\) and labels \(3,\) where 3 of 28x28"):
        wrong.load()
