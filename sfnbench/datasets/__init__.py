"""Real data by name.

Found by being there, loaded as numpy arrays, never shipped beyond what Python and scikit-learn
bring.

A dataset is one file in this folder that defines ``DATASET``; its name is the file's. With the
environment variable SFNBENCH_DATA set, files are looked for in that folder alone and the network is
never tried; without it they are downloaded once into the user's cache. Either way they are used
only if their checksum is right.
"""

import importlib
from pathlib import Path
from typing import Literal

from ..errors import DataError
from ..words import did_you_mean
from ._files import File, locate_file, place, state, why_missing
from ._images import ImageDataset, Images, Pixels, Split, area_average
from ._texts import Text, TextDataset, TextSplit

__all__ = [
    "File",
    "ImageDataset",
    "Images",
    "Pixels",
    "Split",
    "Text",
    "TextDataset",
    "TextSplit",
    "area_average",
    "find",
    "find_text",
    "known",
    "load",
    "load_text",
    "locate_file",
    "missing_files",
    "names",
    "place",
    "state",
]

DatasetKind = Literal["images", "text"]
CLASSES: dict[DatasetKind, type[ImageDataset | TextDataset]] = {
    "images": ImageDataset,
    "text": TextDataset,
}


def names(kind: DatasetKind | None = None) -> tuple[str, ...]:
    """Every dataset's name, or those of one kind."""
    found = sorted(
        path.stem
        for path in Path(__file__).parent.glob("*.py")
        if not path.stem.startswith("_")
    )
    return tuple(
        name for name in found if kind is None or isinstance(known(name), CLASSES[kind])
    )


def known(name: str) -> ImageDataset | TextDataset:
    """What is known of a dataset of any kind before it is read.

    DataError with the nearest name where there is none.
    """
    if name not in names():
        raise DataError(f"unknown dataset {name!r}{did_you_mean(name, names())}")
    dataset = importlib.import_module(f".{name}", __name__).DATASET
    assert isinstance(dataset, (ImageDataset, TextDataset))
    return dataset


def find(name: str) -> ImageDataset:
    """What is known of a dataset of images before it is read.

    DataError for an unknown name or another kind.
    """
    dataset = known(name)
    if not isinstance(dataset, ImageDataset):
        raise DataError(
            f"{name} is text, not images; of images there are {', '.join(names('images'))}"
        )
    return dataset


def find_text(name: str) -> TextDataset:
    """What is known of a text before it is read; DataError for an unknown name or another kind."""
    dataset = known(name)
    if not isinstance(dataset, TextDataset):
        raise DataError(
            f"{name} is images, not text; of text there are {', '.join(names('text'))}"
        )
    return dataset


def missing_files(dataset: ImageDataset | TextDataset, split: str = "train") -> str:
    """Which of a split's files is not there and may not be downloaded, and what to do.

    Found by name, nothing is read.
    """
    return next(
        filter(
            None,
            (why_missing(file) for file in dataset.files if file.split in (split, "")),
        ),
        "",
    )


def load(
    name: str,
    split: Split = "train",
    *,
    size: int | None = None,
    n_examples: int | None = None,
) -> Images:
    """The first `n_examples` images of a split, averaged down to size x size.

    None leaves them as they are.

    >>> load("digits", n_examples=3, size=4).x.shape
    (3, 4, 4)
    """
    return find(name).load(split, size=size, n_examples=n_examples)


def load_text(
    name: str, split: TextSplit = "train", *, n_characters: int | None = None
) -> Text:
    """The first `n_characters` of a text's split as codes in its alphabet; None for all of them.

    >>> load_text("text", n_characters=1000).codes.shape
    (1000,)
    """
    return find_text(name).load(split, n_characters=n_characters)
