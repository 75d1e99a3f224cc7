"""Real data by name: found by being there, loaded as numpy arrays, never shipped beyond what scikit-learn brings.

A dataset is one file in this folder that defines ``DATASET``; its name is the file's. With the environment variable
SFNBENCH_DATA set, files are looked for in that folder alone and the network is never tried; without it they are
downloaded once into the user's cache. Either way they are used only if their checksum is right.
"""

import importlib
from pathlib import Path

from ..errors import DataError, did_you_mean
from ._files import File, locate
from ._images import ImageDataset, Images, Pixels, Split, area_average

__all__ = ["File", "ImageDataset", "Images", "Pixels", "Split", "area_average", "find", "load", "locate", "names"]


def names() -> tuple[str, ...]:
    """Every dataset's name."""
    return tuple(sorted(path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("_")))


def find(name: str) -> ImageDataset:
    """What is known of a dataset before it is read; DataError with the nearest name where there is none."""
    if name not in names():
        raise DataError(f"unknown dataset {name!r}{did_you_mean(name, names())}")
    dataset = importlib.import_module(f".{name}", __name__).DATASET
    assert isinstance(dataset, ImageDataset)
    return dataset


def load(name: str, split: Split = "train", *, size: int | None = None, n_examples: int | None = None) -> Images:
    """The first `n_examples` images of a split, averaged down to size x size; None leaves them as they are.

    >>> load("digits", n_examples=3, size=4).x.shape
    (3, 4, 4)
    """
    return find(name).load(split, size=size, n_examples=n_examples)
