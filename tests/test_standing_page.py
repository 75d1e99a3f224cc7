"""`make standing`: what is kept of an archive that is half made, or made before."""

import standing
from standing import _complete, in_order, unchanged

from sfnbench.records import Result, Run, Spec


def results(*pairs):
    made = []
    for method, problem in pairs:
        specs = Spec("p", problem, {}, ""), Spec("m", method, {}, "")
        made.append(Result(Run("s", "race", *specs, (0,), {}), "ok"))
    return made


def kept(found):
    return [each.run.title for each in found]


def test_all_is_kept_of_what_is_complete():
    whole = results(("a", "x"), ("b", "x"), ("a", "y"), ("b", "y"))
    assert _complete(whole) == whole
    assert _complete([]) == []


def test_a_problem_that_is_half_done_waits():
    half = results(("a", "x"), ("b", "x"), ("a", "y"))
    assert kept(_complete(half)) == ["a on x", "b on x"]


def test_a_method_that_has_just_begun_waits():
    pairs = [(method, problem) for problem in "xyz" for method in "ab"]
    assert kept(_complete(results(*pairs, ("c", "x")))) == kept(results(*pairs))


def test_a_method_that_changed_or_lacks_a_problem_runs_again(monkeypatch):
    pairs = [(method, problem) for problem in "xy" for method in "abc"]
    archived = results(*pairs)[:-1]  # c has not run on y
    planned = [result.run for result in results(*pairs, ("d", "x"))]
    changes = {"a": [], "b": ["its source changed"], "c": []}
    monkeypatch.setattr(standing, "changes_since", lambda results: (changes, []))
    assert kept(unchanged(archived, planned)) == ["a on x", "a on y"]
    on_x = [run for run in planned if run.problem.label == "x"]
    assert kept(unchanged(archived, on_x)) == ["a on x", "c on x"]


def test_all_run_again_where_the_harness_changed(monkeypatch):
    archived = results(("a", "x"))
    changes = {"a": []}, ["the harness changed"]
    monkeypatch.setattr(standing, "changes_since", lambda results: changes)
    assert unchanged(archived, [archived[0].run]) == []


def test_results_stand_as_the_suite_has_them():
    planned = results(("a", "x"), ("b", "x"), ("a", "y"))
    runs = [result.run for result in planned]
    assert in_order(planned[::-1], runs) == planned
