"""Pieces of sentences, and pydantic's errors in plain words."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pytest
from annotated_types import Gt, MinLen
from pydantic import TypeAdapter, ValidationError

from sfnbench.words import ErrorReader, did_you_mean, either, explain


@dataclass(frozen=True)
class Example:
    lr: Annotated[float, Gt(0)] = 1.0
    damping: float | Literal["paper", "none"] = 0.0
    sizes: Annotated[tuple[int, ...], MinLen(2)] = (1, 2)


def error_of(data: dict[str, Any]) -> ValidationError:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(Example).validate_python(data)
    return caught.value


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"lr": -1.0}, "lr must be greater than 0, not -1.0"),
        (
            {"damping": None},
            "damping must be a number, 'paper' or 'none', not None",
        ),
        ({"sizes": (3,)}, "sizes must have at least 2 values, not 1"),
        ({"sizes": ()}, "sizes is empty"),
    ],
)
def test_an_error_says_the_key_what_is_expected_and_what_is_given(
    data: dict[str, Any], message: str
) -> None:
    error = error_of(data)
    assert explain(error, data) == message
    [mistake] = ErrorReader(data).mistakes(error)
    assert mistake.path == tuple(data)


def test_every_mistake_is_said() -> None:
    data = {"lr": 0.0, "sizes": ()}
    assert (
        explain(error_of(data), data)
        == "lr must be greater than 0, not 0.0; sizes is empty"
    )


def test_alternatives_stand_once_each() -> None:
    assert either(["a"]) == "a"
    assert either(["a", "b", "a"]) == "a or b"


@pytest.mark.parametrize(
    ("word", "n", "tail"),
    [
        ("name7", 40, " (did you mean 'name7'?)"),
        ("quite else", 2, " (known: name0, name1)"),
        ("quite else", 40, " (`sfnbench list` lists what there is)"),
        ("quite else", 0, " (`sfnbench list` lists what there is)"),
    ],
)
def test_an_unknown_word_leads_to_what_is_known(
    word: str, n: int, tail: str
) -> None:
    known = [f"name{i}" for i in range(n)]
    assert did_you_mean(word, known, "sfnbench list") == tail
    if "list`" in tail:
        assert did_you_mean(word, known) == ""
