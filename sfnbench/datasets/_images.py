"""Labelled images: their datasets, and their reduction by exact area averages."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ._files import File

Split = Literal["train", "test"]
# images turned into float64 at once: 60,000 of 28x28 would be 376 MB
PIXELS_A_BLOCK = 4096


@dataclass(frozen=True)
class Images:
    """Labelled images, ready for use.

    >>> Images(np.zeros((5, 8, 8)), np.zeros(5, dtype=np.int64), n_classes=10).x.shape
    (5, 8, 8)
    """

    x: NDArray[np.float64]  # (n, height, width), in [0, 1]
    y: NDArray[np.int64]  # (n,), in 0..n_classes-1
    n_classes: int


@dataclass(frozen=True)
class Pixels:
    """Labelled images as they are stored."""

    values: NDArray[Any]  # (n, height, width), in 0..white
    labels: NDArray[Any]  # (n,)
    white: float  # the value that stands for 1.0


@dataclass(frozen=True, kw_only=True)
class ImageDataset:
    """The description of a set of labelled images, before it is read."""

    n_train: int
    n_test: int  # 0: all examples are training examples
    side: int  # height and width in pixels
    n_classes: int
    read: Callable[[Split], Pixels]
    terms: str  # on which it may be used
    files: tuple[File, ...] = ()  # what it needs on disk
    comes_with: str = ""  # the package that holds it, where it needs no files

    def load(
        self,
        split: Split = "train",
        *,
        size: int | None = None,
        n_examples: int | None = None,
    ) -> Images:
        """The first `n_examples` of a split, averaged down to size x size.

        DataError if there are fewer examples or pixels than that.
        """
        n_there = self.n_train if split == "train" else self.n_test
        n = n_there if n_examples is None else n_examples
        if not 0 < n <= n_there:
            raise DataError(
                f"{n} examples asked for, but the {split} split has {n_there}"
            )
        side = self.side if size is None else size
        if not 0 < side <= self.side:
            raise DataError(
                f"{side}x{side} pixels asked for, but the images have {self.side}x{self.side}"
            )
        stored = self.read(split)
        images = stored.values.shape
        labels = stored.labels.shape
        if images != (n_there, self.side, self.side) or labels != (n_there,):
            raise DataError(
                f"{split} split: images {images} and labels {labels} where {n_there} of "
                f"{self.side}x{self.side} pixels were expected"
            )
        x = np.empty((n, side, side))
        for first in range(0, n, PIXELS_A_BLOCK):
            block = stored.values[first : min(first + PIXELS_A_BLOCK, n)]
            x[first : first + PIXELS_A_BLOCK] = area_average(block, side)
        x /= stored.white
        return Images(x, stored.labels[:n].astype(np.int64), self.n_classes)


def area_average(images: NDArray[Any], size: int) -> NDArray[np.float64]:
    """Images (..., height, width) as (..., size, size): exact means over each new pixel's area.

        Y = W G W^T,    W[i, j] = |pixel j within new pixel i| / |new pixel i|

    float64 and not rounded. Linear, and the mean of an image is kept. With 28 pixels averaged to
    10, new pixel 0 covers the old ones from 0 to 2.8, so that the third counts by 0.8.

    >>> area_average(np.array([[0.0, 2.0], [4.0, 6.0]]), 1)
    array([[3.]])
    """
    height, width = images.shape[-2:]
    values = images.astype(np.float64)
    if (height, width) == (size, size):
        return values
    weighted = _overlap(size, height) @ values @ _overlap(size, width).T
    return np.asarray(weighted / (height * width), dtype=np.float64)


def _overlap(n_new: int, n_old: int) -> NDArray[np.float64]:
    """W n_old (n_new, n_old): every edge is a whole number, so that sums of bytes stay exact."""
    new = np.arange(n_new)[:, None] * n_old
    old = np.arange(n_old) * n_new
    covered = np.minimum(new + n_old, old + n_new) - np.maximum(new, old)
    return np.asarray(np.maximum(covered, 0), dtype=np.float64)
