"""Real data by name.

Found by being there, loaded as numpy arrays, never shipped beyond what Python and scikit-learn
bring.

A dataset is one file that assigns ``DATASET``, an `ImageDataset` or `TextDataset`; its name is the
file's. It lies in this folder, in ``plugins/datasets/``, or in a package with an entry point
``sfnbench.datasets``.

With the environment variable SFNBENCH_DATA set, files are looked for in that folder alone and the
network is never tried; without it they are downloaded once into the user's cache. Either way they
are used only if their checksum is right.
"""

import importlib
import os
from typing import Literal

from ..errors import DataError
from ..members.datasets import dataset_files
from ..members.plugins import extend_package
from ..words import did_you_mean
from ._files import FOLDER, File, locate_file, place, state, why_missing
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
    "fetch_files",
    "find",
    "find_text",
    "known",
    "load",
    "load_text",
    "locate_file",
    "missing_files",
    "names",
    "needs_download",
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
    found = dataset_files()
    if kind is None:
        return tuple(found)
    return tuple(name for name in found if _is_of(kind, name))


def known(name: str) -> ImageDataset | TextDataset:
    """The description of a dataset of any kind, before it is read.

    DataError with the nearest name where there is none.
    """
    found = dataset_files()
    if name not in found:
        raise DataError(f"unknown dataset {name!r}{did_you_mean(name, found)}")
    path, module, attribute = found[name]
    extend_package()
    importlib.invalidate_caches()  # the file may be younger than the last look at its folder
    try:
        dataset = getattr(importlib.import_module(module), attribute, None)
    except Exception as error:  # a plugin's import may raise anything
        raise DataError(
            f"{path}: cannot be imported: {type(error).__name__}: {error}"
        ) from error
    if not isinstance(dataset, (ImageDataset, TextDataset)):
        raise DataError(
            f"{path}: {attribute} should be an ImageDataset or a TextDataset, "
            f"not {type(dataset).__name__}"
        )
    return dataset


def _is_of(kind: DatasetKind, name: str) -> bool:
    """Whether a dataset is of that kind; a broken one is of none."""
    try:
        return isinstance(known(name), CLASSES[kind])
    except DataError:
        return False


def find(name: str) -> ImageDataset:
    """The description of a dataset of images, before it is read.

    DataError for an unknown name or another kind.
    """
    dataset = known(name)
    if not isinstance(dataset, ImageDataset):
        raise DataError(
            f"{name} is text, not images; of images there are {', '.join(names('images'))}"
        )
    return dataset


def find_text(name: str) -> TextDataset:
    """The description of a text, before it is read; DataError where it is unknown or no text."""
    dataset = known(name)
    if not isinstance(dataset, TextDataset):
        raise DataError(
            f"{name} is images, not text; of text there are {', '.join(names('text'))}"
        )
    return dataset


def _files_of(dataset: ImageDataset | TextDataset, split: str) -> list[File]:
    return [file for file in dataset.files if file.split in (split, "")]


def missing_files(dataset: ImageDataset | TextDataset, split: str = "train") -> str:
    """Which of a split's files is not there and may not be downloaded, and what to do.

    Found by name, nothing is read.
    """
    reasons = (why_missing(file) for file in _files_of(dataset, split))
    return next(filter(None, reasons), "")


def needs_download(
    dataset: ImageDataset | TextDataset, split: str = "train"
) -> bool:
    """Whether a file of a split is not there, and may be downloaded. Found by name."""
    return not os.environ.get(FOLDER) and not all(
        place(file).exists() for file in _files_of(dataset, split)
    )


def fetch_files(dataset: ImageDataset | TextDataset, split: str = "train") -> None:
    """Download the files of a split that are not there; DataError where one cannot be had."""
    for file in _files_of(dataset, split):
        if not place(file).exists():
            locate_file(file)


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
