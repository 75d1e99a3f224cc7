"""Spellings of other places in the words of an entry: one meaning, one form.

lr: {schedule: cosine, start: 0.1}      lr: 0.1, schedule: cosine
clip_grad_norm: 1.0                     clip: 1.0
clip_grad_value: 0.1                    clip: {value: 0.1}
no_decay: [bias]                        groups: {"*bias*": {weight_decay: 0}}
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from .schedules import SHAPES

KeyNote = Callable[[str, str], None]  # takes a key and what is wrong with it


def respelled(
    given: dict[str, Any], known: Collection[str], note: KeyNote
) -> tuple[dict[str, Any], dict[str, str]]:
    """The parameters under our keys, and which key of the suite each of these comes from.

    A parameter of the class itself that has one of these names stays as it is.
    """
    found = dict(given)
    origins = {}
    for key, (ours, translate) in SPELLINGS.items():
        if key not in given or (key in known and key != "lr"):
            continue
        if key == "lr" and not _has_schedule(given[key]):
            continue
        if ours in given:
            note(key, f"{key} and {ours} say the same thing: give one of them")
            del found[key]
            continue
        try:
            del found[key]
            found |= translate(given[key])
            origins[ours] = key
        except ValueError as error:
            note(key, str(error))
    return found, origins


def _has_schedule(value: Any) -> bool:
    return isinstance(value, dict) and "schedule" in value


def _rate(value: dict[str, Any]) -> dict[str, Any]:
    """A rate that says its own schedule; its end is a rate too, where ours is a share."""
    rest = {
        key: each for key, each in value.items() if key not in ("schedule", "start")
    }
    use = value["schedule"]
    start = value.get("start")
    end = rest.get("end")
    if end is not None and use in SHAPES:
        are_numbers = type(start) in (int, float) and type(end) in (int, float)
        if start is None or not are_numbers or start <= 0:
            example = "{schedule: cosine, start: 0.1, end: 0.001}"
            raise ValueError(f"an end of lr wants a start, as in {example}")
        rest["end"] = end / start
    rate = {} if start is None else {"lr": start}
    return {**rate, "schedule": {"use": use, **rest}}


def _without_decay(value: Any) -> dict[str, Any]:
    """Groups of the tensors whose names have one of some texts in them."""
    texts = [value] if isinstance(value, str) else value
    if not (
        isinstance(texts, list) and texts and all(type(t) is str for t in texts)
    ):
        raise ValueError(
            f"no_decay must list parts of names: [bias], not {value!r}"
        )
    return {"groups": {f"*{text}*": {"weight_decay": 0.0} for text in texts}}


SPELLINGS: dict[str, tuple[str, Callable[[Any], dict[str, Any]]]] = {
    "lr": ("schedule", _rate),
    "clip_grad_norm": ("clip", lambda value: {"clip": value}),
    "clip_grad_value": ("clip", lambda value: {"clip": {"value": value}}),
    "no_decay": ("groups", _without_decay),
}
