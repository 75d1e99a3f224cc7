"""The data of a module: tensors, a Dataset or a DataLoader as all examples at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_leaves, tree_map, tree_unflatten
from torch.utils.data import DataLoader, Dataset, TensorDataset, default_collate

from ..errors import ModelError
from ..words import listed

EXPECTED = (
    "data must be a pair (inputs, targets), a Dataset or a DataLoader of such pairs"
)


class Examples(NamedTuple):
    """All examples as one batch: a tree of tensors whose first dimension are the n examples."""

    tree: Any  # a pair (inputs, targets), where pairs were asked for
    n: int
    notes: tuple[str, ...] = ()


def examples_of(
    data: Any, n_examples: int | None = None, *, in_pairs: bool = True
) -> Examples:
    """All examples of the data, or the first `n_examples`; a loader is read once, and kept.

    A batch is a pair (inputs, targets), or, not `in_pairs`, any tree of tensors, such as a dict.
    ModelError where the data are empty, not finite, of different lengths or no pairs.
    """
    checked = _pair if in_pairs else _plain
    notes: list[str] = []
    if isinstance(data, DataLoader):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)  # of its order, where it shuffles
            tree = _end_to_end(_first_batches(data, n_examples, checked))
        if _is_shuffled(data):
            notes.append(
                "the loader shuffles its data or draws from them: one pass over it is kept"
            )
    elif isinstance(data, TensorDataset):
        tree = checked(data.tensors)
    elif isinstance(data, Dataset):
        tree = _of_dataset(data, n_examples, checked)
    else:
        tree = checked(data)
    leaves = [each for each in tree_leaves(tree) if isinstance(each, Tensor)]
    away = sorted({str(each.device) for each in leaves} - {"cpu"})
    if away:
        notes.append(
            f"the data come from {listed(away)}, and go where the model is"
        )
    tree = tree_map(_as_tensor, tree)
    n = _n_examples(tree)
    if n_examples is not None and n_examples < n:
        tree = tree_map(lambda t: t[:n_examples], tree)
        notes.append(f"the first {n_examples} of {n} examples")
        n = n_examples
    _check_finite(tree, ("inputs", "targets") if in_pairs else ())
    return Examples(tree, n, tuple(notes))


def arguments(inputs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What a module is called with: a tensor, several in a tuple or a list, or a dict by name."""
    if isinstance(inputs, dict):
        return (), inputs
    if isinstance(inputs, tuple | list):
        return tuple(inputs), {}
    return (inputs,), {}


def batch_of(tree: Any, places: Tensor | None) -> Any:
    """The examples at these places (size,) of all, or all of them."""
    return tree if places is None else tree_map(lambda t: t[places], tree)


# -- inside ----------------------------------------------------------------------------------------


def _pair(given: Any) -> tuple[Any, Any]:
    found = _plain(given)
    if isinstance(found, dict):
        names = ", ".join(map(repr, found))
        raise ModelError(
            f"{EXPECTED}, got a dict of {names}: give a loss of (model, batch) instead of the "
            f"criterion, which takes such batches"
        )
    if not isinstance(found, tuple | list):
        raise ModelError(f"{EXPECTED}, got {type(found).__name__}")
    if len(found) != 2:
        raise ModelError(f"{EXPECTED}, got {len(found)} things instead of two")
    return found[0], found[1]


def _plain(given: Any) -> Any:
    """The same tree, with dicts in place of other mappings, which torch takes for leaves."""
    if isinstance(given, Mapping):
        return {name: _plain(each) for name, each in given.items()}
    if type(given) in (tuple, list):
        return type(given)(map(_plain, given))
    return given


def _first_batches(
    batches: Iterable[Any], n_examples: int | None, checked: Callable[[Any], Any]
) -> list[Any]:
    """The batches of a loader, as many as hold the examples that are wanted."""
    found, n = [], 0
    for batch in batches:
        found.append(checked(batch))
        n += _n_examples(found[-1])
        if n_examples is not None and n >= n_examples:
            break
    if not found:
        raise ModelError("the loader is empty: it gives no batch")
    return found


def _of_dataset(
    data: Dataset[Any], n_examples: int | None, checked: Callable[[Any], Any]
) -> Any:
    n = len(data)  # type: ignore[arg-type]  # one that is read by place has a length
    wanted = n if n_examples is None else min(n, n_examples)
    if not wanted:
        raise ModelError("the dataset is empty")
    return checked(default_collate([checked(data[i]) for i in range(wanted)]))


def _end_to_end(batches: Sequence[Any]) -> Any:
    """Batches as one: their tensors end to end."""
    structure = tree_flatten(batches[0])[1]
    columns = zip(
        *[[_as_tensor(each) for each in tree_leaves(batch)] for batch in batches],
        strict=True,
    )
    try:
        return tree_unflatten([torch.cat(column) for column in columns], structure)
    except RuntimeError as error:
        raise ModelError(
            f"the loader's batches differ in shape, pad them: {error}"
        ) from error


def _as_tensor(leaf: Any) -> Tensor:
    if isinstance(leaf, Tensor):
        if leaf.is_meta:
            raise ModelError("the data are on the device meta, and hold no numbers")
        return leaf.detach().to("cpu")
    try:
        return torch.as_tensor(leaf)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ModelError(
            f"{EXPECTED} of tensors or arrays, got {type(leaf).__name__}"
        ) from error


def _n_examples(tree: Any) -> int:
    leaves = [_as_tensor(each) for each in tree_leaves(tree)]
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


def _check_finite(tree: Any, names: Sequence[str]) -> None:
    parts = zip(names, tree, strict=True) if names else [("data", tree)]
    for what, part in parts:
        for leaf in tree_leaves(part):
            n_broken = int((~leaf.isfinite()).sum())
            if n_broken:
                raise ModelError(
                    f"{n_broken} of {leaf.numel()} numbers of the {what} are not finite"
                )


def _is_shuffled(loader: DataLoader[Any]) -> bool:
    name = type(loader.sampler).__name__
    return name not in ("SequentialSampler", "_InfiniteConstantSampler")
