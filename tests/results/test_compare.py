"""Comparing results: by what is known of the differences that were planted."""

import math
import subprocess
from dataclasses import replace

import pytest

from sfnbench.errors import NoResultsError, StoreError
from sfnbench.experiments.compare import compare
from sfnbench.records import Result, Run, Spec
from sfnbench.results.compare import TOLERANCE, is_regression, share_reasons
from sfnbench.results.loading import load
from sfnbench.results.store import Store
from sfnbench.session.execute import execute

MACHINE = {"cpu": "a", "device": "cpu", "threads": 1}
FACTS = {"has_saddle": True, "bounded_below": True, "measures": ["training_error"]}


def result(
    rows, label="sfn", *, settings=None, dtype="float64", environment=None, **params
):
    problem, optimizer = (
        Spec("p", "saddle", {}, "p"),
        Spec("sfn", label, params, "o"),
    )
    run = Run(
        "toy",
        "race",
        problem,
        optimizer,
        tuple(range(len(rows))),
        settings or {"budget": {"steps": 50}},
        dtype,
    )
    return Result(
        run,
        "ok",
        tuple(rows),
        environment={**MACHINE, "problem": FACTS, **(environment or {})},
    )


def rows(n=8, **columns):
    """Rows a seed; a column is a value or a function of the seed."""
    base = {
        "status": "ok",
        "steps": 50,
        "n_loss": 0,
        "n_grad": 50,
        "n_hvp": 0,
        "n_hessian": 0,
        "start_loss": 1.0,
    }
    base |= {
        "final_loss": lambda s: 0.1 + 0.01 * s,
        "escape_step": lambda s: 10 + s,
        "escape_cost": lambda s: 10.0 + s,
    }
    base |= {
        "training_error": 0.5,
        "seconds": lambda s: 1.0 + 0.01 * s,
        "n_sharing": 1,
    } | columns
    return [
        {"seed": s}
        | {
            name: value(s) if callable(value) else value
            for name, value in base.items()
        }
        for s in range(n)
    ]


def changed(before, after):
    sides = [
        {(r.run.suite, *r.run.slot): r for r in side} for side in (before, after)
    ]
    return [change for change in compare(*sides) if change.verdict != "same"]


def verdicts(before, after):
    return {change.what: change.verdict for change in changed(before, after)}


def test_what_is_alike_is_the_same():
    assert verdicts([result(rows())], [result(rows())]) == {}
    barely = rows(final_loss=lambda s: (0.1 + 0.01 * s) * (1 + TOLERANCE / 3))
    assert verdicts([result(rows())], [result(barely)]) == {}


@pytest.mark.parametrize(
    ("planted", "what"),
    [
        ({"final_loss": lambda s: 0.2 + 0.01 * s}, {"final_loss"}),
        (
            {"escape_step": None, "escape_cost": None},
            {"escape_step", "escape_cost"},
        ),  # nobody leaves any more
        ({"escape_step": lambda s: 20 + 2 * s}, {"escape_step"}),
        ({"seconds": lambda s: 3.0 + 0.02 * s}, {"seconds a step"}),
        ({"training_error": 0.6}, {"training_error"}),
        ({"n_hvp": 1}, {"n_hvp"}),
    ],
)
@pytest.mark.parametrize("n", [3, 8])
def test_a_planted_change_is_worse_one_way_and_better_the_other(planted, what, n):
    good, bad = [result(rows(n))], [result(rows(n, **planted))]
    assert verdicts(good, bad) == dict.fromkeys(what, "worse")
    assert verdicts(bad, good) == dict.fromkeys(what, "better")


def test_an_escape_that_did_not_come_is_spelled_never():
    caught = rows(escape_step=None, escape_cost=None)
    by_what = {
        each.what: each.line()
        for each in changed([result(rows())], [result(caught)])
    }
    assert str(by_what["escape_step"]["after"]) == "never"
    assert str(by_what["escape_cost"]["after"]) == "never"


def throughput(rate, spread=0.01, **more):
    quartiles = {
        "steps_per_s_q1": rate * (1 - spread),
        "steps_per_s_q3": rate * (1 + spread),
    }
    row = {
        "seed": 0,
        "status": "ok",
        "dtype": "float32",
        "steps_per_s": rate,
        **quartiles,
        **more,
    }
    made = result(
        [
            row,
            {
                **row,
                "dtype": "float64",
                **dict.fromkeys(
                    ("steps_per_s", "steps_per_s_q1", "steps_per_s_q3"), 1.0
                ),
            },
        ]
    )
    return replace(made, run=replace(made.run, experiment="throughput"))


def test_throughput_is_better_the_higher():
    slow, fast = throughput(100.0), throughput(200.0)
    assert verdicts([slow], [fast]) == {"steps_per_s float32": "better"}
    assert verdicts([fast], [slow]) == {"steps_per_s float32": "worse"}
    assert verdicts([fast], [fast]) == {}
    # quartiles that overlap tell nothing
    assert verdicts([fast], [throughput(100.0, spread=0.99)]) == {}
    for unsure in (
        {"disturbed": True},
        {"drifting": True},
        {"matmul_flops_per_s": 0.8},
    ):
        before = throughput(200.0, matmul_flops_per_s=1.0)
        assert verdicts(
            [before], [throughput(100.0, **{"matmul_flops_per_s": 0.95, **unsure})]
        ) == {"steps_per_s float32": "undecided"}
    assert verdicts([before], [throughput(100.0, matmul_flops_per_s=0.95)]) == {
        "steps_per_s float32": "worse"
    }
    assert verdicts([throughput(130.0)], [throughput(100.0)]) == {
        "steps_per_s float32": "worse"
    }


def test_a_step_in_gradients_is_better_the_lower_whatever_the_machine_does():
    def step(n):
        return {
            f"step_in_grads{end}": n * by
            for end, by in (("_q1", 0.98), ("", 1.0), ("_q3", 1.02))
        }

    few, many, slow = (
        throughput(9.0, **step(10)),
        throughput(9.0, **step(13)),
        throughput(4.0, **step(13), drifting=True),
    )
    worse = dict.fromkeys(
        ("step_in_grads float32", "step_in_grads float64"), "worse"
    )
    assert verdicts([few], [many]) == worse
    assert verdicts([many], [few]) == dict.fromkeys(worse, "better")
    assert verdicts([few], [slow]) == {**worse, "steps_per_s float32": "undecided"}
    assert verdicts([few], [throughput(9.0, **step(10.5))]) == {}


def test_searches_that_converge_no_more_are_counted_start_by_start():
    """Several starts share a seed."""
    found, lost = (
        [{"seed": i // 3, "status": "ok", "converged": i < n} for i in range(6)]
        for n in (5, 3)
    )
    found, lost = (searches(result(rows)) for rows in (found, lost))
    assert verdicts([found], [lost]) == {"not converged": "worse"}
    assert verdicts([lost], [found]) == {"not converged": "better"}


def searches(made):
    return replace(made, run=replace(made.run, experiment="critical_points"))


def test_one_seed_that_breaks_is_worse_whatever_the_median_says():
    broken = rows()
    broken[3] |= {"status": "diverged", "final_loss": math.nan}
    assert verdicts([result(rows())], [result(broken)]) == {
        "seeds that broke": "worse"
    }
    whole = replace(result(rows()), status="timeout", rows=())
    assert verdicts([result(rows())], [whole])["seeds that broke"] == "worse"


def test_seeds_that_disagree_are_no_verdict():
    mixed = rows(final_loss=lambda s: (0.1 + 0.01 * s) * (1.5 if s % 2 else 0.5))
    assert "final_loss" not in verdicts([result(rows())], [result(mixed)])


def test_losses_that_have_arrived_are_the_same():
    zero, nearly = (rows(final_loss=loss) for loss in (1e-30, 1e-20))
    assert verdicts([result(zero)], [result(nearly)]) == {}


def test_more_questions_for_other_steps_are_a_change_without_direction():
    longer = rows(steps=60, n_grad=60)
    assert {
        v
        for k, v in verdicts([result(rows())], [result(longer)]).items()
        if k in ("steps", "n_grad")
    } == {"changed"}


def test_seeds_that_share_a_batch_are_one_timing():
    one, other = (result(rows(n_sharing=8, seconds=s)) for s in (1.0, 3.0))
    assert verdicts([one], [other]) == {"seconds a step": "undecided"}
    one, other = (result(rows(n_sharing=2, seconds=s)) for s in (1.0, 3.0))
    assert verdicts([one], [other]) == {"seconds a step": "worse"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"dtype": "float32"}, "dtype was float64, is float32"),
        ({"settings": {"budget": {"steps": 90}}}, "budget.steps was 50, is 90"),
    ],
)
def test_what_decides_what_numbers_mean_has_to_be_equal(change, said):
    place = ("toy", "race", "saddle", "sfn")
    (found,) = compare(
        {place: result(rows())}, {place: result(rows(final_loss=9.0), **change)}
    )
    assert (found.verdict, found.why) == ("not comparable", said)


def test_times_need_the_same_machine_and_losses_do_not():
    other = result(rows(final_loss=0.9, seconds=9.0), environment={"cpu": "b"})
    assert verdicts([result(rows())], [other]) == {
        "final_loss": "worse",
        "seconds": "not comparable",
    }


def test_a_reason_that_several_share_is_told_once_with_their_names():
    other = {"cpu": "b"}
    names = [f"o{i}" for i in range(6)]
    sides = [{}, {}]
    for name in names:
        for side, made in zip(
            sides,
            (
                result(rows(), name),
                result(
                    rows(final_loss=0.9, n_hvp=1), name, environment=other, lr=2
                ),
            ),
            strict=True,
        ):
            side[made.run.suite, *made.run.slot] = made
    changes = [change for change in compare(*sides) if change.verdict != "same"]
    kept, lines = share_reasons(changes)
    who = "(6 runs: o0 on saddle, o1 on saddle, o2 on saddle, o3 on saddle and 2 more)"
    assert lines == [
        f"not comparable: seconds: cpu was a, is b {who}",
        f"lr was not set, is 2 {who}",
    ]
    assert [(change.slot[3], change.what) for change in kept] == [
        (name, what) for name in names for what in ("n_hvp", "final_loss")
    ]
    assert {change.why for change in kept} == {""}
    alone = [
        change
        for change in changes
        if change.slot[3] == "o3" and change.what in ("seconds", "n_hvp")
    ]
    assert share_reasons(alone) == (alone, [])


def test_runs_of_one_side_alone_are_not_compared():
    assert verdicts([result(rows())], []) == {"results": "not comparable"}
    assert not is_regression(
        compare({("toy", "race", "saddle", "sfn"): result(rows())}, {})
    )


def test_a_run_that_the_clock_ended_has_no_exact_counts():
    budget = {"settings": {"budget": {"steps": 50, "seconds": 1.0}}}
    found = verdicts(
        [result(rows(), **budget)], [result(rows(steps=49, n_grad=49), **budget)]
    )
    assert found == {"steps": "not comparable"}


def test_another_learning_rate_is_compared_and_said():
    place = ("toy", "race", "saddle", "sfn")
    found = compare(
        {place: result(rows(), lr=0.1)},
        {place: result(rows(final_loss=0.9), lr=0.2)},
    )
    (worse,) = [change for change in found if change.verdict == "worse"]
    assert "lr was 0.1, is 0.2" in worse.why


def test_many_tests_are_corrected_where_the_seeds_suffice():
    """32 seeds of pure noise in 200 runs: without correction several would be called."""
    import numpy as np

    rng = np.random.default_rng(1)
    sides = [{}, {}]
    for i in range(200):
        for side in sides:
            noise = rng.lognormal(0.0, 0.3, 32)
            made = result(
                rows(32, final_loss=lambda s, noise=noise: float(noise[s])), f"o{i}"
            )
            side[made.run.suite, *made.run.slot] = made
    found = compare(*sides)
    assert not is_regression(found)
    assert any(change.verdict == "undecided" for change in found)


def test_a_real_race_against_itself_and_against_half_the_rate(make_run, tmp_path):
    def stored(name, lr):
        with Store(tmp_path / name, create=True) as store:
            store.put(
                execute(
                    make_run(
                        "quadratic_saddle",
                        {},
                        "gradient_descent",
                        {"lr": lr},
                        seeds=8,
                        steps=200,
                    )
                )
            )
        return load(tmp_path / name)

    same, other = stored("a", 0.05), stored("b", 0.025)
    assert not is_regression(compare(same, stored("again", 0.05)))
    worse = {
        change.what for change in compare(same, other) if change.verdict == "worse"
    }
    assert {"escape_step", "escape_cost"} <= worse


def test_a_commit_finds_what_it_left_in_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@y"]
    subprocess.run(["git", "init", "-q"], check=True)
    commits = []
    for i, final in enumerate((0.1, 0.9)):
        subprocess.run(
            [*git, "commit", "-q", "--allow-empty", "-m", "one"], check=True
        )
        commits.append(
            subprocess.run(
                ["git", "rev-parse", "HEAD"], capture_output=True, text=True
            ).stdout.strip()
        )
        with Store(tmp_path / "runs" / "toy", create=True) as store:
            made = result(
                rows(final_loss=final), environment={"commit": commits[-1]}
            )
            store.put(
                replace(
                    made,
                    run=replace(
                        made.run, method=replace(made.run.method, source=str(i))
                    ),
                )
            )
    found = compare(load("HEAD~1"), load(commits[1][:10]))
    assert [change.what for change in found if change.verdict == "worse"] == [
        "final_loss"
    ]
    assert {change.why for change in found if change.verdict == "worse"} == {
        "its source changed"
    }
    with pytest.raises(
        NoResultsError, match="neither a folder of results nor a commit"
    ):
        load("nothing")
    with pytest.raises(StoreError, match="no results in"):
        load(tmp_path)


def test_the_command_exits_with_3_on_a_regression(tmp_path, sfnbench):
    for name, final in (("a", 0.1), ("b", 0.9)):
        with Store(tmp_path / name, create=True) as store:
            store.put(result(rows(final_loss=final)))

    code, out, err = sfnbench("compare", tmp_path / "a", tmp_path / "b")
    assert code == 3
    assert "worse" in out
    assert "final_loss" in out
    assert "1 worse" in err
    assert sfnbench("compare", tmp_path / "b", tmp_path / "a")[0] == 0
    assert sfnbench("compare", tmp_path / "a", tmp_path / "a")[0] == 0
    assert sfnbench("compare", tmp_path / "a", "nowhere")[0] == 2


def test_few_timings_that_are_not_twice_as_long_are_one_weather():
    """Three in a row share whatever the machine does just then.

    1.4 times as long says nothing yet.
    """
    fast, slow = (
        [result(rows(3))],
        [result(rows(3, seconds=lambda s: 1.4 + 0.02 * s))],
    )
    assert verdicts(fast, slow) == {"seconds a step": "undecided"}
    many, slower = (
        [result(rows(8))],
        [result(rows(8, seconds=lambda s: 1.4 + 0.02 * s))],
    )
    assert verdicts(many, slower) == {"seconds a step": "worse"}


def test_a_p_that_could_not_have_been_small_is_not_told():
    (few,) = changed([result(rows(3))], [result(rows(3, training_error=0.6))])
    assert (few.verdict, math.isnan(few.p)) == ("worse", True)
    (many,) = changed([result(rows(12))], [result(rows(12, training_error=0.6))])
    assert (many.verdict, many.p < 0.05) == ("worse", True)


def test_seconds_in_a_batch_are_not_compared_with_seconds_alone():
    alone, together = result(rows()), result(rows(n_sharing=8, seconds=0.01))
    (change,) = changed([alone], [together])
    assert (change.what, change.verdict) == ("seconds a step", "not comparable")
    assert change.why == "seeds in a batch were 1, are 8"
