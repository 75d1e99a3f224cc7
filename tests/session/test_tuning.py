"""Fair tuning.

Equal points and seeds apart, the winner and its spread, and sessions that stop and go on.
"""

import itertools
import json
import math
import re
import signal
import statistics
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sfnbench import DataError, Result, Store, SuiteError, execute, load_suite, plan, run_suite
from sfnbench.experiments.keys import MOST_STEPS
from sfnbench.experiments.race.keys import Tune
from sfnbench.session.observer import Observer
from sfnbench.session.session import preview, tuning_runs
from sfnbench.session.tuning import FILE, expected_best, middle, sample, trials, winners
from sfnbench.suite.ranges import MAX_RANGES
from sfnbench.suite.reading import TUNING_SEEDS

BOWL = "{use: quadratic_saddle, label: bowl, eigenvalues: [4, 1], radius: 1}"
SUITE = f"""
seeds: 2
budget: {{steps: 30}}
problems: [{BOWL}]
optimizers:
  - {{use: gradient_descent, lr: {{uniform: [0.1, 0.5]}}}}
  - {{use: msgd, lr: {{loguniform: [0.01, 0.3]}}, momentum: {{choice: [0, 0.5]}}}}
  - sfn
tune: {{trials: 5, seeds: 3}}
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Work in a folder with a suite of this text in it."""
    monkeypatch.chdir(tmp_path)

    def write(text=SUITE, name="s.yaml"):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


class Notes(Observer):
    def __init__(self):
        self.stages, self.begun, self.done, self.told = [], [], [], []

    def stage(self, name):
        self.stages.append(name)

    def begin(self, todo, n_stored, stale):
        self.begun.append((len(todo), n_stored))

    def finished(self, result):
        self.done.append(result)

    def tuned(self, found):
        self.told.append((found.run.method.label, found.best))


def run(path, **options):
    notes = Notes()
    folder = run_suite(path, engine="inline", observer=notes, **options)
    return folder, notes


def report(folder):
    tuned = yaml.safe_load((folder / FILE).read_text())["tuned"]
    return {(each["problem"], each["optimizer"]): each for each in tuned}


def of(path, label):
    """The suite, and its open run of that optimizer."""
    suite = load_suite(path)
    return suite, next(run for run in plan(suite) if run.method.label == label)


# -- points ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("sampler", ["halton", "random", "sobol"])
@pytest.mark.parametrize("n", [1, 5, 8])
def test_more_trials_only_add_points(sampler, n):
    few, many = (sample(Tune(trials=trials, sampler=sampler)) for trials in (n, 21))
    assert few.shape == (n, MAX_RANGES)
    assert np.array_equal(few, many[:n])
    assert ((many >= 0) & (many < 1)).all()
    assert len(np.unique(many, axis=0)) == 21
    assert not np.array_equal(many, sample(Tune(trials=21, sampler=sampler, seed=1)))


@pytest.mark.parametrize(
    ("sampler", "dimension", "n"),
    [("halton", 0, 16), ("halton", 1, 27), ("sobol", 0, 16), ("sobol", 9, 16)],
)
def test_low_discrepancy_points_leave_no_gap(sampler, dimension, n):
    """Halton's dimension of base b has one of b^m points in each interval of length b^-m.

    Sobol' has base 2 everywhere.
    """
    points = sample(Tune(trials=n, sampler=sampler))[:, dimension]
    assert sorted(np.floor(points * n)) == list(range(n))


def test_every_optimizer_is_tried_at_the_same_points(write):
    suite = load_suite(write())
    points = {}
    for open_run in (run for run in plan(suite) if run.is_open):
        made = trials(open_run, suite.tune)
        ranges = open_run.method.ranges
        first = min(ranges)
        points[open_run.method.label] = [
            _place(ranges[first], trial.method.params[first]) for trial in made
        ]
        assert {trial.seeds for trial in made} == {tuple(range(TUNING_SEEDS, TUNING_SEEDS + 3))}
        assert len({json.dumps(trial.settings) for trial in made}) == 1
    assert len(points) == 2
    expected = sample(suite.tune)[:, 0]
    for found in points.values():
        assert found == pytest.approx(expected, abs=1e-4)  # values have six digits


def _place(range_, value):
    low, high = map(math.log if range_.scale == "loguniform" else float, range_.values)
    return ((math.log(value) if range_.scale == "loguniform" else value) - low) / (high - low)


def test_trials_measure_the_loss_alone_within_their_own_budget(write):
    text = SUITE.replace(
        "tune: {", "metrics: [gradient_norm, {use: loss, every: 3}]\ntune: {budget: {cost: 7}, "
    )
    suite, open_run = of(write(text), "msgd")
    first = trials(open_run, suite.tune)[0]
    assert first.settings == {
        "budget": {"steps": MOST_STEPS, "seconds": None, "cost": 7.0},
        "metrics": [["loss", 3]],
    }
    assert (first.problem, first.method.use, first.experiment) == (
        open_run.problem,
        "msgd",
        "race",
    )


def test_no_result_is_made_with_tuning_seeds(write):
    path = write()
    for seeds in ([TUNING_SEEDS], [0, TUNING_SEEDS + 99]):
        with pytest.raises(SuiteError, match="for tuning alone"):
            run(path, seeds=seeds)
        with pytest.raises(SuiteError, match="for tuning alone"):
            preview(load_suite(path), seeds=seeds)
    assert not (path.parent / "runs").exists()


# -- the best of them ------------------------------------------------------------------------------

LOSSES = st.lists(st.floats(-1e6, 1e6) | st.just(math.inf), min_size=1, max_size=7)


@given(LOSSES, st.data())
def test_expected_best_is_the_mean_over_all_choices_of_k(losses, data):
    k = data.draw(st.integers(1, len(losses)))
    every = [min(chosen) for chosen in itertools.combinations(losses, k)]
    assert expected_best(losses, k) == pytest.approx(sum(every) / len(every), rel=1e-9, abs=1e-6)


@given(LOSSES)
def test_expected_best_falls_from_the_mean_to_the_lowest(losses):
    curve = [expected_best(losses, k) for k in range(1, len(losses) + 1)]
    assert curve[-1] == min(losses)
    assert all(later <= before + 1e-6 for before, later in itertools.pairwise(curve))


@pytest.mark.parametrize("k", [0, 3])
def test_expected_best_of_more_than_there_are_is_refused(k):
    with pytest.raises(ValueError, match="between 1 and the number of losses, 2"):
        expected_best([1.0, 2.0], k)


def result(trial, rows, status="ok"):
    return Result(trial, status, tuple(rows))


def rows(*losses, status="ok"):
    return [{"status": status, "final_loss": loss, "best_loss": loss} for loss in losses]


@pytest.mark.parametrize(
    ("seeds", "expected"),
    [
        (rows(3.0, 1.0, 2.0), 2.0),
        (rows(3.0, 1.0, math.nan), 3.0),
        (rows(1.0, None, math.inf), math.inf),
        ([*rows(1.0, 5.0), *rows(0.0, status="diverged")], 5.0),
        ([*rows(1.0, 5.0), {"status": "error"}], 5.0),
        (rows(1.0, status="stuck"), 1.0),
        ([], math.inf),
    ],
)
def test_the_middle_counts_what_broke_as_infinite(make_run, seeds, expected):
    assert middle(result(make_run("mlp", {}, "sfn", {}), seeds), "final_loss") == expected


def test_the_winner_has_the_lowest_median_and_comes_first(write):
    suite, open_run = of(write(), "gradient_descent")
    made = trials(open_run, suite.tune)
    losses = [2.0, math.inf, 1.0, 1.0, 9.0]
    results = {
        trial.id: result(trial, rows(loss, loss, loss))
        for trial, loss in zip(made, losses, strict=True)
    }
    [found] = winners([open_run], suite.tune, results)
    assert found.losses == tuple(losses)
    assert found.best == {"lr": made[2].method.params["lr"]}
    assert found.settled == replace(
        open_run, method=replace(made[2].method, label="gradient_descent")
    )
    assert winners([open_run], suite.tune, dict(list(results.items())[1:])) == ()  # one is missing


@pytest.mark.parametrize(("i", "end"), [(0, "low"), (-1, "high"), (2, None)])
def test_a_winner_at_an_end_of_its_range_is_remarked(write, i, end):
    suite, open_run = of(write(SUITE.replace("trials: 5", "trials: 99")), "gradient_descent")
    made = sorted(trials(open_run, suite.tune), key=lambda trial: trial.method.params["lr"])
    best = made[i] if end else made[len(made) // 2]
    results = {trial.id: result(trial, rows(0.0 if trial is best else 1.0)) for trial in made}
    [found] = winners([open_run], suite.tune, results)
    assert found.edges == ({"lr": end} if end else {})
    widen = f"lr is at the {end} end of {{uniform: [0.1, 0.5]}}: widen the range"
    assert found.remarks == ([widen] if end else [])


# -- sessions --------------------------------------------------------------------------------------


def test_tuned_gradient_descent_comes_near_the_best_rate_there_is(write):
    """On 1/2 (4 x^2 + y^2) a step contracts by max |1 - 4 lr|, |1 - lr|, which is least, 0.6, at lr = 2 / (4 + 1)."""
    text = SUITE.replace("steps: 30", "steps: 200").replace("trials: 5", "trials: 40")
    folder, notes = run(write(text), optimizers=["gradient_descent"])
    best = report(folder)["bowl", "gradient_descent"]["params"]["lr"]
    suite, open_run = of("s.yaml", "gradient_descent")
    tried = [trial.method.params["lr"] for trial in trials(open_run, suite.tune)]
    assert _contraction(best) == pytest.approx(min(map(_contraction, tried)), rel=1e-2)
    assert best == pytest.approx(0.4, abs=0.02)
    [final] = [result for result in notes.done if result.run.seeds == (0, 1)]
    assert final.run.method.params == {**open_run.method.params, "lr": best}
    assert final.run.method.label == "gradient_descent"


def _contraction(lr):
    return max(abs(1 - 4 * lr), abs(1 - lr))


def test_trials_come_first_and_the_best_run_afresh_with_the_suites_seeds(write):
    folder, notes = run(write())
    assert notes.stages == ["tuning", "results"]
    assert notes.begun == [(10, 0), (3, 0)]
    assert [label for label, _ in notes.told] == ["gradient_descent", "msgd"]
    with Store(folder) as store, Store(folder / "tuning") as tried:
        final = {result.run.method.label: result for result in store.results()}
        assert {seed for result in final.values() for seed in result.run.seeds} == {0, 1}
        assert {seed for result in tried.results() for seed in result.run.seeds} == {
            TUNING_SEEDS + i for i in range(3)
        }
        losses = {
            result.run.id: statistics.median(row["final_loss"] for row in result.rows)
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
        assert entry["expected_best"][1] == pytest.approx(statistics.fmean(mine), rel=1e-5)


def test_the_same_suite_gives_the_same_report_to_the_byte(write, tmp_path):
    path = write()
    first, second = (run(path, out=tmp_path / name)[0] for name in ("a", "b"))
    assert (first / FILE).read_bytes() == (second / FILE).read_bytes()
    folder, notes = run(path, out=first)
    assert notes.begun == [(0, 10), (0, 3)]
    assert (folder / FILE).read_bytes() == (second / FILE).read_bytes()


def test_only_what_is_missing_is_tried(write):
    run(write())
    assert run(write(SUITE.replace("trials: 5", "trials: 7")))[1].begun[0] == (4, 10)
    assert run(write(SUITE.replace("trials: 5", "trials: 3")))[1].begun[0] == (0, 6)
    assert run(write(SUITE.replace("seeds: 2", "seeds: 3")))[1].begun == [(0, 10), (3, 0)]
    assert run(write(SUITE.replace("seeds: 3", "seeds: 2")))[1].begun[0] == (10, 0)
    assert run(write(), fresh=True)[1].begun == [(10, 0), (3, 0)]


def test_a_part_of_the_suite_is_tuned_by_itself_and_the_report_keeps_the_rest(write):
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
        "steps: 30", "steps: 100"
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
        "no trial of 5 has a finite final_loss over 3 tuning seeds"
    )
    entry = report(folder)["bowl", "gradient_descent"]
    assert (entry["params"], entry["final_loss"], entry["failed"]) == (None, math.inf, 5)
    assert entry["broken"] + "\n" == final["gradient_descent"].log
    assert run(path)[1].begun == [(0, 10), (0, 3)]
    write(text.replace("trials: 5", "trials: 6"))
    again = run(path)[1]
    assert again.begun[0] == (2, 10)
    assert [each.log[:13] for each in again.done if each.status == "error"] == [
        "no trial of 6"
    ]  # told by its new tuning


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
    cls = sys.modules[next(name for name in sys.modules if name.endswith(".tune_flaky"))].Flaky
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
    [best] = [entry["params"]["lr"] for entry in report(run(write(text))[0]).values()]
    suite, open_run = of("s.yaml", "gradient_descent")
    tried = [trial.method.params["lr"] for trial in trials(open_run, suite.tune)]
    assert best == max(tried)  # the way down grows by 1 + lr in each step
    [entry] = report(run(write(text.replace("escape_step", "final_loss")))[0]).values()
    assert (
        "final_loss ranks badly where the loss has no floor: escape_cost would do better"
        in entry["remarks"]
    )


def test_a_range_that_reaches_beyond_the_data_is_found_before_anything_runs(write):
    entry = "{use: msgd, batch_size: {uniform: [10, 1000]}, lr: {uniform: [0.1, 0.5]}}"
    data = "{use: mlp, hidden: [3], size: 8, n_examples: 100}"
    path = write(f"problems: [{data}]\noptimizers: [{entry}]\ntune: {{}}\n")
    with pytest.raises(SuiteError, match=r"^msgd on mlp: .*1000.*100") as caught:
        run(path)
    assert len(str(caught.value).splitlines()) == 1
    assert not Path("runs").exists()


def test_data_are_needed_until_all_is_there(write, monkeypatch):
    def missing_data(runs):
        return [f"{run.method.label}: missing data" for run in runs]

    path = write()
    with monkeypatch.context() as gone:
        gone.setattr("sfnbench.session.session.missing_data", missing_data)
        with pytest.raises(DataError, match=r"gradient_descent: .*\nmsgd: .*\nsfn: missing"):
            run(path)
    run(path)
    monkeypatch.setattr("sfnbench.session.session.missing_data", missing_data)
    assert run(path)[1].begun == [(0, 10), (0, 3)]
    assert {row["state"] for row in preview(load_suite(path))} == {"there"}
    with pytest.raises(DataError, match="msgd: missing"):
        run(path, fresh=True)


def test_an_open_run_is_not_executed(write):
    _, open_run = of(write(), "msgd")
    with pytest.raises(SuiteError, match="msgd on bowl has ranges: tune it first"):
        execute(open_run)


def test_python_sees_what_is_open_and_what_would_be_done(write):
    suite = load_suite(write())
    runs = plan(suite)
    assert [run.is_open for run in runs] == [True, True, False]
    assert len(tuning_runs(suite, runs)) == 10
    before = preview(suite)
    assert [(row["run"], row["seeds"], row["state"]) for row in before] == [
        ("tuning", 3, "5 of 5 trials to do"),
        ("tuning", 3, "5 of 5 trials to do"),
        ("after tuning", 2, "to do"),
        ("after tuning", 2, "to do"),
        (runs[2].id, 2, "to do"),
    ]
    run("s.yaml", optimizers=["msgd"])
    after = preview(suite)
    assert [row["state"] for row in after] == [
        "5 of 5 trials to do",
        "there",
        "to do",
        "there",
        "to do",
    ]
    assert len(after[3]["run"]) == len(runs[2].id)


# -- the command line ------------------------------------------------------------------------------


def sfnbench(*words):
    return subprocess.run(
        [sys.executable, "-m", "sfnbench", *words], capture_output=True, text=True
    )


def test_killed_in_the_middle_of_tuning_it_goes_on_and_tries_nothing_twice(write):
    """A real SIGKILL; what was said to be tried is never tried again."""
    write(SUITE.replace("steps: 30", "steps: 400").replace("trials: 5", "trials: 6"))
    words = [sys.executable, "-m", "sfnbench", "run", "s.yaml", "--jobs", "2"]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    said = []
    for line in process.stderr:
        said += [_named(line)] if line.startswith("[") else []
        if len(said) == 3:
            process.kill()
            break
    said += [_named(line) for line in process.stderr if line.startswith("[")]
    process.wait()
    process.stderr.close()
    assert process.returncode == -signal.SIGKILL
    assert not Path(f"runs/s/{FILE}").exists()
    assert [row["run"] for row in preview(load_suite("s.yaml"))][2:4] == ["after tuning"] * 2
    last = sfnbench(*words[3:])
    assert last.returncode == 0
    told = last.stderr.splitlines()
    [tuning, results] = [line for line in told if "runs to do" in line]
    left, there = map(
        int, re.fullmatch(r"tuning: (\d+) runs to do, (\d+) already there", tuning).groups()
    )
    assert results == "results: 3 runs to do"
    assert left + there == 12
    unsaid = there - len(said)  # kept, but killed before it was said
    assert unsaid in (0, 1)
    said += [_named(line) for line in told if line.startswith("[")]
    assert len(said) == len(set(said)) == 12 + 3 - unsaid
    assert sum(line.startswith("tuned ") for line in told) == 2
    with Store("runs/s") as store:
        assert [(each.run.method.label, each.status) for each in store.results()] == [
            ("gradient_descent", "ok"), ("msgd", "ok"), ("sfn", "ok"),
        ]  # fmt: skip


def _named(line):
    return line.partition("] ")[2].partition(":")[0]


def test_validate_and_dry_run_count_both_stages(write):
    write()
    assert (
        sfnbench("validate", "s.yaml").stdout
        == "s.yaml: all well, 3 runs of 2 seeds, after 10 tuning runs of 3 seeds\n"
    )
    dry = sfnbench("run", "s.yaml", "--dry-run", "--format", "json")
    assert [row["run"] for row in json.loads(dry.stdout)][:4] == ["tuning"] * 2 + [
        "after tuning"
    ] * 2
    assert dry.stderr == "10 tuning runs, then 3 runs\n"
    assert not Path("runs").exists()


def test_export_shows_the_winning_parameters(write):
    folder, notes = run(write())
    assert sfnbench("export", str(folder), "rows.jsonl").returncode == 0
    exported = [json.loads(line) for line in Path("rows.jsonl").read_text().splitlines()]
    found = {row["label"]: json.loads(row["optimizer_params"]) for row in exported}
    for label, best in notes.told:
        assert {name: found[label][name] for name in best} == best
    assert {row["seed"] for row in exported} == {0, 1}
