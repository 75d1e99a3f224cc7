"""The command line as a person meets it: what it prints, what it leaves behind, and how it ends."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from sfnbench import Store, cli, registry

SUITE = """
title: Tiny
seeds: 3
budget: {steps: 20}
problems: [quadratic_saddle, monkey_saddle]
optimizers: [sfn, {use: gradient_descent, lr: 0.05}]
profiles:
  quick: {budget: {steps: 2}}
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder to work in, with one suite; plugins found there are forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "suites").mkdir()
    (tmp_path / "suites" / "tiny.yaml").write_text(SUITE)
    kept, path, added = dict(registry._registered), list(registry._package.__path__), list(registry._added)
    yield tmp_path
    for key in registry._registered.keys() - kept.keys():
        cls = registry._registered.pop(key)
        if cls.__module__.startswith(registry.PACKAGE):
            sys.modules.pop(cls.__module__, None)
        else:
            registry._registered[key] = cls
    registry._package.__path__[:] = path
    registry._added[:] = added


@pytest.fixture
def sfnbench(here, monkeypatch, capsys):
    """Call the command line in this process: (exit code, stdout, stderr)."""

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["sfnbench", *map(str, words)])
        with pytest.raises(SystemExit) as exit_:
            cli.main()
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return exit_.value.code or 0, out, err

    return call


@pytest.fixture
def run(sfnbench):
    return lambda *words: sfnbench("run", "tiny", "--engine", "inline", *words)


def test_whether_two_folders_are_the_same_to_the_bit(run, sfnbench):
    run("--out", "a")
    run("--out", "b")
    code, out, err = sfnbench("compare", "a", "b", "--bits")
    assert (code, out) == (0, "")
    assert "4 runs in both: 4 the same to the bit, 0 not" in err
    with Store("b", create=True) as store:
        result = next(r for r in store.results() if r.run.optimizer.label == "sfn")
        loss = result.series["loss"].copy()
        loss[0, 2] *= 1 + 1e-15
        store.put(replace(result, series={**result.series, "loss": loss}))
    code, out, err = sfnbench("compare", "a", "b", "--bits")
    assert code == 3
    assert "series loss from entry 2 on" in out
    assert "4 runs in both: 3 the same to the bit, 1 not" in err
    run("--out", "c", "--seeds", 1)
    code, _, err = sfnbench("compare", "a", "c", "--bits")
    assert code == 2
    assert "no run in common" in err


def test_a_run_that_is_refused_leaves_the_table_as_it_was(run, sfnbench):
    run()
    before = sfnbench("show", "--format", "json")[1]
    code, _, err = run("--seeds", 2, "--jobs", 0)
    assert (code, "jobs" in err) == (2, True)
    assert sfnbench("show", "--format", "json")[1] == before


def test_the_table_is_filtered_sorted_and_grouped(run, sfnbench):
    run()
    code, out, _ = sfnbench("show", "-o", "s*", "--format", "csv")
    rows = list(csv.DictReader(out.splitlines()))
    assert (code, {row["optimizer"] for row in rows}) == (0, {"sfn"})
    code, out, _ = sfnbench("show", "--sort=-cost_in_gradients", "--format", "csv")
    costs = [float(row["cost in gradients"].split()[0]) for row in csv.DictReader(out.splitlines())]
    assert costs == sorted(costs, reverse=True)
    assert len(set(costs)) > 1
    code, out, err = sfnbench("show", "--by", "problem")
    assert code == 0
    assert err.split() == ["quadratic_saddle", "monkey_saddle"]
    assert out.count("gradient_descent") == 2
    for words in (["-o", "sfm"], ["--sort", "loss"], ["--by", "problem", "--format", "json"]):
        code, out, err = sfnbench("show", *words)
        assert (code, out, err.count("\n")) == (2, "", 1)


def table(sfnbench, folder="runs/tiny"):
    code, out, _ = sfnbench("show", folder, "--format", "json")
    assert code == 0
    return {(row["problem"], row["optimizer"]): row for row in json.loads(out)}


def test_run_prints_a_table_and_says_where_results_are(run, sfnbench, here):
    code, out, err = run()
    assert code == 0
    assert "4 runs to do" in err
    assert "[4/4]" in err
    assert "runs/tiny" in err
    assert (here / "runs" / "tiny" / "results.sqlite").exists()
    for problem in ("quadratic_saddle", "monkey_saddle"):
        assert problem in out
    rows = table(sfnbench)
    assert rows["quadratic_saddle", "sfn"]["escaped"] == "3/3"
    assert rows["quadratic_saddle", "gradient_descent"]["escape step"] == "> 20"
    assert "final loss" not in rows["quadratic_saddle", "sfn"]  # it has no floor: the loss says when the race stopped


def test_a_second_run_executes_only_what_is_missing(run, here):
    assert "4 runs to do" in run()[2]
    assert "0 runs to do, 4 already there" in run()[2]
    assert "2 runs to do" in run("-o", "msgd")[2]
    (here / "suites" / "tiny.yaml").write_text(SUITE.replace("lr: 0.05", "lr: 0.04"))
    _, out, err = run()
    assert "2 runs to do, 2 already there" in err
    assert "lr was 0.05, is 0.04" in err
    assert out.count("gradient_descent") == 2  # what gave way is not shown beside it
    assert out.count("msgd") == 2  # and what was added stays
    assert "4 runs to do" in run("--fresh")[2]


def test_selection_profile_and_seeds_change_what_runs(run, sfnbench):
    assert "1 runs to do" in run("-o", "sfn", "-p", "monkey_saddle", "--seeds", "2", "--profile", "quick")[2]
    row = table(sfnbench)["monkey_saddle", "sfn"]
    assert row["seeds"] == "2 ok"


def test_dry_run_executes_nothing(run, here):
    code, out, _ = run("--dry-run")
    assert code == 0
    assert out.count("to do") == 4
    assert not (here / "runs").exists()
    run("-o", "sfn")
    assert run("--dry-run")[1].count("there") == 2


def test_a_new_optimizer_passes_its_check_and_stands_in_the_table(run, sfnbench, here):
    run()
    code, out, _ = sfnbench("new", "optimizer", "my_method")
    assert code == 0
    assert "plugins/optimizers/my_method.py" in out
    assert sfnbench("check", "my_method") == (0, "optimizer my_method: ok\n", "")
    code, out, _ = run("-o", "my_method")
    assert code == 0
    assert "my_method" in out
    assert "sfn" in out
    assert sfnbench("new", "optimizer", "my_method")[0] == 2  # never over a file that is there


def test_a_new_problem_and_suite_work_as_they_are(sfnbench, here):
    assert sfnbench("new", "problem", "my_problem")[0] == 0
    assert sfnbench("check", "my_problem")[0] == 0
    assert sfnbench("new", "suite", "my_suite")[0] == 0
    code, out, _ = sfnbench("validate", "my_suite")
    assert code == 0
    assert "6 runs" in out


@pytest.mark.parametrize("name", ["My-Method", "9lives", "../up", "sfn", ""])
def test_new_refuses_bad_names(sfnbench, name):
    code, _, err = sfnbench("new", "optimizer", name)
    assert code == 2
    assert len(err.strip().splitlines()) == 1


def test_a_broken_plugin_is_listed_and_checked_as_broken(sfnbench, here):
    folder = here / "plugins" / "optimizers"
    folder.mkdir(parents=True)
    (folder / "half.py").write_text("def half(:\n")
    code, out, _ = sfnbench("list", "optimizers")
    assert code == 0
    assert "BROKEN: line 1" in out
    assert "sfn" in out
    code, out, _ = sfnbench("check", "half", "gradient_descent")
    assert code == 1
    assert "optimizer half: BROKEN" in out
    assert "optimizer gradient_descent: ok" in out


def test_check_names_the_broken_clauses(sfnbench, here):
    sfnbench("new", "optimizer", "restless")
    path = here / "plugins" / "optimizers" / "restless.py"
    path.write_text(path.read_text().replace("theta - self.lr * oracle.grad(theta)", "theta.add_(1)"))
    code, out, _ = sfnbench("check", "restless")
    assert code == 1
    for clause in ("step_is_pure", "step_asks_the_oracle", "stays_at_a_minimum"):
        assert clause in out


def test_a_crashing_optimizer_leaves_its_row_and_exit_code_1(run, sfnbench, here):
    sfnbench("new", "optimizer", "crashes")
    path = here / "plugins" / "optimizers" / "crashes.py"
    source = path.read_text()
    path.write_text(source.replace("return theta -", "raise RuntimeError('out of order')\n        return theta -"))
    code, _, err = run("-o", "sfn", "-o", "crashes")
    assert code == 1
    assert "out of order" in err
    rows = table(sfnbench)
    assert rows["quadratic_saddle", "crashes"]["seeds"] == "3 error"
    assert rows["quadratic_saddle", "sfn"]["seeds"] == "3 ok"
    assert "0 runs to do" in run("-o", "sfn", "-o", "crashes")[2]
    assert "2 runs to do" in run("-o", "sfn", "-o", "crashes", "--only", "failed")[2]
    path.write_text(source)
    code, _, err = sfnbench("run", "tiny", "-o", "sfn", "-o", "crashes")  # in new processes, which import it anew
    assert code == 0
    assert "source changed" in err


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_export_gives_a_row_per_run_and_seed(run, sfnbench, here, suffix):
    run()
    file = here / f"rows.{suffix}"
    assert sfnbench("export", "runs/tiny", file)[0] == 0
    if suffix == "csv":
        rows = list(csv.DictReader(file.read_text().splitlines()))
    elif suffix == "jsonl":
        rows = [json.loads(line) for line in file.read_text().splitlines()]
    else:
        rows = pytest.importorskip("pyarrow.parquet").read_table(file).to_pylist()
    assert len(rows) == 2 * 2 * 3
    sfn = [row for row in rows if row["optimizer"] == "sfn" and row["problem"] == "quadratic_saddle"]
    assert [int(row["seed"]) for row in sfn] == [0, 1, 2]
    assert all(int(row["n_hessian"]) == int(row["escape_step"]) == int(row["steps"]) for row in sfn)
    assert json.loads(sfn[0]["optimizer_params"])["damping"] == 0
    assert {row["escape_step"] for row in rows if row["optimizer"] == "gradient_descent"} <= {"", None}


@pytest.mark.parametrize("style", ["plain", "github", "latex", "html", "tsv", "csv", "json"])
def test_tables_come_in_every_format(run, sfnbench, style):
    run("-o", "sfn")
    code, out, _ = sfnbench("show", "--format", style)
    assert code == 0
    assert "quadratic" in out
    assert "sfn" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "no_such_suite"], "unknown suite 'no_such_suite'"),
        (["run", "tiyn"], "did you mean 'tiny'"),
        (["run", "nowhere/at_all.yaml"], "nowhere/at_all.yaml"),
        (["run", "tiny", "-o", "sfnn"], "did you mean 'sfn'"),
        (["run", "tiny", "-p", "monkey"], "did you mean 'monkey_saddle'"),
        (["run", "tiny", "--profile", "quikc"], "did you mean 'quick'"),
        (["run", "tiny", "--seeds", "0"], "seeds"),
        (["run", "tiny", "--plugins", "nowhere"], "no such file or folder"),
        (["run", "tiny", "--jobs", "0"], "jobs"),
        (["check", "sfnn"], "did you mean 'sfn'"),
        (["show", "nowhere"], "nowhere"),
        (["show"], "no results"),
        (["export", "nowhere", "x.csv"], "nowhere"),
        (["validate", "."], "."),
    ],
)
def test_wrong_use_ends_in_one_clear_line_and_exit_code_2(sfnbench, words, message):
    code, out, err = sfnbench(*words)
    assert code == 2
    assert message in err
    assert len(err.strip().splitlines()) == 1
    assert out == ""


def test_every_mistake_of_a_suite_is_said_at_its_place(sfnbench, here):
    (here / "wrong.yaml").write_text(
        "seeds: 0\n"
        "budget: {steps: ten}\n"
        "problems: [{use: mlp, dataset: mnits}]\n"
        "optimizers:\n"
        "  - sfnn\n"
        "  - {use: sfn, lr: -1}\n"
        "  - {use: msgd, lr: {grid: []}}\n"
        "timeuot: 3\n"
    )
    code, _, err = sfnbench("run", "wrong.yaml")
    assert code == 2
    lines = err.strip().splitlines()
    assert [line.split(":")[1] for line in lines] == ["1", "2", "3", "5", "6", "7", "8"]
    for line, word in zip(lines, ["seeds", "steps", "mnist", "'sfn'", "lr", "grid", "timeout"], strict=True):
        assert line.startswith("wrong.yaml:")
        assert word in line


def test_a_gpu_that_is_absent_is_said_before_anything_runs(run, here):
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    code, _, err = run("--device", "cuda")
    assert code == 2
    assert "no GPU" in err
    assert not (here / "runs").exists()


def test_a_folder_that_cannot_be_written_is_one_line(run, here):
    (here / "file").write_text("in the way")
    code, _, err = run("--out", "file/results")
    assert code == 2
    assert len(err.strip().splitlines()) == 1
    assert "file/results" in err


def test_a_corrupt_store_is_one_line_and_is_not_overwritten(run, sfnbench, here):
    run("-o", "sfn")
    file = here / "runs" / "tiny" / "results.sqlite"
    file.write_bytes(b"not a database at all" * 100)
    for words in (["show", "runs/tiny"], ["export", "runs/tiny", "x.csv"], ["run", "tiny", "--engine", "inline"]):
        code, _, err = sfnbench(*words)
        assert code == 2
        assert len(err.strip().splitlines()) == 1
        assert str(file.relative_to(here)) in err
    assert file.read_bytes().startswith(b"not a database")


def test_a_suite_that_needs_data_that_is_not_there_fails_in_one_line(sfnbench, here, monkeypatch):
    monkeypatch.setenv("SFNBENCH_DATA", str(here / "empty"))
    suite = "problems: [{use: mlp, dataset: mnist, size: 10, n_examples: 10}]\noptimizers: [sfn]\nbudget: {steps: 1}\n"
    (here / "suites" / "needs.yaml").write_text(suite)
    code, out, err = sfnbench("run", "needs", "--engine", "inline")
    assert code == 1
    assert "SFNBENCH_DATA" in err
    assert "error" in out


def test_list_env_and_help(sfnbench):
    code, out, _ = sfnbench("list", "--format", "json")
    everything = json.loads(out)
    assert code == 0
    assert {"sfn", "msgd"} <= {row["name"] for row in everything["optimizers"]}
    assert {"digits", "mnist"} <= {row["name"] for row in everything["datasets"]}
    assert {"tiny", "toy", "digits"} <= {row["name"] for row in everything["suites"]}
    code, out, _ = sfnbench("env", "--format", "json")
    assert code == 0
    assert json.loads(out)["torch"]
    for command in ("run", "list", "validate", "check", "new", "export", "show", "report", "env"):
        code, out, _ = sfnbench(command, "--help")
        assert code == 0
        assert "Usage: sfnbench" in out
    assert sfnbench("--version")[1].startswith("sfnbench ")


def test_python_dash_m_is_the_same_command():
    words = [sys.executable, "-m", "sfnbench", "--version"]
    assert subprocess.run(words, capture_output=True, text=True, check=True).stdout.startswith("sfnbench ")


def test_killed_and_run_again_nothing_is_lost_and_nothing_runs_twice(here):
    """Real processes, real SIGKILLs at different moments; what was said to be done is never done again."""
    suite = SUITE.replace("steps: 20", "steps: 1500").replace("seeds: 3", "seeds: 10").replace("sfn,", "newton_like,")
    suite = suite.replace("newton_like", "{use: sfn, lr: {grid: [1.0e-3, 2.0e-3, 3.0e-3]}}")
    (here / "suites" / "long.yaml").write_text(suite)
    words = [sys.executable, "-m", "sfnbench", "run", "long", "--jobs", "2"]
    said: list[str] = []
    for n_lines in (1, 2, 1):
        process = subprocess.Popen(
            words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        seen = []
        for line in process.stderr:
            if line.startswith("["):
                seen.append(line.partition(" ")[2].partition(":")[0])
            if len(seen) == n_lines:
                time.sleep(0.05 * n_lines)
                os.kill(process.pid, signal.SIGKILL)
                break
        seen += [line.partition(" ")[2].partition(":")[0] for line in process.stderr if line.startswith("[")]
        process.wait()
        process.stderr.close()
        said += seen
    last = subprocess.run(words, capture_output=True, text=True)
    assert last.returncode == 0
    said += [line.partition(" ")[2].partition(":")[0] for line in last.stderr.splitlines() if line.startswith("[")]
    assert len(said) == len(set(said))
    shown = json.loads(
        subprocess.run([*words[:3], "show", "runs/long", "--format", "json"], capture_output=True, text=True).stdout
    )
    assert len(shown) == 2 * 4
    assert {row["seeds"] for row in shown} == {"10 ok"}


def test_report_writes_one_file_and_says_what_is_missing(run, sfnbench, here):
    pytest.importorskip("plotly", reason="plotly is not installed: pip install 'sfnbench[report]'")
    run()
    code, _, err = sfnbench("report", "runs/tiny", "nothing", "-o", "sub/page.html", "--figures", "drawn", "--axis", "steps")
    assert code == 0
    assert "missing: no results in nothing" in err
    assert "The report is in sub/page.html" in err
    assert "quadratic_saddle" in (here / "sub" / "page.html").read_text()
    assert (here / "drawn" / "tiny_monkey_saddle.svg").exists()
    assert sfnbench("report", "nothing")[0] == 2
    assert "The report is in report.html" in sfnbench("report")[2]
