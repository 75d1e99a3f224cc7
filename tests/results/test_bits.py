"""The same suite twice gives the same bits on one CPU; what differs otherwise is named."""

from dataclasses import replace

import numpy as np
import pytest

from sfnbench import Store, run_suite
from sfnbench.results.bits import compare_bits, deviations, environment_changes

TWO = (
    "seeds: 2\nbudget: {steps: 5}\nproblems: [monkey_saddle]\n"
    "optimizers: [sfn, gradient_descent]\n"
)


@pytest.mark.slow
def test_a_suite_run_twice_gives_identical_series(tmp_path):
    """Every optimizer of `smoke`, noise, stock and dense ones.

    Once in this process, once in a process a run.
    """
    problems = ["quadratic_saddle", "linear_autoencoder", "mlp"]
    folders = [
        run_suite(
            "smoke",
            problems=problems,
            device="cpu",
            engine=engine,
            out=tmp_path / engine,
        )
        for engine in ("inline", "processes")
    ]
    with Store(folders[0]) as a, Store(folders[1]) as b:
        assert len(a.ids()) == 21
        assert a.ids() == b.ids()
        assert all(result.series["loss"].size for result in a.results())
        found = compare_bits(a, b)
    assert (len(found.same), found.different, found.stale) == (21, {}, {})
    assert (found.only_first, found.only_second) == ([], [])


def test_what_differs_is_named_with_the_environments(tmp_path):
    suite = tmp_path / "two.yaml"
    suite.write_text(TWO)
    first = run_suite(suite, engine="inline", out=tmp_path / "a")
    with Store(first) as a, Store(tmp_path / "b", create=True) as b:
        for result in a.results():
            if result.run.method.label == "sfn":
                loss = result.series["loss"].copy()
                loss[1, 3] = np.nextafter(loss[1, 3], np.inf)
                rows = (
                    {**result.rows[0], "escape_step": 4, "seconds": 9.0},
                    result.rows[1],
                )
                environment = {
                    **result.environment,
                    "torch": "9.9",
                    "warmup_s": 7.0,
                }
                result = replace(
                    result,
                    rows=rows,
                    series={**result.series, "loss": loss},
                    environment=environment,
                )
                torch = a.get(result.run.id).environment["torch"]
            b.put(result)
        found = compare_bits(a, b)
    what = f"escape_step; series loss from entry 3 on; torch {torch} -> 9.9"
    assert found.different == {"sfn on monkey_saddle": what}
    assert found.same == ["gradient_descent on monkey_saddle"]


def test_runs_that_only_one_folder_holds_are_counted(tmp_path):
    suite = tmp_path / "two.yaml"
    suite.write_text(TWO)
    with (
        Store(run_suite(suite, engine="inline", out=tmp_path / "a")) as a,
        Store(tmp_path / "b", create=True) as b,
    ):
        result = next(a.results())
        b.put(replace(result, status="error", rows=(), series={}))
        found = compare_bits(a, b)
    assert found.different == {
        "sfn on monkey_saddle": "ok with 2 rows, error with 0 rows; in equal environments"
    }
    assert found.only_first == ["gradient_descent on monkey_saddle"]


def test_nan_is_like_nan_and_a_length_is_told(tmp_path):
    suite = tmp_path / "two.yaml"
    suite.write_text(TWO)
    with Store(run_suite(suite, engine="inline", out=tmp_path / "a")) as a:
        result = next(a.results())
    row = {**result.rows[0], "final_loss": float("nan")}
    broken = replace(result, rows=(row, result.rows[1]))
    assert (
        deviations(
            broken,
            replace(
                broken, rows=({**row, "final_loss": float("nan")}, result.rows[1])
            ),
        )
        == []
    )
    shorter = {**result.series, "loss": result.series["loss"][:, :-1]}
    assert deviations(result, replace(result, series=shorter)) == [
        "series loss in length"
    ]
    assert environment_changes(
        {"torch": 1, "warmup_s": 2}, {"torch": 1, "warmup_s": 3, "cuda": 4}
    ) == {"cuda": (None, 4)}
