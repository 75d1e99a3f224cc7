"""The data of a problem, found by name and checked against its fields before anything is read."""

import functools
from collections.abc import Callable
from typing import TypeVar

from ..datasets import (
    ImageDataset,
    TextDataset,
    fetch_files,
    find,
    missing_files,
    needs_download,
)
from ..errors import DataError

DatasetT = TypeVar("DatasetT")


class FromDataset:
    """A problem on a dataset: it says which files are not there, and fetches them."""

    @property
    def source(self) -> ImageDataset | TextDataset:
        """The dataset, before it is read."""
        raise NotImplementedError

    @property
    def missing_data(self) -> str:
        """Which file of the dataset is not there and cannot be fetched."""
        return missing_files(self.source)

    @property
    def needs_download(self) -> bool:
        """Whether a file of the dataset is still to be fetched."""
        return needs_download(self.source)

    def fetch_data(self) -> None:
        """Fetch the files of the dataset; DataError where one cannot be had."""
        fetch_files(self.source)


class FromImages(FromDataset):
    """A problem on the first `n_examples` images of a dataset, None for all."""

    dataset: str
    n_examples: int | None

    @functools.cached_property
    def source(self) -> ImageDataset:
        """The dataset, before it is read."""
        return dataset_of(self.dataset, find)

    @property
    def population(self) -> int:
        """Number of training examples."""
        return self.n_examples or self.source.n_train


def dataset_of(name: str, find: Callable[[str], DatasetT]) -> DatasetT:
    """The dataset as `find` describes it; ValueError for an unknown name or another kind."""
    try:
        return find(name)
    except DataError as error:
        raise ValueError(str(error)) from None


def check_within(**asked: tuple[int | None, int]) -> None:
    """ValueError unless every field, given with its limit, is None or in 1..limit."""
    for field, (value, limit) in asked.items():
        if value is not None and not 1 <= value <= limit:
            raise ValueError(f"{field} must be in 1..{limit} here, got {value}")
