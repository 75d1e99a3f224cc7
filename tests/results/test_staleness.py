"""Why a stored run is stale, also where it was stored in an earlier form."""

from dataclasses import replace

import pytest

from sfnbench.records import Run, Spec
from sfnbench.results.staleness import differences

RUN = Run(
    suite="s",
    experiment="race",
    problem=Spec("mlp", "digits", {}, ""),
    method=Spec("sfn", "sfn", {"lr": 1.0}, ""),
    seeds=(0,),
    settings={
        "budget": {"steps": 9, "seconds": None, "cost": None, "epochs": None},
        "metrics": [["loss", {"steps": 1}], ["depth", {"cost": 2.0}]],
        "prices": {"loss": 1 / 3, "grad": 1.0, "hvp": 2.0, "hessian": 2.0},
    },
)
EARLIER = replace(
    RUN,
    settings={
        "budget": {"steps": 9, "seconds": None, "cost": None},
        "metrics": [["loss", 1], ["depth", {"cost": 2.0}]],
    },
)


def test_settings_of_an_earlier_form_say_the_same() -> None:
    assert EARLIER.id != RUN.id
    assert differences(EARLIER, RUN) == {}


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"budget": {"steps": 8}}, "budget.steps was 8, is 9"),
        (
            {"budget": {"steps": 9}, "prices": {"hvp": 3.0}},
            "prices.hvp was 3.0, is 2.0",
        ),
    ],
)
def test_what_differs_in_an_earlier_form_is_said(
    settings: dict, reason: str
) -> None:
    earlier = replace(EARLIER, settings={**EARLIER.settings, **settings})
    assert list(differences(earlier, RUN).values()) == [reason]


@pytest.mark.parametrize(
    ("was", "now", "said"),
    [
        (0.1, [10.0, 1.0, 0.1], "damping was 0.1, is [10.0, 1.0, 0.1]"),
        (["a", "b", "c"], "paper", 'damping was ["a", "b", "c"], is paper'),
        ([[1], [2], [3]], [1, 2, 3], "damping was [[1], [2], [3]], is 1 to 3"),
        ([], [True, True, True], "damping was [], is [true, true, true]"),
    ],
)
def test_a_list_of_any_kind_is_said(was: object, now: object, said: str) -> None:
    stored, planned = (
        replace(RUN, method=replace(RUN.method, params={"damping": each}))
        for each in (was, now)
    )
    assert list(differences(stored, planned).values()) == [said]
