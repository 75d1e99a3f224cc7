"""The data of a module: tensors, a Dataset or a DataLoader as all examples at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_leaves, tree_map, tree_unflatten
from torch.utils.data import DataLoader, Dataset, TensorDataset, default_collate

from ..errors import ModelError

EXPECTED = (
    "data must be a pair (inputs, targets), a Dataset or a DataLoader of such pairs"
)


class Examples(NamedTuple):
    """Inputs and targets: trees of tensors whose first dimension are the n examples."""

    inputs: Any
    targets: Any
    n: int
    notes: tuple[str, ...] = ()


def examples_of(data: Any, n_examples: int | None = None) -> Examples:
    """All examples of the data, or the first `n_examples`; a loader is read once, and kept.

    ModelError where the data are empty, not finite, of different lengths or no pairs.
    """
    notes: list[str] = []
    if isinstance(data, DataLoader):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)  # of its order, where it shuffles
            inputs, targets = _end_to_end(_first_pairs(data, n_examples))
        if _is_shuffled(data):
            notes.append(
                "the loader shuffles its data or draws from them: one pass over it is kept"
            )
    elif isinstance(data, TensorDataset):
        inputs, targets = _pair(data.tensors)
    elif isinstance(data, Dataset):
        inputs, targets = _of_dataset(data, n_examples)
    else:
        inputs, targets = _pair(data)
    inputs, targets = tree_map(_as_tensor, inputs), tree_map(_as_tensor, targets)
    n = _n_examples(inputs, targets)
    if n_examples is not None and n_examples < n:
        inputs, targets = (
            tree_map(lambda t: t[:n_examples], each) for each in (inputs, targets)
        )
        notes.append(f"the first {n_examples} of {n} examples")
        n = n_examples
    _check_finite(inputs, "inputs")
    _check_finite(targets, "targets")
    return Examples(inputs, targets, n, tuple(notes))


def arguments(inputs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What a module is called with: a tensor, several in a tuple or a list, or a dict by name."""
    if isinstance(inputs, dict):
        return (), inputs
    if isinstance(inputs, tuple | list):
        return tuple(inputs), {}
    return (inputs,), {}


# -- inside ----------------------------------------------------------------------------------------


def _pair(given: Any) -> tuple[Any, Any]:
    if isinstance(given, Tensor | np.ndarray) or not isinstance(given, Sequence):
        raise ModelError(f"{EXPECTED}, got {type(given).__name__}")
    if len(given) != 2:
        raise ModelError(f"{EXPECTED}, got {len(given)} things instead of two")
    return given[0], given[1]


def _first_pairs(
    batches: Iterable[Any], n_examples: int | None
) -> list[tuple[Any, Any]]:
    """The batches of a loader, as many as hold the examples that are wanted."""
    found, n = [], 0
    for batch in batches:
        found.append(_pair(batch))
        n += _n_examples(*found[-1])
        if n_examples is not None and n >= n_examples:
            break
    if not found:
        raise ModelError("the loader is empty: it gives no batch")
    return found


def _of_dataset(data: Dataset[Any], n_examples: int | None) -> tuple[Any, Any]:
    n = len(data)  # type: ignore[arg-type]  # one that is read by place has a length
    wanted = n if n_examples is None else min(n, n_examples)
    if not wanted:
        raise ModelError("the dataset is empty")
    return _pair(default_collate([_pair(data[i]) for i in range(wanted)]))


def _end_to_end(pairs: Sequence[tuple[Any, Any]]) -> tuple[Any, Any]:
    """Batches as one: their tensors end to end."""
    structure = tree_flatten(pairs[0])[1]
    columns = zip(
        *[[_as_tensor(each) for each in tree_leaves(pair)] for pair in pairs],
        strict=True,
    )
    try:
        inputs, targets = tree_unflatten(
            [torch.cat(column) for column in columns], structure
        )
    except RuntimeError as error:
        raise ModelError(
            f"the loader's batches differ in shape, pad them: {error}"
        ) from error
    return inputs, targets


def _as_tensor(leaf: Any) -> Tensor:
    if isinstance(leaf, Tensor):
        return leaf.detach().to("cpu")
    try:
        return torch.as_tensor(leaf)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ModelError(
            f"{EXPECTED} of tensors or arrays, got {type(leaf).__name__}"
        ) from error


def _n_examples(inputs: Any, targets: Any) -> int:
    leaves = [*tree_leaves(inputs), *tree_leaves(targets)]
    if not leaves or any(each.ndim == 0 for each in leaves):
        raise ModelError(
            f"{EXPECTED}: the first dimension of each tensor are the examples"
        )
    lengths = sorted({len(each) for each in leaves})
    if len(lengths) > 1:
        raise ModelError(
            f"inputs and targets differ in length: {' and '.join(map(str, lengths))}"
        )
    if not lengths[0]:
        raise ModelError("the data are empty: no example is there")
    return lengths[0]


def _check_finite(tree: Any, what: str) -> None:
    for leaf in tree_leaves(tree):
        n_broken = int((~leaf.isfinite()).sum())
        if n_broken:
            raise ModelError(
                f"{n_broken} of {leaf.numel()} numbers of the {what} are not finite"
            )


def _is_shuffled(loader: DataLoader[Any]) -> bool:
    name = type(loader.sampler).__name__
    return name not in ("SequentialSampler", "_InfiniteConstantSampler")
