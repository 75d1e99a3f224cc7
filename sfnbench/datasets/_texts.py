"""Text read character by character: its datasets, and its characters as places in an alphabet."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ._files import File

TextSplit = Literal["train", "valid", "test"]


@dataclass(frozen=True)
class Text:
    """A text, ready for use: character i is ``alphabet[codes[i]]``.

    >>> encode("banana", "abn").codes
    array([1, 0, 2, 0, 2, 0])
    """

    codes: NDArray[np.int64]  # (n,), in 0..len(alphabet)-1
    alphabet: str  # distinct characters, in the order of their code points


@dataclass(frozen=True, kw_only=True)
class TextDataset:
    """The description of a text, before it is read."""

    n_characters: Mapping[TextSplit, int]  # of each split that there is
    alphabet: (
        str  # distinct characters, by their code points; the same for every split
    )
    read: Callable[[TextSplit], str]
    terms: str  # on which it may be used
    files: tuple[File, ...] = ()  # what it needs on disk
    comes_with: str = ""  # the package that holds it, where it needs no files

    def load(
        self, split: TextSplit = "train", *, n_characters: int | None = None
    ) -> Text:
        """The first `n_characters` of a split, None for all of them.

        DataError if there are fewer than that.
        """
        n_there = self.n_characters.get(split, 0)
        n = n_there if n_characters is None else n_characters
        if not 0 < n <= n_there:
            raise DataError(
                f"{n} characters asked for, but the {split} split has {n_there}"
            )
        text = self.read(split)
        if len(text) != n_there:
            raise DataError(
                f"{split} split: {len(text)} characters where {n_there} were expected"
            )
        return encode(text[:n], self.alphabet)


def encode(text: str, alphabet: str) -> Text:
    """The text's characters as places in the alphabet; DataError for one that it lacks."""
    # sorted, so that a place is found by bisection
    known = np.frombuffer(alphabet.encode("utf-32-le"), "<u4")
    points = np.frombuffer(text.encode("utf-32-le"), "<u4")
    codes = np.searchsorted(known, points)
    unknown = known.take(codes, mode="clip") != points
    if unknown.any():
        place = int(unknown.argmax())
        raise DataError(
            f"character {text[place]!r} at place {place} is not in the alphabet {alphabet!r}"
        )
    return Text(codes.astype(np.int64), alphabet)
