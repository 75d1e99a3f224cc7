"""Methods by kind of saddle: seeds pooled over the problems of a kind, nothing left out."""

import pytest

from sfnbench.errors import SfnbenchError
from sfnbench.experiments.by_kind import by_kind, kind_of_saddle
from sfnbench.records import Result, Run, Spec
from sfnbench.results.cells import text
from sfnbench.survival.intervals import proportion

FACTS = {"problem": {"has_saddle": True}}
STRICT = Spec("quadratic_saddle", "steep", {"eigenvalues": [10.0, -2.0]}, "")
FLATTER = Spec("quadratic_saddle", "flat", {"eigenvalues": [10.0, -1.0]}, "")
CHAIN = Spec("scalar_chain", "chain", {"layers": 5}, "")


def result(problem, method, escaped, captured=None, status="ok", facts=FACTS):
    run = Run("s", "race", problem, Spec(method, method, {}, ""), (0, 1, 2, 3), {})
    rows = [
        {
            "seed": i,
            "status": status,
            "escape_step": 5 if i < escaped else None,
            "captured": None if captured is None else i < captured,
        }
        for i in range(4)
    ]
    return Result(run, status, tuple(rows), environment=facts)


def broken(problem, method):
    run = Run("s", "race", problem, Spec(method, method, {}, ""), (0, 1, 2, 3), {})
    return Result(run, "error")


def shown(*results):
    return [
        {name: text(entry) for name, entry in line.items()}
        for line in by_kind(results)
    ]


def with_wilson(count, n):
    _, low, high = proportion([True] * count + [False] * (n - count))
    return f"{count}/{n} ({low:.2f}-{high:.2f})"


def test_seeds_are_pooled_over_the_problems_of_a_kind():
    chain, strict = "degenerate of order 5, with zero modes", "strict"
    assert shown(
        result(CHAIN, "a", 1, 3),
        result(STRICT, "a", 4, 0),
        result(FLATTER, "a", 2, 1),
        result(FLATTER, "b", 0),
    ) == [
        {
            "kind": strict,
            "optimizer": "a",
            "problems": "2",
            "escaped": with_wilson(6, 8),
            "captured": with_wilson(1, 8),
        },
        {
            "kind": strict,
            "optimizer": "b",
            "problems": "1",
            "escaped": with_wilson(0, 4),
            "captured": "",
        },
        {
            "kind": chain,
            "optimizer": "a",
            "problems": "1",
            "escaped": with_wilson(1, 4),
            "captured": with_wilson(3, 4),
        },
    ]


def test_a_run_that_broke_flatters_no_method():
    lines = shown(
        result(STRICT, "a", 4), broken(FLATTER, "a"), result(FLATTER, "b", 4)
    )
    assert [line["escaped"] for line in lines] == [
        with_wilson(4, 8),
        with_wilson(4, 4),
    ]


def test_problems_that_can_no_longer_be_made_have_no_kind():
    gone = Spec("of_another_plugin", "gone", {}, "")
    other = Spec("scalar_chain", "other", {"no_such_field": 1}, "")
    assert (kind_of_saddle(gone), kind_of_saddle(other)) == ("", "")
    lines = shown(result(gone, "a", 4), result(STRICT, "a", 0))
    assert [line["escaped"] for line in lines] == [with_wilson(0, 4)]


def test_races_without_a_saddle_are_no_table():
    with pytest.raises(SfnbenchError, match="whose kind is known"):
        by_kind([result(STRICT, "a", 0, facts={})])
