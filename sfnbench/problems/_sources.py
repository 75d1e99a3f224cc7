"""The data of a problem.

Found by name and held against what was asked of them, before anything is read.
"""

import functools
from collections.abc import Callable
from typing import TypeVar

from ..datasets import ImageDataset, find, missing_data
from ..errors import DataError

Source = TypeVar("Source")


class FromImages:
    """What problems on images share.

    The first `n_examples` of the set, or all of it for None.
    """

    dataset: str
    n_examples: int | None

    @functools.cached_property
    def source(self) -> ImageDataset:
        """The dataset, before it is read."""
        return source_of(self.dataset, find)

    @property
    def missing_data(self) -> str:
        """Which file of the dataset is not there and cannot be fetched."""
        return missing_data(self.source)

    @property
    def population(self) -> int:
        """Number of training examples."""
        return self.n_examples or self.source.n_train


def source_of(name: str, find: Callable[[str], Source]) -> Source:
    """What `find` knows of the dataset.

    ValueError where there is none of that name or it is of another kind.
    """
    try:
        return find(name)
    except DataError as error:
        raise ValueError(str(error)) from None


def check_within(**asked: tuple[int | None, int]) -> None:
    """ValueError unless every field, given with its limit, is None or in 1..limit."""
    for field, (value, limit) in asked.items():
        if value is not None and not 1 <= value <= limit:
            raise ValueError(f"{field} must be in 1..{limit} here, got {value}")
