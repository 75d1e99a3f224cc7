"""The data of a problem: found by name and held against what was asked of them, before anything is read."""

from collections.abc import Callable
from typing import TypeVar

from ..errors import DataError

Source = TypeVar("Source")


def source_of(name: str, find: Callable[[str], Source]) -> Source:
    """What `find` knows of the dataset; ValueError where there is none of that name or it is of another kind."""
    try:
        return find(name)
    except DataError as error:
        raise ValueError(str(error)) from None


def check_within(**asked: tuple[int | None, int]) -> None:
    """ValueError unless every field, given with its limit, is None or in 1..limit."""
    for field, (value, limit) in asked.items():
        if value is not None and not 1 <= value <= limit:
            raise ValueError(f"{field} must be in 1..{limit} here, got {value}")
