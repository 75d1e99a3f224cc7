"""All examples of tensors, datasets and loaders; what they are not is said."""

from collections import UserDict

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
    inputs, targets = found.tree
    assert torch.equal(inputs, X)
    assert torch.equal(targets, Y)
    assert (found.n, found.notes) == (6, ())
    assert torch.equal(examples_of(data, 3).tree[0], X[:3])


def test_a_shuffled_loader_is_read_once_in_one_order():
    loader = DataLoader(Pairs(), batch_size=4, shuffle=True)
    found, again = examples_of(loader), examples_of(loader)
    inputs, targets = found.tree
    assert torch.equal(inputs, again.tree[0])
    assert torch.equal(targets.sort().values, Y)
    assert torch.equal(inputs[:, 0], 2.0 * targets)
    assert "shuffles" in found.notes[0]


def test_a_module_takes_one_tensor_or_several():
    assert arguments(X) == ((X,), {})
    assert arguments((X, Y)) == ((X, Y), {})
    assert arguments({"x": X}) == ((), {"x": X})
    found = examples_of(({"x": X, "length": Y}, Y))
    assert torch.equal(found.tree[0]["length"], Y)


class Named(Pairs):
    def __getitem__(self, i):
        return {"x": X[i], "y": int(Y[i])}


@pytest.mark.parametrize(
    "data",
    [{"x": X, "y": Y}, UserDict(x=X.numpy(), y=Y), Named(), DataLoader(Named(), 4)],
    ids=["dict", "mapping", "dataset", "loader"],
)
def test_batches_by_name_are_one_batch(data):
    found = examples_of(data, in_pairs=False)
    assert torch.equal(found.tree["x"], X)
    assert torch.equal(found.tree["y"], Y)
    with pytest.raises(
        ModelError, match=r"a dict of 'x', 'y': give a loss of \(model, batch\)"
    ):
        examples_of(data)


def test_data_from_elsewhere_go_where_the_model_is(monkeypatch):
    class Elsewhere(torch.Tensor):  # a tensor that says it is on a GPU
        device = torch.device("cuda:0")

    found = examples_of((X.as_subclass(Elsewhere), Y))
    assert found.notes == ("the data come from cuda:0, and go where the model is",)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (DataLoader([], batch_size=2), "the loader is empty"),
        (TensorDataset(X), "got 1 things instead of two"),
        ([(X[:2], Y[:2])], "got 1 things"),
        (DataLoader(list(X)), "must be a pair"),
        ((X.to("meta"), Y), "on the device meta, and hold no numbers"),
        (("text", Y), "got str"),
        ((torch.tensor(1.0), Y), "first dimension"),
        (DataLoader([(X[:i], Y[0]) for i in (1, 2)]), "differ in shape, pad them"),
    ],
)
def test_what_are_no_examples_is_said(data, message):
    with pytest.raises(ModelError, match=message):
        examples_of(data)
