"""The suites of a card, with the method put in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from ..errors import SfnbenchError
from ..members import registry
from ..results.writing import written_whole
from ..suite.files import available

PARTS = ("card_saddles", "card_noise", "card_network", "card_steps")
# What is tuned where the method has it, over the same range as of those beside it.
TUNED = {"lr": [1e-2, 10], "damping": [1e-4, 1], "learning_rate": [1e-2, 10]}


def write_suite(
    part: str, method: str, params: Mapping[str, Any], folder: Path
) -> Path:
    """The suite of a part with the method as its last optimizer, as a file below a folder."""
    text = available()[part].read_text("utf-8")
    entry: dict[str, Any] = {"use": method, **params}
    is_there = method in {
        each["use"] for each in yaml.safe_load(text)["optimizers"]
    }
    if part == "card_network":
        entry |= {
            tuned: {"loguniform": TUNED[tuned]}
            for tuned in tuned_fields(method, params)
        }
    if part == "card_noise":
        entry = {"batch_size": 1, **entry}
    if not is_there or params:
        text += f"  - {json.dumps({**entry, 'label': label_of(method, params)})}\n"
    path = folder / f"{part}_{method.replace(':', '.')}.yaml"
    with written_whole(path) as partial:
        folder.mkdir(parents=True, exist_ok=True)
        partial.write_text(text, "utf-8")
    return path


def label_of(method: str, params: Mapping[str, Any]) -> str:
    """The method as the card names it, with the parameters that were given."""
    given = ", ".join(f"{name}={value}" for name, value in params.items())
    return f"{method} ({given})" if given else method


def tuned_fields(method: str, params: Mapping[str, Any]) -> list[str]:
    """The parameters that the card tunes: the learning rate, else the damping."""
    if method.startswith("scipy."):  # they search along a line
        return []
    if registry.is_stock(method):
        return [] if "lr" in params else ["lr"]
    fields = {each.name for each in registry.find("optimizer", method).fields}
    known = [
        str(name) for name in ("lr", "learning_rate", "damping") if name in fields
    ]
    if not known or known[0] in params:
        return []
    return known[:1]


def parameters(given: list[str]) -> dict[str, Any]:
    """Parameters from texts like lr=0.1; SfnbenchError for another form."""
    found = {}
    for each in given:
        name, equals, value = each.partition("=")
        if not equals or not name.isidentifier():
            raise SfnbenchError(
                f"--set {each}: expected a parameter and a value, as in lr=0.1"
            )
        found[name] = yaml.safe_load(value)
        if isinstance(found[name], str):  # YAML reads 1e-3 as text
            with suppress(ValueError):
                found[name] = float(value)
    return found
