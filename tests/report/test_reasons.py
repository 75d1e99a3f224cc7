"""Why runs broke and how they are run again."""

from dataclasses import replace
from pathlib import Path

from sfnbench.records import Result, Run, Spec
from sfnbench.report.reasons import reasons, rerun_hint


def result(optimizer, rows=(), status="ok"):
    problem = Spec("p", "problem", {}, "")
    run = Run("s", "race", problem, Spec(optimizer, optimizer, {}, ""), (0, 1), {})
    return Result(run, status, tuple(rows))


def test_each_reason_is_given_once_with_its_runs():
    broke = [
        replace(result(name, (), "error"), log="Traceback\nE: no\n")
        for name in "abcde"
    ]
    late = replace(result("f", (), "timeout"), log="stopped after 3 s\n")
    fine = [{"seed": 0, "status": "ok"}]
    results = [*broke, result("fine", fine * 2), late]
    diverged = {"seed": 0, "status": "diverged", "not_finite": "the Hessian"}
    nan = result("nan", [diverged, *fine], status="diverged")
    assert reasons([nan, results[5]]) == [
        "diverged: the Hessian was not finite (nan on problem)"
    ]
    first = ", ".join(f"{name} on problem" for name in "abcd")
    assert reasons(results) == [
        f"error: E: no ({first} and 1 more)",
        "timeout: stopped after 3 s (f on problem)",
    ]


def test_a_method_that_stopped_is_quoted():
    said = {"seed": 0, "status": "stopped", "message": "non-psd Hessian"}
    results = [result(name, [said, {**said, "seed": 1}]) for name in "ab"]
    assert reasons(results) == [
        "stopped, in its own words: non-psd Hessian (a on problem, b on problem)"
    ]


def test_failed_runs_have_a_command_that_re_runs_them():
    broke = [result(name, (), "error") for name in "ab"]
    fine = result("fine", [{"seed": 0, "status": "ok"}])
    assert rerun_hint([*broke, fine], Path("runs/s")).startswith(
        "2 of 3 runs failed; `sfnbench run s --only failed` re-runs them"
    )
    assert "`sfnbench run s --out other --only failed`" in rerun_hint(
        broke, Path("other")
    )
    assert rerun_hint([fine], Path("runs/s")) == ""


def test_a_long_reason_is_cut():
    broke = replace(result("a", (), "error"), log=f"E: {'x' * 10_000}\n")
    (said,) = reasons([broke])
    assert len(said) < 400
    assert "x (a on problem)" in said
