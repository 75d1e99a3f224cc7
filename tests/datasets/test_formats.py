"""The formats that data sets come in: what is read of them, and what is refused."""

import gzip
import hashlib
import io
import os
import pickle
import struct
import tarfile
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mirror import serving

from sfnbench import datasets
from sfnbench.datasets import DataError, File, _files, cifar10, mnist
from sfnbench.datasets._files import Recipe
from sfnbench.datasets._idx import read_idx

# -- idx files -------------------------------------------------------------------------------------


def idx(values, magic=None, shape=None):
    shape = values.shape if shape is None else shape
    header = bytes((0, 0, 8, values.ndim)) if magic is None else magic
    return (
        header
        + struct.pack(f">{len(shape)}I", *shape)
        + values.astype(np.uint8).tobytes()
    )


VALUES = np.arange(24).reshape(2, 3, 4)


@given(
    shape=st.lists(st.integers(0, 4), min_size=1, max_size=4),
    seed=st.integers(0, 9),
)
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
        (
            gzip.compress(b""),
            "is no idx file of unsigned bytes: it begins with nothing",
        ),
        (
            gzip.compress(b"<html>"),
            "is no idx file of unsigned bytes: it begins with 3c 68",
        ),
        (
            gzip.compress(idx(VALUES, magic=bytes((0, 0, 13, 3)))),
            "is no idx file of unsigned bytes",
        ),
        (gzip.compress(idx(VALUES)[:9]), "is no idx file of unsigned bytes"),
        (
            gzip.compress(idx(VALUES)[:-1]),
            r"holds 23 values, but its header says 24 \(2, 3, 4\)",
        ),
        (
            gzip.compress(idx(VALUES) + b"!"),
            "holds 25 values, but its header says 24",
        ),
        (
            gzip.compress(idx(VALUES, shape=(2**32 - 1,) * 3)),
            "holds 24 values, but its header says 7922816",
        ),
    ],
    ids=[
        "truncated",
        "not packed",
        "empty",
        "a web page",
        "floats",
        "half a header",
        "one short",
        "one more",
        "huge",
    ],
)
def test_damaged_idx(tmp_path, content, message):
    path = tmp_path / "x.gz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_idx(path)


def test_mnist_with_consistent_files_of_the_wrong_shape(tmp_path, monkeypatch):
    """Sums that fit a file of another shape: the shapes are checked all the same."""
    (tmp_path / "mnist").mkdir()
    made = {
        "train-images-idx3-ubyte.gz": np.zeros((2, 28, 28)),
        "train-labels-idx1-ubyte.gz": np.zeros(3),
    }
    files = []
    for name, values in made.items():
        content = gzip.compress(idx(values))
        (tmp_path / "mnist" / name).write_bytes(content)
        files.append(
            File(
                f"mnist/{name}", hashlib.sha256(content).hexdigest(), mnist.MIRRORS
            )
        )
    monkeypatch.setenv("SFNBENCH_DATA", str(tmp_path))
    wrong = datasets.ImageDataset(
        n_train=3,
        n_test=0,
        side=28,
        n_classes=10,
        terms="",
        read=lambda split: datasets._idx.read_split(tuple(files), split),
    )
    with pytest.raises(
        DataError, match=r"images \(2, 28, 28\) and labels \(3,\) where 3 of 28x28"
    ):
        wrong.load()


# -- CIFAR-10: grey --------------------------------------------------------------------------------


def colours(n, seed=0):
    return (
        np.random.default_rng(seed)
        .integers(0, 256, (n, 3, 32, 32))
        .astype(np.uint8)
    )


def exact_grey(image):
    """The definition in fractions: overlaps of cells of 3.2 pixels, over 10.24.

    0.299 R + 0.587 G + 0.114 B; nearest.
    """

    def overlaps(i):
        new = Fraction(32, 10)
        covered = (
            (j, min((i + 1) * new, j + 1) - max(i * new, j)) for j in range(32)
        )
        return [(j, share / new) for j, share in covered if share > 0]

    luma = [
        [
            sum(
                int(w * c)
                for w, c in zip((299, 587, 114), image[:, j, k], strict=True)
            )
            for k in range(32)
        ]
        for j in range(32)
    ]
    return [
        [
            round(
                sum(
                    a * b * luma[j][k]
                    for j, a in overlaps(i)
                    for k, b in overlaps(m)
                )
                / 1000
            )
            for m in range(10)
        ]
        for i in range(10)
    ]


def test_grey_is_the_definition_in_exact_arithmetic():
    images = colours(3)
    assert cifar10.grey(images).tolist() == [
        exact_grey(image.astype(int)) for image in images
    ]


@pytest.mark.parametrize("level", [6, 7, 100, 101])
def test_half_way_goes_to_the_even_one_on_every_machine(level):
    """5 whole pixels of 10.24 are a level brighter and a 25th of one 3 levels.

    5.12 in all, half a level exactly.
    """
    image = np.full((1, 3, 32, 32), level, np.uint8)
    image[..., 0, :3] += 1
    image[..., 1, :2] += 1
    image[..., 3, 3] += (
        3  # the new pixel covers a fifth of its height and a fifth of its width
    )
    assert cifar10.grey(image)[0, 0, 0] == level + level % 2


def test_a_grey_image_stays_as_it_is():
    levels = np.arange(256, dtype=np.uint8)
    images = np.broadcast_to(levels[:, None, None, None], (256, 3, 32, 32))
    np.testing.assert_array_equal(
        cifar10.grey(images), np.broadcast_to(levels[:, None, None], (256, 10, 10))
    )


def test_grey_is_the_route_in_floats_but_half_way_between_two_levels():
    """Y = W G W^T in float64 as it is commonly written, with W[i, j] = |[3.2 i, 3.2 (i +
    1)] and [j, j + 1]| / 3.2."""
    images = colours(500, seed=1)
    i, j = np.ogrid[:10, :32]
    W = (
        np.clip(np.minimum(3.2 * (i + 1), j + 1) - np.maximum(3.2 * i, j), 0, None)
        / 3.2
    )
    red, green, blue = images.swapaxes(0, 1)
    Y = W @ (0.299 * red + 0.587 * green + 0.114 * blue) @ W.T
    decided = abs(Y - np.floor(Y) - 0.5) > 1e-9
    assert decided.mean() > 0.999
    np.testing.assert_array_equal(
        cifar10.grey(images)[decided], np.rint(Y)[decided]
    )


# -- CIFAR-10: the archive -------------------------------------------------------------------------


def python2_pickle(images, labels):
    """A batch byte for byte as Python 2 and the numpy of 2009 wrote it, with protocol 2."""
    data = images.reshape(len(images), 3072)
    return b"".join(
        [
            b"\x80\x02}q\x01(U\x04dataq\x02cnumpy.core.multiarray\n_reconstruct\nq\x03cnumpy\nndarray\nq\x04",
            b"K\x00\x85U\x01b\x87Rq\x05(K\x01K",
            bytes([len(data)]),
            b"M\x00\x0c\x86cnumpy\ndtype\nq\x06U\x02u1K\x00K\x01\x87Rq\x07",
            b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T",
            struct.pack("<I", data.size) + data.tobytes(),
            b"tbU\x06labelsq\x08]q\t(",
            b"".join(b"K" + bytes([label]) for label in labels),
            b"eU\x0bbatch_labelq\nU\x15training batch 1 of "
            b"5q\x0bU\tfilenamesq\x0c]q\r(U\x05a.pngq\x0eeu.",
        ]
    )


def write_archive(path, batches):
    with tarfile.open(path, "w:gz") as tar:
        for name, content in {
            "cifar-10-batches-py/readme.html": b"<html>",
            **batches,
        }.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


IMAGES = {name: colours(2, seed=seed) for seed, name in enumerate(cifar10.BATCHES)}
LABELS = {name: [seed, 9 - seed] for seed, name in enumerate(cifar10.BATCHES)}
BATCHES = {
    name: python2_pickle(IMAGES[name], LABELS[name]) for name in cifar10.BATCHES
}
FIRST = next(iter(BATCHES))


@pytest.mark.parametrize("protocol", [None, 2, 3, 4, 5])
def test_batches_of_every_python_are_read(tmp_path, protocol):
    batches = dict(BATCHES)
    if protocol:
        batch = {b"data": IMAGES[FIRST].reshape(2, -1), b"labels": LABELS[FIRST]}
        # written by Python 3 these two need functions that the originals do not
        if protocol in (2, 5):
            with pytest.raises(
                pickle.UnpicklingError, match="which is not an array"
            ):
                cifar10.ArrayUnpickler(
                    io.BytesIO(pickle.dumps(batch, protocol))
                ).load()
            return
        batches[FIRST] = pickle.dumps(batch, protocol)
    read = cifar10.read_archive(write_archive(tmp_path / "x.tar.gz", batches))
    assert read.keys() == BATCHES.keys()
    for name, (images, labels) in read.items():
        np.testing.assert_array_equal(images, cifar10.grey(IMAGES[name]))
        assert labels.tolist() == LABELS[name]


class Malicious:
    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    "attack",
    [
        lambda path: pickle.dumps(Malicious(os.mkdir, path)),
        lambda path: pickle.dumps(
            Malicious(eval, f"__import__('os').mkdir({path!r})"), protocol=2
        ),
        lambda path: pickle.dumps(
            {b"data": Malicious(os.mkdir, path), b"labels": [1]}
        ),
        lambda path: pickle.dumps(
            np.array([Malicious(os.mkdir, path)], dtype=object), protocol=4
        ),
        lambda path: b"cos\nmkdir\n(V" + path.encode() + b"\ntR.",
        lambda path: (
            b"\x80\x04\x8c\x05numpy\x8c\x0endarray.tofile\x93."
        ),  # a dotted way out of what is admitted
        lambda path: (
            b"(V" + path.encode() + b"\nios\nmkdir\n."
        ),  # by the INST opcode
    ],
    ids=[
        "reduce",
        "eval",
        "in a batch",
        "in an array",
        "by hand",
        "dotted",
        "INST",
    ],
)
def test_a_malicious_pickle_is_refused_before_it_does_anything(tmp_path, attack):
    harm = tmp_path / "harm"
    archive = write_archive(
        tmp_path / "x.tar.gz", {**BATCHES, FIRST: attack(str(harm))}
    )
    with pytest.raises(
        DataError,
        match=rf"{FIRST} is no batch of CIFAR-10: it asks for .*, which is not an array",
    ):
        cifar10.read_archive(archive)
    assert not harm.exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no pickle",
        BATCHES[FIRST][:-4000],
        pickle.dumps({}),
        pickle.dumps(3),
        pickle.dumps({b"data": 3, b"labels": []}),
    ],
    ids=["empty", "text", "short", "no data", "a number", "no array"],
)
def test_what_is_no_batch(tmp_path, content):
    archive = write_archive(tmp_path / "x.tar.gz", {**BATCHES, FIRST: content})
    with pytest.raises(
        DataError,
        match=r"x\.tar\.gz: .*data_batch_1 is no batch of CIFAR-10|cannot be unpacked",
    ):
        cifar10.read_archive(archive)


def test_what_is_no_archive(tmp_path):
    archive = write_archive(tmp_path / "x.tar.gz", BATCHES)
    content = archive.read_bytes()
    for damaged in (content[: len(content) // 2], b"<html>", b""):
        archive.write_bytes(damaged)
        with pytest.raises(DataError, match=r"x\.tar\.gz cannot be unpacked: "):
            cifar10.read_archive(archive)
    few = {name: BATCHES[name] for name in BATCHES if "test" not in name}
    with pytest.raises(
        DataError, match="is not CIFAR-10: it lacks cifar-10-batches-py/test_batch"
    ):
        cifar10.read_archive(write_archive(archive, few))


@pytest.fixture
def small_cifar10(tmp_path, monkeypatch):
    """CIFAR-10 of two images a batch on a mirror of our own, and the paths that the mirror
    is asked for."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    content = write_archive(folder / "cifar-10-python.tar.gz", BATCHES).read_bytes()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("SFNBENCH_DATA", raising=False)
    monkeypatch.setattr(_files, "_cache", lambda: tmp_path / "cache")
    with serving(folder) as (address, asked):
        archive = File(
            cifar10.ARCHIVE.path, hashlib.sha256(content).hexdigest(), (address,)
        )
        file = replace(
            cifar10.SMALL_IMAGES,
            recipe=Recipe(archive, cifar10.SMALL_IMAGES.recipe.make),
        )
        monkeypatch.setattr(cifar10, "SMALL_IMAGES", file)
        monkeypatch.setattr(
            cifar10,
            "DATASET",
            replace(cifar10.DATASET, n_train=10, n_test=2, files=(file,)),
        )
        yield asked


def test_cifar10_is_made_from_its_archive_once(small_cifar10):
    for _ in range(2):
        for split in ("train", "test"):
            read = datasets.load("cifar10", split)
            names = [name for name, of in cifar10.BATCHES.items() if of == split]
            expected = np.concatenate(
                [cifar10.grey(IMAGES[name]) for name in names]
            )
            np.testing.assert_array_equal(read.x, expected / 255)
            assert read.y.tolist() == [
                label for name in names for label in LABELS[name]
            ]
    assert small_cifar10 == ["/cifar-10-python.tar.gz"]


def test_no_array_file_is_unpickled(small_cifar10):
    """Even under a right sum: numpy's own format may hold pickles, too."""
    path = _files.locate_file(cifar10.SMALL_IMAGES)
    np.savez(
        path,
        x_train=np.array([Malicious(os.mkdir, "harm")], dtype=object),
        y_train=np.zeros(1),
    )
    path.with_name(f"{path.name}.sha256").write_text(
        hashlib.sha256(path.read_bytes()).hexdigest()
    )
    with pytest.raises(
        DataError,
        match="cannot be read: Object arrays cannot be loaded when allow_pickle=False",
    ):
        datasets.load("cifar10")


BARE = io.BytesIO()
np.save(BARE, np.zeros(3))


@pytest.mark.parametrize(
    "content", [b"", b"no zip", b"PK\x03\x04 cut short", BARE.getvalue()]
)
def test_what_is_no_array_file(small_cifar10, content):
    path = _files.locate_file(cifar10.SMALL_IMAGES)
    path.write_bytes(content)
    path.with_name(f"{path.name}.sha256").write_text(
        hashlib.sha256(content).hexdigest()
    )
    with pytest.raises(
        DataError, match=r"cifar10-10x10-gray\.npz cannot be read: "
    ):
        datasets.load("cifar10")
