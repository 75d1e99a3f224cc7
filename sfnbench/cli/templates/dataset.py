"""My dataset: say in a line what it shows, and where it is from."""

import numpy as np

from sfnbench.datasets import ImageDataset, Pixels, Split


def _read_stripes(split: Split) -> Pixels:
    """The images (n, side, side) of a split, in 0..white, and their labels (n,)."""
    rng = np.random.default_rng(0)
    labels = rng.integers(2, size=200)
    upright = np.tile([0.0, 200.0], (8, 4))
    stripes = np.stack([upright, upright.T])[labels]
    noise = rng.uniform(0, 55, stripes.shape)
    return Pixels(stripes + noise, labels, white=255.0)


# suites: `{use: mlp, dataset: my_dataset, size: 4, n_examples: 100}`
DATASET = ImageDataset(
    n_train=200,
    n_test=0,  # all are training examples
    side=8,
    n_classes=2,
    read=_read_stripes,
    terms="your own",  # printed before anything is downloaded
    comes_with="this file",  # or `files=`: a File each, with its checksum
)
