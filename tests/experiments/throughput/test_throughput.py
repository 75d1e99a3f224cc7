"""Throughput.

Counts are exact, timings keep their order, and a busy machine is noticed.
"""

from dataclasses import replace

import numpy as np
import pytest

from sfnbench import Store, Suite, SuiteError, load_suite, plan, run_suite
from sfnbench.experiments.summary import summary
from sfnbench.experiments.throughput import execute as throughput
from sfnbench.experiments.throughput import machine, timer
from sfnbench.records import Result, Run, Spec
from sfnbench.results.cells import text
from sfnbench.results.export import flat_rows
from sfnbench.results.tables import legend, render
from sfnbench.session.execute import execute

SUITE = (
    "experiment: throughput\nblocks: 3\nblock_seconds: 0.01\nproblems: [mlp]\n"
    "optimizers: [gradient_descent]\n"
)


def measured(
    optimizer="gradient_descent",
    params=None,
    problem="mlp",
    problem_params=None,
    dtypes=("float64",),
):
    return execute(
        Run(
            suite="test",
            experiment="throughput",
            problem=Spec(
                problem,
                problem,
                {"hidden": [10]} if problem == "mlp" else problem_params or {},
                "",
            ),
            method=Spec(optimizer, optimizer, params or {}, ""),
            seeds=(0,),
            settings={"dtypes": list(dtypes), "blocks": 3, "block_seconds": 0.01},
        )
    )


def test_a_gradient_of_a_network_has_the_flops_of_its_matrix_products():
    """Digits, 64-10-10.

    Both layers forward, both weights' gradients, and the way back through the second layer.
    """
    (row,) = measured().rows
    flops = 2 * 1797 * (2 * (64 * 10 + 10 * 10) + 10 * 10)
    assert row["flops_per_s"] / row["steps_per_s"] == pytest.approx(flops)
    assert row["flops_share"] == pytest.approx(
        row["flops_per_s"] / row["matmul_flops_per_s"]
    )
    assert 0 < row["flops_share"] < 1


def test_rates_have_their_quartiles_and_samples_are_a_steps_examples():
    result = measured(
        "msgd", {"lr": 0.1, "batch_size": 16}, dtypes=("float32", "float64")
    )
    assert [row["dtype"] for row in result.rows] == ["float32", "float64"]
    assert result.series["seconds_per_step"].shape == (2, 3)
    for row in result.rows:
        assert row["status"] == "ok"
        assert row["warmup_s"] > 0
        assert row["samples_per_s"] == pytest.approx(16 * row["steps_per_s"])
        rates = [
            f"{name}_per_s"
            for name in ("steps", "samples", "grads", "hvp", "flops")
        ]
        for name in (*rates, "step_in_grads", "hvp_in_grads"):
            assert 0 < row[f"{name}_q1"] <= row[name] <= row[f"{name}_q3"]


def test_a_machine_whose_pace_drifts_is_told_and_a_step_in_gradients_does_not_care(
    monkeypatch,
):
    def in_turn(self, blocks):
        pace = [1.0, 1.0, 1.3, 1.3]  # slower from the third turn on
        of = {"steps": 3e-3, "grad": 1e-3, "hvp": 2e-3, "product": 1e-2}
        return {name: of[name] * np.array(pace) for name in blocks}

    monkeypatch.setattr(throughput.Timer, "in_turn", in_turn)
    (row,) = measured().rows
    assert row["drift"] == pytest.approx(
        (1 / 1.0 - 1 / 1.3) / ((1 / 1.0 + 1 / 1.3) / 2)
    )
    assert row["drifting"] is True
    assert [
        row[f"step_in_grads{end}"] for end in ("_q1", "", "_q3")
    ] == pytest.approx([3, 3, 3])
    assert row["hvp_in_grads"] == pytest.approx(2)
    (shown,) = summary([replace(measured(), rows=(row,))])
    # others may be busy, too
    assert shown["note"].endswith("drifting: rates varied by 26% between blocks")
    assert shown["gradients a step"].value == pytest.approx(3)


@pytest.mark.parametrize(
    "optimizer",
    [
        "sfn",
        "noisy_gradient_descent",
        "torch.optim.Adam",
        "scipy.optimize.trust-krylov",
    ],
)
def test_every_kind_of_optimizer_is_timed_and_what_has_no_data_has_no_samples(
    optimizer,
):
    """On a bowl that trust-krylov is done with after a step or two.

    It counts those that it took.
    """
    (row,) = measured(
        optimizer,
        problem="quadratic_saddle",
        problem_params={"eigenvalues": [1.0, 2.0]},
    ).rows
    assert row["status"] == "ok"
    assert row["steps_per_s"] > 0
    assert row["samples_per_s"] is None


@pytest.mark.parametrize("pace", [1e-9, 10.0])
def test_a_method_is_judged_by_as_many_steps_on_any_machine(monkeypatch, pace):
    """Steps of 10 on x^2 / 2 multiply the loss by 81: 1e38 after 20, and infinite after 200."""

    def time(self, work):
        return pace, work()

    monkeypatch.setattr(throughput.Timer, "time", time)
    monkeypatch.setattr(timer, "MOST_UNITS", 300)
    bowl = {"eigenvalues": [1.0, 1.0]}
    (row,) = measured(
        "gradient_descent", {"lr": 10.0}, "quadratic_saddle", bowl
    ).rows
    assert row["status"] == "worse"


def test_steps_that_diverge_are_told():
    """By the first step, lest a slow machine end its block before the loss overflows."""
    problem = {"eigenvalues": [1e200, 2e200]}
    result = measured(
        "gradient_descent", {"lr": 1e200}, "quadratic_saddle", problem
    )
    assert (result.status, result.rows[0]["status"]) == ("diverged", "diverged")


@pytest.mark.parametrize(
    ("cores", "note"), [(0.0, ""), (1.5, "disturbed: others kept 1.5 cores busy")]
)
def test_a_busy_machine_is_told_in_the_table(monkeypatch, cores, note):
    class Busy(machine.OtherProcesses):
        def columns(self):
            return {
                "load": 2.0,
                "busy_cores_of_others": cores,
                "disturbed": cores > machine.QUIET,
            }

    monkeypatch.setattr(throughput, "OtherProcesses", Busy)
    monkeypatch.setattr(throughput, "MOST_DRIFT", np.inf)
    result = measured()
    (row,) = summary([result])
    assert row["note"] == note
    assert "steps/s" in render([row], "plain")


def test_a_note_whose_figure_a_store_has_lost_is_its_word():
    result = measured()
    lost = {
        "disturbed": True,
        "busy_cores_of_others": None,
        "drifting": True,
        "drift": None,
    }
    (row,) = summary([replace(result, rows=({**result.rows[0], **lost},))])
    assert row["note"] == "disturbed, drifting"


def test_processor_seconds_of_others_are_those_that_are_not_its_own(monkeypatch):
    others = machine.OtherProcesses()
    began = others.began
    monkeypatch.setattr(others, "_busy", lambda: others.busy + 6.0)
    monkeypatch.setattr(machine, "perf_counter", lambda: began + 4.0)
    assert others.columns()["busy_cores_of_others"] == 1.5
    assert others.columns()["disturbed"] is True


def test_runs_one_at_a_time_of_one_seed(tmp_path):
    path = tmp_path / "fast.yaml"
    path.write_text(SUITE)
    suite = load_suite(path)
    assert isinstance(suite, Suite)
    assert [run.experiment for run in plan(suite)] == ["throughput"]
    with pytest.raises(
        SuiteError,
        match="fast measures throughput: its runs go one at a time, not 2",
    ):
        run_suite(suite, jobs=2, out=tmp_path / "out")
    with pytest.raises(SuiteError, match="fast: throughput takes one seed, not 3"):
        plan(suite, seeds=3)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("seeds: 3", "unknown key 'seeds'"),
        ("budget: {steps: 3}", "unknown key 'budget'"),
        ("dtypes: [float16]", "float16"),
        ("dtypes: []", "dtypes"),
        ("block_seconds: 0", "block_seconds"),
    ],
)
def test_mistakes_are_found_before_anything_runs(tmp_path, line, message):
    path = tmp_path / "fast.yaml"
    key = line.partition(":")[0]
    path.write_text(
        "".join(
            f"{each}\n"
            for each in SUITE.splitlines()
            if not each.startswith(f"{key}:")
        )
        + line
        + "\n"
    )
    with pytest.raises(SuiteError, match=message):
        load_suite(path)


def test_the_whole_way_into_the_store_and_out(tmp_path):
    path = tmp_path / "fast.yaml"
    path.write_text(SUITE + "dtypes: [float32]\n")
    with Store(run_suite(path, engine="inline", out=tmp_path / "out")) as store:
        (row,) = flat_rows(store)
        (shown,) = summary(store.summaries())
    assert (row["experiment"], row["dtype"], row["status"]) == (
        "throughput",
        "float32",
        "ok",
    )
    assert row["steps_per_s"] > 0
    assert text(shown["steps/s"]).startswith(f"{row['steps_per_s']:.3g} [")


def timed(name, dtype, rate, **columns):
    """A result of one dtype, by hand."""
    run = Run(
        "s",
        "throughput",
        Spec("p", "p", {}, ""),
        Spec(name, name, {}, ""),
        (0,),
        {},
    )
    row = {"seed": 0, "status": "ok", "dtype": dtype, **columns}
    for column in ("steps_per_s", "samples_per_s", "hvp_per_s"):
        row |= {column: rate, f"{column}_q1": rate - 1, f"{column}_q3": rate + 1}
    return Result(run, "ok", (row,))


def test_the_fastest_of_each_dtype_is_marked_among_those_undisturbed():
    busy = {"disturbed": True, "busy_cores_of_others": 2.0}
    table = summary(
        [
            timed("a", "float64", 900.0),
            timed("b", "float64", 1.2e3),
            timed("c", "float64", 5e3, **busy),
            timed("a", "float32", 2e3),
            timed("b", "float32", 1e3),
        ]
    )
    for column in ("steps/s", "samples/s", "HVP/s"):
        assert [line[column].best for line in table] == [
            False,
            True,
            False,
            True,
            False,
        ]
    assert text(table[0]["steps/s"]) == "900 [899, 901]"
    assert legend(table).startswith(
        "* best of its problem, at its dtype, among those without a"
    )
