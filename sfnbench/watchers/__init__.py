"""Trackers of experiments that follow a session: TensorBoard, MLflow, Weights & Biases.

A file each, found by being there, with a class `Watcher`. Asked for as ``tensorboard:FOLDER``,
``mlflow:URI`` or ``wandb:PROJECT``.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable

from ..environment import install_hint
from ..errors import SfnbenchError
from ..session.observer import Observer, Several
from ..words import did_you_mean


def names() -> tuple[str, ...]:
    """Every tracker.

    >>> names()
    ('mlflow', 'tensorboard', 'wandb')
    """
    found = (each.name for each in pkgutil.iter_modules(__path__))
    return tuple(sorted(name for name in found if name[0] != "_"))


def find_watcher(asked: str) -> Observer:
    """The tracker of ``NAME`` or ``NAME:PLACE``.

    SfnbenchError for a name that is not known, and for a package that is not installed.
    """
    name, _, place = asked.partition(":")
    if name not in names():
        raise SfnbenchError(
            f"unknown tracker {name!r}{did_you_mean(name, names())}"
        )
    module = importlib.import_module(f"{__name__}.{name}")
    try:
        watcher: Observer = module.Watcher(place)
    except ImportError as error:
        raise SfnbenchError(f"{asked}: {error}; {install_hint(name)}") from None
    return watcher


def watched(observer: Observer, asked: Iterable[str]) -> Observer:
    """The observer, joined by the trackers that are asked for."""
    trackers = [find_watcher(each) for each in asked]
    return Several([observer, *trackers]) if trackers else observer
