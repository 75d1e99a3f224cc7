"""Image sets in the idx format of MNIST: two gzipped files a split."""

import functools
import gzip
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ._files import File, locate_file
from ._images import ImageDataset, Pixels, Split

NAMES = {
    "train": ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
    "test": ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"),
}
UNSIGNED_BYTE = 0x08  # the third byte of the magic number; the fourth is the number of dimensions


def like_mnist(
    folder: str,
    sums: Mapping[str, tuple[str, int]],
    mirrors: tuple[str, ...],
    terms: str,
) -> ImageDataset:
    """A dataset of MNIST's form and size from the sha256 and the bytes of each of its files."""
    files = tuple(
        File(f"{folder}/{name}", sha256, mirrors, n_bytes, split=split_of(name))
        for name, (sha256, n_bytes) in sums.items()
    )
    read = functools.partial(read_split, files)
    return ImageDataset(
        n_train=60_000,
        n_test=10_000,
        side=28,
        n_classes=10,
        read=read,
        terms=terms,
        files=files,
    )


def read_idx(path: Path) -> NDArray[np.uint8]:
    """The array in a gzipped idx file of unsigned bytes; DataError if it is damaged."""
    try:
        data = gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        # gzip.BadGzipFile is an OSError
        raise DataError(f"{path} cannot be unpacked: {error}") from error
    n_dims = data[3] if len(data) >= 4 else 0
    if (
        data[:3] != bytes((0, 0, UNSIGNED_BYTE))
        or n_dims == 0
        or len(data) < 4 + 4 * n_dims
    ):
        begin = data[:8].hex(" ") or "nothing"
        raise DataError(
            f"{path} is no idx file of unsigned bytes: it begins with {begin}"
        )
    shape = tuple(int(n) for n in np.frombuffer(data, ">u4", n_dims, offset=4))
    values: NDArray[Any] = np.frombuffer(data, np.uint8, offset=4 + 4 * n_dims)
    # in Python's integers: a damaged header may ask for anything
    n_expected = int(np.prod([*shape], dtype=object))
    if values.size != n_expected:
        raise DataError(
            f"{path} holds {values.size} values, but its header says {n_expected} {shape}"
        )
    return values.reshape(shape)


def split_of(name: str) -> str:
    """The split that the file of this name belongs to."""
    return next(split for split, names in NAMES.items() if name in names)


def read_split(files: tuple[File, ...], split: Split) -> Pixels:
    """A split's images and labels, from those of the files that hold them."""
    by_name = {file.name: file for file in files}
    images, labels = (read_idx(locate_file(by_name[name])) for name in NAMES[split])
    return Pixels(images, labels, white=255.0)
