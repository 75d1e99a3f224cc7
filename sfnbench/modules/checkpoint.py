"""The weights of a checkpoint, checked against the module that they are for."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import ModelError
from ..words import counted, first_line

# Under these keys training scripts keep the weights beside an optimizer's state
NESTED = ("state_dict", "model_state_dict", "model", "net", "weights")
# Before these names stand what wraps a module: several devices, the compiler
PREFIXES = ("module.", "_orig_mod.")
N_SHOWN = 2


def load_checkpoint(model: nn.Module, file: str | Path) -> None:
    """Give a module the weights of a file that `torch.save` wrote, read with ``weights_only=True``.

    It holds a state dict, or one under a usual key. ModelError where there is no such file, where
    it needs code to be read, or where it is another model's.
    """
    found = _state(Path(file))
    own = model.state_dict()
    wrong = [*_weight_differences(found, own)]
    if wrong:
        more = ""
        if len(wrong) > N_SHOWN:
            more = f", and {len(wrong) - N_SHOWN} more"
        raise ModelError(
            f"{file} is the checkpoint of another model: {', '.join(wrong[:N_SHOWN])}{more}"
        )
    model.load_state_dict(found)


def _state(file: Path) -> dict[str, Tensor]:
    try:
        given = torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise ModelError(
            f"checkpoint {file}: no such file in {Path.cwd()}"
        ) from error
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"{file} holds more than weights, which would run code: save model.state_dict()"
        ) from error
    except (OSError, RuntimeError, EOFError, ValueError) as error:
        raise ModelError(
            f"{file} is no checkpoint of torch: {first_line(error)}"
        ) from error
    inner = next(
        (given[key] for key in NESTED if _is_state(_get(given, key))), given
    )
    if not _is_state(inner):
        raise ModelError(f"{file} holds no state dict: save model.state_dict()")
    return {_bare(name): value for name, value in inner.items()}


def _weight_differences(
    found: Mapping[str, Tensor], own: Mapping[str, Tensor]
) -> list[str]:
    """The differences, in words: shapes, missing names, surplus names."""
    shapes = [
        f"{name!r} is {tuple(found[name].shape)} there and {tuple(own[name].shape)} here"
        for name in own
        if name in found and found[name].shape != own[name].shape
    ]
    missing = [name for name in own if name not in found]
    surplus = [name for name in found if name not in own]
    if missing:
        shapes.append(f"{counted(len(missing), 'tensor')} missing ({missing[0]!r})")
    if surplus:
        shapes.append(
            f"{counted(len(surplus), 'tensor')} too many ({surplus[0]!r})"
        )
    return shapes


def _get(given: Any, key: str) -> Any:
    if isinstance(given, Mapping):
        return given.get(key)
    return None


def _is_state(given: Any) -> bool:
    if not isinstance(given, Mapping) or not given:
        return False
    return all(isinstance(value, Tensor) for value in given.values())


def _bare(name: str) -> str:
    for prefix in PREFIXES:
        name = name.removeprefix(prefix)
    return name
