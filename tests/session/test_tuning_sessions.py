"""Sessions that tune: trials first, stopped and gone on with, and what the command line says."""

import itertools
import json
import math
import shutil
import signal
import statistics
import sys
from pathlib import Path

import pytest
from gate import Gate, done, session
from tuned_suites import BOWL, SUITE, of, report, run

from sfnbench import DataError, Store, SuiteError, execute, load_suite, plan
from sfnbench.errors import StoreError
from sfnbench.session.plans import Planned
from sfnbench.session.session import preview, tuning_runs
from sfnbench.session.tuning import TUNED_FILE, trials
from sfnbench.suite.reading import TUNING_SEEDS

GATED = f"""
seeds: 2
budget: {{steps: 10}}
problems: [{BOWL}]
optimizers:
  - {{use: gated, label: one, lr: {{uniform: [0.1, 0.5]}}}}
  - {{use: gated, label: other, lr: {{loguniform: [0.01, 0.3]}}}}
  - sfn
tune: {{trials: 3, seeds: 1}}
"""


@pytest.fixture(scope="module")
def tuned_once(tmp_path_factory):
    """The suite, tuned and run: its folder and what was observed."""
    root = tmp_path_factory.mktemp("tuned")
    (root / "s.yaml").write_text(SUITE)
    return run(root / "s.yaml", out=root / "out")


@pytest.fixture
def tuned(tuned_once, write):
    """A copy of it, in a folder of the test's own."""
    write()
    folder, notes = tuned_once
    return Path(shutil.copytree(folder, "runs/s")), notes


# -- the runs --------------------------------------------------------------------------------------


def test_tuned_gradient_descent_comes_near_the_best_rate_there_is(write):
    """On 1/2 (4 x^2 + y^2) a step contracts by max |1 - 4 lr|, |1 - lr|, which is least,
    0.6, at lr = 2 / (4 + 1)."""
    text = SUITE.replace("steps: 10", "steps: 60").replace(
        "trials: 5", "trials: 20"
    )
    folder, notes = run(write(text), optimizers=["gradient_descent"])
    best = report(folder)["bowl", "gradient_descent"]["params"]["lr"]
    suite, open_run = of("s.yaml", "gradient_descent")
    tried = [trial.method.params["lr"] for trial in trials(open_run, suite.tune)]
    assert _contraction(best) == pytest.approx(
        min(map(_contraction, tried)), rel=1e-2
    )
    assert best == pytest.approx(0.4, abs=0.02)
    [final] = [result for result in notes.done if result.run.seeds == (0, 1)]
    assert final.run.method.params == {**open_run.method.params, "lr": best}
    assert final.run.method.label == "gradient_descent"


def _contraction(lr):
    return max(abs(1 - 4 * lr), abs(1 - lr))


def test_trials_come_first_and_the_best_run_afresh_with_the_suites_seeds(tuned):
    folder, notes = tuned
    assert notes.stages == ["tuning", "results"]
    assert notes.begun == [(10, 0), (3, 0)]
    assert [label for label, _ in notes.told] == ["gradient_descent", "msgd"]
    with Store(folder) as store, Store(folder / "tuning") as tried:
        final = {result.run.method.label: result for result in store.results()}
        assert {seed for result in final.values() for seed in result.run.seeds} == {
            0,
            1,
        }
        assert {
            seed for result in tried.results() for seed in result.run.seeds
        } == {TUNING_SEEDS + i for i in range(3)}
        losses = {
            result.run.id: statistics.median(
                row["final_loss"] for row in result.rows
            )
            for result in tried.results()
        }
    assert set(final) == {"gradient_descent", "msgd", "sfn"}
    for label, best in notes.told:
        suite, open_run = of("s.yaml", label)
        mine = [losses[trial.id] for trial in trials(open_run, suite.tune)]
        entry = report(folder)["bowl", label]
        assert entry["params"] == best
        assert {name: final[label].run.method.params[name] for name in best} == best
        assert entry["final_loss"] == pytest.approx(min(mine), rel=1e-5)
        assert (entry["trials"], entry["failed"], len(entry["spread"])) == (5, 0, 5)
        assert [line["final_loss"] for line in entry["spread"]] == pytest.approx(
            sorted(mine), rel=1e-5
        )
        assert list(entry["expected_best"]) == [1, 2, 5]
        assert entry["expected_best"][1] == pytest.approx(
            statistics.fmean(mine), rel=1e-5
        )


def test_the_same_suite_gives_the_same_report_to_the_byte(tuned):
    first, second = tuned[0], run("s.yaml", out="second")[0]
    assert (first / TUNED_FILE).read_bytes() == (second / TUNED_FILE).read_bytes()
    folder, notes = run("s.yaml", out=first)
    assert notes.begun == [(0, 10), (0, 3)]
    assert (folder / TUNED_FILE).read_bytes() == (second / TUNED_FILE).read_bytes()


def test_only_what_is_missing_is_tried(write, tuned):
    assert run(write(SUITE.replace("trials: 5", "trials: 7")))[1].begun[0] == (
        4,
        10,
    )
    assert run(write(SUITE.replace("trials: 5", "trials: 3")))[1].begun[0] == (0, 6)
    assert run(write(SUITE.replace("seeds: 2", "seeds: 3")))[1].begun == [
        (0, 10),
        (3, 0),
    ]
    assert run(write(SUITE.replace("seeds: 3", "seeds: 2")))[1].begun[0] == (10, 0)
    assert run(write(), fresh=True)[1].begun == [(10, 0), (3, 0)]


def test_a_part_of_the_suite_is_tuned_by_itself_and_the_report_keeps_the_rest(
    write,
):
    path = write()
    assert run(path, optimizers=["sfn"])[1].stages == []
    folder, notes = run(path, optimizers=["msgd"])
    assert notes.begun == [(5, 0), (1, 0)]
    assert list(report(folder)) == [("bowl", "msgd")]
    notes = run(path, optimizers=["gradient_descent"], seeds=1)[1]
    assert [len(result.run.seeds) for result in notes.done] == [3] * 5 + [1]
    assert [label for label, _ in notes.told] == ["gradient_descent"]
    assert list(report(folder)) == [("bowl", "gradient_descent"), ("bowl", "msgd")]


def test_an_optimizer_whose_trials_all_break_is_an_error_of_its_own(write):
    text = SUITE.replace("uniform: [0.1, 0.5]", "uniform: [1e5, 1e6]").replace(
        "steps: 10", "steps: 100"
    )
    path = write(text)
    folder, notes = run(path)
    final = {result.run.method.label: result for result in notes.done[10:]}
    assert {label: each.status for label, each in final.items()} == {
        "gradient_descent": "error",
        "msgd": "ok",
        "sfn": "ok",
    }
    assert final["gradient_descent"].log.startswith(
        "no trial of 5 has a finite final_loss that is not far above its start,"
        " over 3 tuning seeds"
    )
    entry = report(folder)["bowl", "gradient_descent"]
    assert (entry["params"], entry["final_loss"], entry["failed"]) == (
        None,
        math.inf,
        5,
    )
    assert entry["broken"] + "\n" == final["gradient_descent"].log
    assert run(path)[1].begun == [(0, 10), (0, 3)]
    write(text.replace("trials: 5", "trials: 6"))
    again = run(path)[1]
    assert again.begun[0] == (2, 10)
    # the log is that of the new tuning
    assert [each.log[:13] for each in again.done if each.status == "error"] == [
        "no trial of 6"
    ]


def test_what_broke_in_tuning_is_tried_again_by_only_failed(write, plugin):
    source = """
from dataclasses import dataclass
from sfnbench import Optimizer, Positive, register
@register("tune_flaky")
@dataclass(frozen=True, kw_only=True)
class Flaky(Optimizer):
    lr: Positive = 0.1
    broken = True
    def step(self, oracle, theta, state):
        if Flaky.broken and self.lr > LIMIT:
            raise RuntimeError("out of order")
        return theta - self.lr * oracle.grad(theta), state
"""
    plugin("optimizers", "tune_flaky", source.replace("LIMIT", "0.0"))
    path = write(SUITE.replace("use: gradient_descent", "use: tune_flaky"))
    assert run(path)[1].begun == [(10, 0), (3, 0)]
    cls = sys.modules[
        next(name for name in sys.modules if name.endswith(".tune_flaky"))
    ].Flaky
    cls.broken = False
    notes = run(path, only_failed=True)[1]
    assert notes.begun == [(5, 5), (1, 2)]
    assert {result.status for result in notes.done} == {"ok"}


def test_escape_can_be_what_is_tuned_and_a_loss_without_floor_is_remarked(write):
    text = """
seeds: 1
budget: {steps: 60}
problems: [{use: quadratic_saddle, eigenvalues: [1, -1], radius: 1e-3}]
optimizers: [{use: gradient_descent, lr: {uniform: [0.05, 0.5]}}]
tune: {trials: 8, seeds: 1, metric: escape_step}
"""
    [best] = [
        entry["params"]["lr"] for entry in report(run(write(text))[0]).values()
    ]
    suite, open_run = of("s.yaml", "gradient_descent")
    tried = [trial.method.params["lr"] for trial in trials(open_run, suite.tune)]
    assert best == max(tried)  # the way down grows by 1 + lr in each step
    [entry] = report(
        run(write(text.replace("escape_step", "final_loss")))[0]
    ).values()
    assert (
        "final_loss ranks badly where the loss has no floor: escape_cost would do better"
        in entry["remarks"]
    )


def test_a_range_that_reaches_beyond_the_data_is_found_before_anything_runs(write):
    entry = (
        "{use: msgd, batch_size: {uniform: [10, 1000]}, lr: {uniform: [0.1, 0.5]}}"
    )
    data = "{use: mlp, hidden: [3], size: 8, n_examples: 100}"
    path = write(f"problems: [{data}]\noptimizers: [{entry}]\ntune: {{}}\n")
    with pytest.raises(SuiteError, match=r"^msgd on mlp: .*1000.*100") as caught:
        run(path)
    assert len(str(caught.value).splitlines()) == 1
    assert not Path("runs").exists()


def test_data_are_needed_until_all_is_there(tuned, monkeypatch):
    def missing_data(runs):
        return [f"{run.method.label}: missing data" for run in runs]

    path = "s.yaml"
    monkeypatch.setattr("sfnbench.session.session.missing_data", missing_data)
    with pytest.raises(
        DataError, match=r"gradient_descent: .*\nmsgd: .*\nsfn: missing"
    ):
        run(path, out="elsewhere")
    assert run(path)[1].begun == [(0, 10), (0, 3)]
    assert {row["state"] for row in preview(Planned.of(load_suite(path)))} == {
        "there"
    }
    with pytest.raises(DataError, match="msgd: missing"):
        run(path, fresh=True)


def test_what_lies_in_the_place_of_the_report_is_one_line(tuned):
    (Path("runs/s") / TUNED_FILE).unlink()
    (Path("runs/s") / TUNED_FILE).mkdir()
    with pytest.raises(StoreError, match=rf"{TUNED_FILE}: cannot be written"):
        run("s.yaml", out="runs/s")


def test_a_file_called_checkpoints_costs_no_result(write):
    lines = ["budget: {steps: 3}", f"problems: [{BOWL}]", "optimizers: [sfn]"]
    file = write("\n".join(lines))
    Path("out").mkdir()
    (Path("out") / "checkpoints").write_text("no folder")
    run(file, out="out")
    with Store("out") as store:
        assert {result.status for result in store.results()} == {"ok"}


def test_an_open_run_is_not_executed(write):
    _, open_run = of(write(), "msgd")
    with pytest.raises(SuiteError, match="msgd on bowl has ranges: tune it first"):
        execute(open_run)


def test_python_sees_what_is_open_and_what_would_be_done(write):
    suite = load_suite(write())
    runs = plan(suite)
    assert [run.is_open for run in runs] == [True, True, False]
    assert len(tuning_runs(suite, runs)) == 10
    before = preview(Planned.of(suite))
    assert [(row["run"], row["seeds"], row["state"]) for row in before] == [
        ("tuning", 3, "5 of 5 trials to do"),
        ("tuning", 3, "5 of 5 trials to do"),
        ("after tuning", 2, "to do"),
        ("after tuning", 2, "to do"),
        (runs[2].id, 2, "to do"),
    ]
    run("s.yaml", optimizers=["msgd"])
    after = preview(Planned.of(suite))
    assert [row["state"] for row in after] == [
        "5 of 5 trials to do",
        "there",
        "to do",
        "there",
        "to do",
    ]
    assert len(after[3]["run"]) == len(runs[2].id)


# -- the command line ------------------------------------------------------------------------------


@pytest.mark.slow
def test_killed_in_the_middle_of_tuning_it_goes_on_and_tries_nothing_twice(
    write, here, sfnbench
):
    """A real SIGKILL, with two trials under way; what was said to be tried is never tried again."""
    gate = Gate(here)
    write(GATED)
    gate.open(2)
    with session("s.yaml", "--jobs", "2") as process:
        told = done(process.stderr)
        said = list(itertools.islice(told, 2))
        process.kill()
        said += told
    assert process.returncode == -signal.SIGKILL
    assert gate.is_deserted()
    assert not Path(f"runs/s/{TUNED_FILE}").exists()
    assert [row["run"] for row in preview(Planned.of(load_suite("s.yaml")))][
        2:4
    ] == ["after tuning"] * 2
    gate.open(9)
    code, _, err = sfnbench("run", "s.yaml", "--engine", "inline")
    assert code == 0
    lines = err.splitlines()
    assert [line for line in lines if "runs to do" in line] == [
        "tuning: 4 runs to do, 2 already there",
        "results: 3 runs to do",
    ]
    said += done(lines)
    assert len(said) == len(set(said)) == 6 + 3
    assert sum(line.startswith("tuned ") for line in lines) == 2
    with Store("runs/s") as store:
        found = [(each.run.method.label, each.status) for each in store.results()]
    assert found == [("one", "ok"), ("other", "ok"), ("sfn", "ok")]


def test_validate_and_dry_run_count_both_stages(write, sfnbench):
    write()
    told = "s.yaml: all well, 3 runs of 2 seeds, after 10 tuning runs of 3 seeds\n"
    assert sfnbench("validate", "s.yaml")[1] == told
    _, out, err = sfnbench("run", "s.yaml", "--dry-run", "--format", "json")
    kinds = ["tuning", "tuning", "after tuning", "after tuning"]
    assert [row["run"] for row in json.loads(out)][:4] == kinds
    assert err == "10 tuning runs, then 3 runs\n"
    assert not Path("runs").exists()


def test_export_shows_the_winning_parameters(tuned, sfnbench):
    folder, notes = tuned
    assert sfnbench("export", str(folder), "rows.jsonl")[0] == 0
    exported = [
        json.loads(line) for line in Path("rows.jsonl").read_text().splitlines()
    ]
    found = {row["label"]: json.loads(row["optimizer_params"]) for row in exported}
    for label, best in notes.told:
        assert {name: found[label][name] for name in best} == best
    assert {row["seed"] for row in exported} == {0, 1}
