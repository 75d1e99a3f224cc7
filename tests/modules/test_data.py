"""All examples of tensors, datasets and loaders; what they are not is said."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, TensorDataset

from sfnbench import ModelError
from sfnbench.modules.data import arguments, examples_of

X, Y = torch.arange(12.0).view(6, 2), torch.arange(6)


class Pairs(Dataset):
    def __len__(self):
        return 6

    def __getitem__(self, i):
        return X[i], int(Y[i])


@pytest.mark.parametrize(
    "data",
    [
        (X, Y),
        [X.numpy(), np.arange(6)],
        TensorDataset(X, Y),
        Pairs(),
        DataLoader(Pairs(), batch_size=4),
    ],
    ids=["tensors", "arrays", "tensor dataset", "dataset", "loader"],
)
def test_they_are_the_same_examples(data):
    found = examples_of(data)
    assert torch.equal(found.inputs, X)
    assert torch.equal(found.targets, Y)
    assert (found.n, found.notes) == (6, ())
    assert torch.equal(examples_of(data, 3).inputs, X[:3])


def test_a_shuffled_loader_is_read_once_in_one_order():
    loader = DataLoader(Pairs(), batch_size=4, shuffle=True)
    found, again = examples_of(loader), examples_of(loader)
    assert torch.equal(found.inputs, again.inputs)
    assert torch.equal(found.targets.sort().values, Y)
    assert torch.equal(found.inputs[:, 0], 2.0 * found.targets)
    assert "shuffles" in found.notes[0]


def test_a_module_takes_one_tensor_or_several():
    assert arguments(X) == ((X,), {})
    assert arguments((X, Y)) == ((X, Y), {})
    assert arguments({"x": X}) == ((), {"x": X})
    found = examples_of(({"x": X, "length": Y}, Y))
    assert torch.equal(found.inputs["length"], Y)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (DataLoader([], batch_size=2), "the loader is empty"),
        (TensorDataset(X), "got 1 things instead of two"),
        ([(X[:2], Y[:2])], "got 1 things"),
        (DataLoader(list(X)), "must be a pair"),
        (("text", Y), "got str"),
        ((torch.tensor(1.0), Y), "first dimension"),
        (DataLoader([(X[:i], Y[0]) for i in (1, 2)]), "differ in shape, pad them"),
    ],
)
def test_what_are_no_examples_is_said(data, message):
    with pytest.raises(ModelError, match=message):
        examples_of(data)
