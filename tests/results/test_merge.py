"""Folders of results joined: nothing is lost, and what they disagree about is named."""

from pathlib import Path

import pytest
from storing import make_result, make_run, same_result

from sfnbench.errors import StoreError
from sfnbench.results.merge import merge
from sfnbench.results.store import Store


def test_merge_copies_what_is_missing_and_keeps_what_is_there(
    tmp_path: Path,
) -> None:
    mine, theirs, both, waiting = (
        make_run("m"),
        make_run("t", lr=1),
        make_run("b", lr=2),
        make_run("w", lr=3),
    )
    with Store(tmp_path / "target", create=True) as store:
        store.put(make_result(mine))
        store.put(make_result(both, seed=1))
        store.adopt([make_run("w", lr=4)])
    with Store(tmp_path / "source", create=True) as store:
        for run in (theirs, both, waiting):
            store.put(make_result(run, seed=2))
    sources = [tmp_path / "source", tmp_path / "source", tmp_path / "target"]
    assert merge(sources, tmp_path / "target").n_added == 2
    with Store(tmp_path / "target") as store:
        assert [r.run for r in store.results()] == [mine, both, waiting, theirs]
        assert same_result(store.get(both.id), make_result(both, seed=1))
        assert same_result(store.get(theirs.id), make_result(theirs, seed=2))
    with pytest.raises(StoreError, match="no results in"):
        merge([tmp_path / "absent"], tmp_path / "target")


def folder(path: Path, *results):
    with Store(path, create=True) as store:
        for result in results:
            store.put(result)
    return path


def test_a_run_with_other_numbers_is_a_conflict_and_the_first_stays(
    tmp_path: Path,
) -> None:
    run = make_run()
    a = folder(tmp_path / "a", make_result(run, seed=1))
    b = folder(tmp_path / "b", make_result(run, seed=2))
    merged = merge([a, b], tmp_path / "out")
    assert merged.n_added == 1
    (line,) = merged.conflicts
    assert line == (
        f"sfn on saddle: {b} has other numbers (series loss from entry 0 on);"
        f" those of {tmp_path / 'out'} stay"
    )
    with Store(tmp_path / "out") as store:
        assert same_result(store.get(run.id), make_result(run, seed=1))


def test_another_run_in_the_same_slot_is_a_conflict_and_both_are_kept(
    tmp_path: Path,
) -> None:
    first, second = make_run(lr=0.1), make_run(lr=0.2)
    a = folder(tmp_path / "a", make_result(first))
    b = folder(tmp_path / "b", make_result(second))
    merged = merge([a, b], tmp_path / "out")
    (line,) = merged.conflicts
    assert "sfn on saddle" in line
    assert f"{b} shows another run (lr was 0.1, is 0.2)" in line
    with Store(tmp_path / "out") as store:
        assert store.ids() == {first.id, second.id}
        assert [result.run for result in store.results()] == [first]


def test_equal_results_are_no_conflict(tmp_path: Path) -> None:
    a, b = (folder(tmp_path / name, make_result(make_run())) for name in "ab")
    assert merge([a, b], tmp_path / "out").conflicts == []


def test_a_source_that_is_none_leaves_the_target_as_it_is(tmp_path: Path) -> None:
    with Store(tmp_path / "source", create=True) as store:
        store.put(make_result(make_run("m")))
    with pytest.raises(StoreError, match="no results in"):
        merge([tmp_path / "source", tmp_path / "none"], tmp_path / "target")
    assert not (tmp_path / "target").exists()
