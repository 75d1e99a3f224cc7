"""CIFAR-10 in grey at 10x10: 50,000 + 10,000 photographs of ten kinds of things, as in the paper.

Made once on this machine from the original colour images of 32x32. The grey is 0.299 R + 0.587 G +
0.114 B, then the exact average over the area of each new pixel, then the nearest whole number. All
of it in whole numbers (a thousandth of a grey level over 1/1024 of a pixel's area) until the one
rounding at the end, so that it is the same array on every machine. A data folder may hold it ready
made, from a route in floats: the two may round some 30 of the 6 million pixels apart, those whose
value lies half-way between two whole numbers.

Krizhevsky 2009, "Learning multiple layers of features from tiny images"; Dauphin et al. 2014,
section 6.1, for the size.
"""

import io
import pickle
import tarfile
import zipfile
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ._files import File, Recipe, locate_file
from ._images import PIXELS_A_BLOCK, ImageDataset, Pixels, Split, area_average

PIXELS_A_SIDE = 10
BATCHES: dict[str, Split] = {
    **{f"cifar-10-batches-py/data_batch_{i}": "train" for i in range(1, 6)},
    "cifar-10-batches-py/test_batch": "test",
}
# numpy's own function, whose module has moved over its versions
RECONSTRUCT = np.empty(0).__reduce__()[0]
# all that a pickled array needs, under the names that old numpy gave it
ADMITTED: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): RECONSTRUCT,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


class ArrayUnpickler(pickle.Unpickler):
    """Reads pickles of plain values and numpy arrays; nothing else is imported or called."""

    def __init__(self, file: BinaryIO) -> None:
        # the batches are Python 2's, whose strings are bytes
        super().__init__(file, encoding="bytes")

    def find_class(self, module: str, name: str) -> Any:
        """The admitted object of that name; UnpicklingError for every other."""
        if (module, name) not in ADMITTED:
            raise pickle.UnpicklingError(
                f"it asks for {module}.{name}, which is not an array"
            )
        return ADMITTED[module, name]


# what bytes that are no batch raise
NO_BATCH = (
    pickle.UnpicklingError,
    LookupError,
    AttributeError,
    TypeError,
    ValueError,
    MemoryError,
)


def read_archive(
    archive: Path,
) -> dict[str, tuple[NDArray[np.uint8], NDArray[np.int64]]]:
    """Grey images (n, 10, 10) and labels (n,) of every batch.

    DataError if the archive is damaged, short of one or unsafe.

    In one pass, in the archive's own order: going back in a gzip file means unpacking it again from
    its beginning.
    """
    batches = {}
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                if member.name in BATCHES and (file := tar.extractfile(member)):
                    batches[member.name] = _read_batch(file.read())
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise DataError(f"{archive} cannot be unpacked: {error}") from error
    except NO_BATCH as error:
        raise DataError(
            f"{archive}: {member.name} is no batch of CIFAR-10: {error}"
        ) from error
    if lacking := BATCHES.keys() - batches.keys():
        raise DataError(
            f"{archive} is not CIFAR-10: it lacks {', '.join(sorted(lacking))}"
        )
    return batches


def _read_batch(pickled: bytes) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Grey images (n, 10, 10) and labels (n,); one of `NO_BATCH` where there are none."""
    batch = ArrayUnpickler(io.BytesIO(pickled)).load()
    colours = np.asarray(batch[b"data"], np.uint8).reshape(-1, 3, 32, 32)
    return grey(colours), np.asarray(batch[b"labels"], np.int64)


def grey(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Colour images (n, 3, height, width) as grey ones (n, 10, 10)."""
    made = np.empty((len(images), PIXELS_A_SIDE, PIXELS_A_SIDE), np.uint8)
    for first in range(0, len(images), PIXELS_A_BLOCK):
        red, green, blue = (
            images[first : first + PIXELS_A_BLOCK].astype(np.float64).swapaxes(0, 1)
        )
        # 299 R + 587 G + 114 B and its average over 1024ths are exact in float64; clipping has
        # nothing left to do.
        thousandths = area_average(
            299 * red + 587 * green + 114 * blue, PIXELS_A_SIDE
        )
        made[first : first + PIXELS_A_BLOCK] = np.rint(thousandths / 1000)
    return made


def _make_small(archive: Path, path: Path) -> None:
    batches = read_archive(archive)
    arrays: dict[str, NDArray[Any]] = {}
    for split in ("train", "test"):
        images, labels = zip(
            *(batches[name] for name in BATCHES if BATCHES[name] == split),
            strict=True,
        )
        arrays |= {
            f"x_{split}": np.concatenate(images),
            f"y_{split}": np.concatenate(labels),
        }
    np.savez_compressed(path, allow_pickle=False, **arrays)


def _read_cifar10(split: Split) -> Pixels:
    path = locate_file(SMALL_IMAGES)
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return Pixels(arrays[f"x_{split}"], arrays[f"y_{split}"], white=255.0)
    except (
        OSError,
        EOFError,
        KeyError,
        TypeError,
        ValueError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise DataError(f"{path} cannot be read: {error}") from error


ARCHIVE = File(
    "cifar10/cifar-10-python.tar.gz",
    "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
    ("https://www.cs.toronto.edu/~kriz",),
    170_498_071,
)
SMALL_IMAGES = File(
    "cifar10/cifar10-10x10-gray.npz",
    "904ffe50f1bbe073cf77b252d3cc1a0333ffb3159f4fd9d79766c3ed5e0b128d",
    (),
    5_854_453,
    Recipe(ARCHIVE, _make_small),
)
DATASET = ImageDataset(
    n_train=50_000,
    n_test=10_000,
    side=PIXELS_A_SIDE,
    n_classes=10,
    read=_read_cifar10,
    terms="none stated by its makers, who ask to be cited",
    files=(SMALL_IMAGES,),
)
