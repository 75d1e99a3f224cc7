"""Handwritten digits, 8x8, 1,797 of them: inside scikit-learn, so never downloaded.

The test set of "Optical recognition of handwritten digits" (Alpaydin, Kaynak 1998; UCI), pixels 0
to 16. Used whole as training examples, in scikit-learn's order.
"""

import importlib.util
from pathlib import Path

import numpy as np

from ._images import ImageDataset, Pixels, Split


def _read_digits(split: Split) -> Pixels:
    spec = importlib.util.find_spec("sklearn")
    if spec and spec.origin:
        table = Path(spec.origin).parent / "datasets" / "data" / "digits.csv.gz"
    else:
        table = None
    if table is None or not table.is_file():
        from sklearn.datasets import load_digits

        digits = load_digits()
        return Pixels(digits.images, digits.target, white=16.0)
    # as load_digits does, without the 1.6 s that importing it takes
    rows = np.loadtxt(table, delimiter=",")
    return Pixels(rows[:, :-1].reshape(-1, 8, 8), rows[:, -1], white=16.0)


DATASET = ImageDataset(
    n_train=1797,
    n_test=0,
    side=8,
    n_classes=10,
    read=_read_digits,
    terms="CC BY 4.0",
    comes_with="scikit-learn",
)
