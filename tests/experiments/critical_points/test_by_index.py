"""Found of known by index: losses are counted once, ends of another index are said."""

import pytest

from sfnbench.experiments.critical_points.by_index import by_index, known_losses
from sfnbench.records import Result, Run, Spec
from sfnbench.results.cells import text

SEVEN = Spec("lennard_jones", "seven", {"n_atoms": 7, "start_at": "random"}, "")
PLANE = Spec("mueller_brown", "plane", {"start_at": "box"}, "")
A, B = -15.444734, -15.319864  # energies of index 1


def searched(problem, params, *ends, **settings):
    method = Spec("sfn_k", "f", params, "")
    run = Run("s", "critical_points", problem, method, (0,), settings)
    rows = [
        {
            "seed": i,
            "status": "ok",
            "loss": loss,
            "index": index,
            "converged": True,
            "distinct": distinct,
            "known": False,
            "n_hessian": 10,
        }
        for i, (loss, index, distinct) in enumerate(ends)
    ]
    return Result(run, "ok", tuple(rows))


def shown(*results):
    return [
        {name: text(entry) for name, entry in line.items()}
        for line in by_index(results)
    ]


def test_known_losses_are_the_stated_energies_or_critical_points():
    assert {i: len(each) for i, each in known_losses(SEVEN).items()} == {
        0: 4,
        1: 12,
    }
    assert {i: len(each) for i, each in known_losses(PLANE).items()} == {0: 3, 1: 2}
    assert known_losses(Spec("of_another_plugin", "gone", {}, "")) == {}


def test_a_loss_found_twice_counts_once_and_wrong_indices_are_said():
    ends = [
        (A, 1, True),
        (A, 1, False),
        (B, 1, True),
        (-14.0, 1, True),
        (-1.0, 2, True),
    ]
    assert shown(searched(SEVEN, {"index": 1}, *ends)) == [
        {
            "problem": "seven",
            "finder": "f",
            "index": "1",
            "found of known": "2/12",
            "others": "1",
            "wrong index": "1/5",
            "Hessians a point": "25",
        }
    ]


def test_a_finder_of_any_index_has_a_row_for_each():
    found = shown(searched(SEVEN, {}, (A, 1, True), (-16.505384, 0, True)))
    assert [line["found of known"] for line in found] == ["1/4", "1/12"]
    assert [line["of another index"] for line in found] == ["1/2", "1/2"]
    assert not any("wrong index" in line for line in found)


@pytest.mark.parametrize(
    ("asked", "rows"),
    [
        ("any", ["0", "1", "2"]),
        (1, ["1"]),
        ([0, 1], ["0", "1"]),
        ([1, 2], ["1", "2"]),
    ],
)
def test_a_suite_that_asks_for_an_index_has_no_row_of_others(asked, rows):
    """Not even for a finder that takes none: its other ends are counted beside."""
    ends = [(A, 1, True), (-16.505384, 0, True), (-14.0, 2, True)]
    found = shown(searched(SEVEN, {}, *ends, index=asked))
    assert [line["index"] for line in found] == rows
    # the point of index 2 is no stated one, and of that index none is stated
    for line in found:
        if line["index"] == "2":
            assert (line["found of known"], line["others"]) == ("0/0", "1")
    assert {line["of another index"] for line in found} == {"2/3"}
    assert not any("wrong index" in line for line in found)


def test_what_a_finder_is_asked_for_goes_before_what_its_suite_says():
    (line,) = shown(searched(SEVEN, {"index": 0}, (A, 1, True), index=[0, 1]))
    assert (line["index"], line["wrong index"]) == ("0", "1/1")


def test_a_known_loss_at_another_index_is_not_found():
    (line,) = shown(searched(SEVEN, {"index": 0}, (A, 0, True)))
    assert (line["found of known"], line["others"]) == ("0/4", "1")
    assert line["Hessians a point"] == ""
