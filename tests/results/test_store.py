"""The store: every result comes back exactly, and each slot shows the run that is current."""

from __future__ import annotations

import math
import sqlite3
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from storing import make_result, make_run, same_result

from sfnbench.errors import StoreError
from sfnbench.records import Result, Run, Spec, columns
from sfnbench.results.store import Store

# -- what goes in comes out ------------------------------------------------------------------------

# Names whose values are checked when a result is read. Hypothesis draws texts from constants of the
# source, too, and these are among them.
CHECKED = {
    *columns("race"),
    "budget",
    "paths",
    "commit",
    "prices",
    "problem",
    "seconds",
}


def is_free(name: str) -> bool:
    """Whether any value may stand under that name."""
    return name not in CHECKED and not name.endswith(".step")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
    ),
    max_leaves=5,
)
chosen = st.builds(
    Spec,
    st.text(max_size=9),
    st.text(max_size=9),
    st.dictionaries(st.text(), json_values, max_size=3),
    st.text(),
)
arrays = st.dictionaries(
    st.text(
        st.characters(codec="ascii", exclude_characters="\0"),
        min_size=1,
        max_size=9,
    ).filter(is_free)
    | st.just("file"),
    npst.arrays(
        st.sampled_from([np.float64, np.float32, np.int64, np.bool_]),
        npst.array_shapes(min_side=0),
    ),
    max_size=3,
)
# Columns of the experiment are typed; others are free.
rows = st.builds(
    lambda free, seed, status, loss: {
        **free,
        "seed": seed,
        "status": status,
        "final_loss": loss,
    },
    st.dictionaries(st.text().filter(is_free), json_values, max_size=3),
    st.integers(0, 2**40),
    st.sampled_from(["ok", "diverged"]),
    st.none() | st.floats(),
)
results = st.builds(
    Result,
    st.builds(
        Run,
        suite=st.text(max_size=9),
        experiment=st.sampled_from(["race", "another"]),
        problem=chosen,
        method=chosen,
        seeds=st.lists(st.integers(0, 2**40), max_size=4).map(tuple),
        settings=st.dictionaries(
            st.text().filter(is_free), json_values, max_size=3
        ),
        dtype=st.sampled_from(["float32", "float64"]),
        device=st.sampled_from(["cpu", "cuda"]),
    ),
    status=st.sampled_from(["ok", "diverged", "error"]),
    rows=st.lists(rows, max_size=3).map(tuple),
    series=arrays,
    environment=st.dictionaries(
        st.text().filter(is_free),
        json_values.filter(lambda v: not isinstance(v, dict)),
        max_size=2,
    ),
    log=st.text(),
    seconds=st.floats(0, 1e9),
)


@pytest.fixture(scope="module")
def one_store(tmp_path_factory: pytest.TempPathFactory):
    with Store(tmp_path_factory.mktemp("store"), create=True) as store:
        yield store


def equal_nan(run: Run) -> Run:
    """NaN is not equal to itself, so that not even a run that holds one equals its copy.

    Replace it on both sides.
    """

    def clean(value: object) -> object:
        if isinstance(value, dict):
            return {key: clean(v) for key, v in value.items()}
        if isinstance(value, list):
            return [clean(v) for v in value]
        return "NaN" if isinstance(value, float) and math.isnan(value) else value

    def clean_member(member: Spec | None) -> Spec | None:
        return member and replace(member, params=clean(member.params))

    problem, method = clean_member(run.problem), clean_member(run.method)
    assert problem is not None
    return replace(
        run, problem=problem, method=method, settings=clean(run.settings)
    )  # type: ignore[arg-type]


@given(results)
@settings(
    max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None
)
def test_every_result_comes_back_exactly(one_store: Store, result: Result) -> None:
    one_store.put(result)
    back = one_store.get(result.run.id)
    assert back.run.id == result.run.id
    assert same_result(
        replace(back, run=equal_nan(back.run)),
        replace(result, run=equal_nan(result.run)),
    )


def test_results_outlive_the_process_that_wrote_them(tmp_path: Path) -> None:
    runs = [make_run(lr=lr) for lr in (0.1, 0.2)]
    with Store(tmp_path / "deep" / "folder", create=True) as store:
        for run in runs:
            store.put(make_result(run))
    with Store(str(tmp_path / "deep" / "folder")) as store:
        assert store.ids() == {run.id for run in runs}
        assert same_result(store.get(runs[0].id), make_result(runs[0]))
        assert [r.run for r in store.results(current=False)] == runs
        summaries = list(store.summaries(current=False))
        assert [(s.run, s.rows, s.series) for s in summaries] == [
            (r, make_result(r).rows, {}) for r in runs
        ]


def test_what_json_lacks_costs_no_result(tmp_path: Path) -> None:
    odd = {
        "seed": 0,
        "n": np.int64(3),
        "x": np.float32(0.5),
        "where": Path("a/b"),
        "flags": np.array([True, False]),
    }
    run = make_run()
    with Store(tmp_path, create=True) as store:
        store.put(Result(run, "ok", (odd,), log="half a surrogate: \udc80"))
        back = store.get(run.id)
    plain = {"n": 3, "x": 0.5, "where": "a/b", "flags": [True, False]}
    assert {name: back.rows[0][name] for name in plain} == plain
    assert back.log == "half a surrogate: ?"


def test_objects_are_refused_not_pickled(tmp_path: Path) -> None:
    with Store(tmp_path, create=True) as store:
        with pytest.raises(StoreError, match="'strange' holds objects"):
            store.put(
                Result(
                    make_run(),
                    "ok",
                    series={"strange": np.array([None, "x"], dtype=object)},
                )
            )
        assert store.ids() == frozenset()


# -- what is to be run, what is current ------------------------------------------------------------


def test_pending_is_what_has_no_result_and_the_broken_ones_when_asked(
    tmp_path: Path,
) -> None:
    statuses = ("ok", "stuck", "diverged", "error", "timeout", "oom")
    runs = [make_run(f"sfn {i}", lr=i) for i in range(len(statuses) + 1)]
    with Store(tmp_path, create=True) as store:
        assert store.pending(runs) == tuple(runs)
        for run, status in zip(runs, statuses, strict=False):
            store.put(make_result(run, status))
            assert store.finished(run.id)
        assert store.pending(runs) == (runs[-1],)
        assert store.broken(runs) == tuple(runs[3:6])
        assert store.pending([runs[-1], runs[-1]]) == (runs[-1],)


def test_what_was_mended_after_it_broke_is_broken_until_it_has_a_result(
    tmp_path: Path,
) -> None:
    before, mended, other = (
        make_run(source="a"),
        make_run(source="b"),
        make_run("other", lr=3),
    )
    with Store(tmp_path, create=True) as store:
        store.put(make_result(before, "error"))
        assert store.broken([mended, mended, other]) == (mended,)
        store.put(make_result(mended))
        assert store.broken([mended, other]) == ()


def test_a_second_result_of_a_run_replaces_the_first(tmp_path: Path) -> None:
    run = make_run()
    with Store(tmp_path, create=True) as store:
        store.put(make_result(run, "error"))
        store.put(make_result(run, "ok", seed=1))
        (result,) = store.results()
    assert same_result(result, make_result(run, "ok", seed=1))


def test_discarded_results_are_gone_series_and_all(tmp_path: Path) -> None:
    runs = [make_run(lr=i) for i in range(3)]
    with Store(tmp_path, create=True) as store:
        for run in runs:
            store.put(make_result(run))
        store.discard([runs[0].id, runs[2].id, "unknown"])
        assert store.ids() == {runs[1].id}
    with sqlite3.connect(tmp_path / "results.sqlite") as db:
        assert db.execute("SELECT id FROM series").fetchall() == [(runs[1].id,)]
    db.close()


def current(store: Store) -> dict[str, object]:
    return {
        r.run.method.label: r.run.method.params
        for r in store.results()
        if r.run.method
    }


def test_a_changed_run_takes_over_its_slot_and_says_why_and_back(
    tmp_path: Path,
) -> None:
    old, new, other = make_run(lr=0.1), make_run(lr=0.2), make_run("mine", lr=9)
    with Store(tmp_path, create=True) as store:
        assert store.adopt([old, other]) == ()
        store.put(make_result(old))
        store.put(make_result(other))
        assert store.adopt([new]) == ("sfn on saddle: lr was 0.1, is 0.2",)
        assert store.pending([new]) == (new,)
        assert current(store) == {"mine": {"lr": 9}}, (
            "a slot that was not planned is left alone"
        )
        store.put(make_result(new))
        assert current(store) == {"sfn": {"lr": 0.2}, "mine": {"lr": 9}}
        assert len(list(store.results(current=False))) == 3, "superseded, not lost"
        assert store.adopt([old]) == ("sfn on saddle: lr was 0.2, is 0.1",)
        assert store.pending([old]) == ()
        assert current(store) == {"sfn": {"lr": 0.1}, "mine": {"lr": 9}}


@pytest.mark.parametrize(
    ("before", "now", "reason"),
    [
        (
            make_run(source="a"),
            make_run(source="b"),
            "sfn on saddle: its source changed",
        ),
        (
            make_run(steps=20),
            make_run(steps=50),
            "sfn on saddle: budget.steps was 20, is 50",
        ),
        (
            make_run(lr=0.1),
            make_run(lr=0.1, damping=2),
            "sfn on saddle: damping was not set, is 2",
        ),
        (
            make_run(lr=0.1, damping=2),
            make_run(lr=0.1),
            "sfn on saddle: damping was 2, is not set",
        ),
        (
            replace(make_run(), method=Spec("sfn", "sfn", {}, "a")),
            make_run(lr=0.1),
            "sfn on saddle: lr was not set, is 0.1",
        ),
        (make_run(lr=1), make_run(lr=1.0), "sfn on saddle: lr was 1, is 1.0"),
        (
            make_run(lr=1),
            replace(make_run(lr=2), dtype="float32"),
            "lr was 1, is 2; dtype was float64, is float32",
        ),
        (
            make_run(),
            replace(make_run(), seeds=tuple(range(10))),
            "sfn on saddle: seeds was [0, 1], is 0 to 9",
        ),
        (
            make_run(),
            replace(
                make_run(),
                problem=Spec("mlp", "saddle", {"eigenvalues": [10, -2]}, "q"),
            ),
            "sfn on saddle: problem.use was quadratic_saddle, is mlp; the problem's source changed",
        ),
        (
            make_run(),
            replace(
                make_run(),
                problem=Spec(
                    "quadratic_saddle", "saddle", {"eigenvalues": [1] * 99}, "p"
                ),
            ),
            "the problem's eigenvalues was [10, -2], is [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, "
            "1, 1, 1, 1, 1, 1, 1, 1, 1,...",
        ),
    ],
)
def test_why_a_run_is_stale(
    tmp_path: Path, before: Run, now: Run, reason: str
) -> None:
    with Store(tmp_path, create=True) as store:
        store.put(make_result(before))
        (said,) = store.adopt([now])
    assert said.endswith(reason)


def test_a_new_label_keeps_the_result_and_renames_it(tmp_path: Path) -> None:
    run = make_run("sfn")
    renamed = make_run("SFN, damped")
    assert run.id == renamed.id
    with Store(tmp_path, create=True) as store:
        store.put(make_result(run))
        assert store.adopt([renamed]) == ()
        assert store.pending([renamed]) == ()
        assert [r.run for r in store.results()] == [renamed]


def test_one_run_in_two_slots_and_two_suites_is_executed_once_and_shown_in_each(
    tmp_path: Path,
) -> None:
    runs = [make_run("a"), make_run("b"), make_run("a", suite="other")]
    with Store(tmp_path, create=True) as store:
        store.adopt(runs)
        (todo,) = store.pending(runs)
        store.put(make_result(todo))
        assert [r.run for r in store.results()] == runs
        assert store.adopt([make_run("a", lr=5)]) == (
            "a on saddle: lr was 0.1, is 5",
        )
        assert [r.run for r in store.results()] == runs[1:], (
            "the other suite's slot is its own"
        )
