"""Which results a table has, and that each is read by the table of its experiment."""

import pytest

from sfnbench.errors import SfnbenchError
from sfnbench.experiments.summary import matching, summary
from sfnbench.records import Result, Run, Spec


def result(optimizer, *statuses, status="ok", experiment="race"):
    problem = Spec("p", "problem", {}, "")
    seeds = tuple(range(len(statuses)))
    run = Run(
        "s", experiment, problem, Spec(optimizer, optimizer, {}, ""), seeds, {}
    )
    rows = [{"seed": seed, "status": each} for seed, each in enumerate(statuses)]
    return Result(run, status, tuple(rows))


RESULTS = [
    result("stall, H", "stuck", status="stuck"),
    result("stall, |H|", "ok", "diverged", status="diverged"),
    result("msgd", "ok"),
]


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        ({}, ["stall, H", "stall, |H|", "msgd"]),
        ({"optimizers": ["stall*"]}, ["stall, H", "stall, |H|"]),
        ({"optimizers": ["stall*"], "statuses": ["ok"]}, ["stall, |H|"]),
        ({"statuses": ["stuck", "diverged"]}, ["stall, H", "stall, |H|"]),
        ({"problems": ["problem"]}, ["stall, H", "stall, |H|", "msgd"]),
        ({"problems": ["p"]}, ["stall, H", "stall, |H|", "msgd"]),
    ],
)
def test_results_match_by_name_label_pattern_and_status(wanted, names):
    found = matching(
        RESULTS, **{"problems": (), "optimizers": (), "statuses": (), **wanted}
    )
    assert [each.run.method.label for each in found] == names


def test_a_name_that_fits_nothing_is_an_error_with_the_nearest():
    with pytest.raises(
        SfnbenchError,
        match=r"no result of optimizer 'msg' here .*did you mean 'msgd'",
    ):
        matching(RESULTS, (), ["msg"], ())


def test_each_result_is_read_by_the_table_of_its_experiment():
    kinds = ("race", "critical_points", "throughput")
    lines = summary(
        [result("x", experiment=kind, status="timeout") for kind in kinds]
    )
    assert ["seeds" in line for line in lines] == [True, False, False]
    assert lines[1]["starts"] == "timeout"
    assert lines[2]["note"] == "timeout"
