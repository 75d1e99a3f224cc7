"""The command line as a person meets it: what it prints, what it leaves behind, and how it ends."""

import csv
import functools
import itertools
import json
import signal
import subprocess
import sys

import pytest
from gate import Gate, done, session

from sfnbench import Store
from sfnbench.cli.terminal import short_path


def test_a_run_that_is_refused_leaves_the_table_as_it_was(run, sfnbench):
    run()
    before = sfnbench("show", "--format", "json")[1]
    code, _, err = run("--seeds", 2, "--jobs", 0)
    assert (code, "jobs" in err) == (2, True)
    assert sfnbench("show", "--format", "json")[1] == before


def table(sfnbench, folder="runs/tiny"):
    code, out, _ = sfnbench("show", folder, "--format", "csv")
    assert code == 0
    rows = csv.DictReader(out.splitlines())
    return {(row["problem"], row["optimizer"]): row for row in rows}


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
    # It has no floor: the loss says when the race stopped.
    assert not rows["quadratic_saddle", "sfn"].get("final loss")


def test_a_second_run_executes_only_what_is_missing(run, here):
    assert "4 runs to do" in run()[2]
    assert "0 runs to do, 4 already there" in run()[2]
    assert "2 runs to do" in run("-o", "msgd")[2]
    suite = here / "suites" / "tiny.yaml"
    suite.write_text(suite.read_text().replace("lr: 0.05", "lr: 0.04"))
    _, out, err = run()
    assert "2 runs to do, 2 already there" in err
    assert "lr was 0.05, is 0.04" in err
    # a value that gave way is not shown beside it
    assert out.count("gradient_descent") == 2
    assert out.count("msgd") == 2  # and what was added stays
    assert "4 runs to do" in run("--fresh")[2]


def test_selection_profile_and_seeds_change_what_runs(run, sfnbench):
    assert (
        "1 run to do"
        in run(
            "-o", "sfn", "-p", "monkey_saddle", "--seeds", "2", "--profile", "quick"
        )[2]
    )
    row = table(sfnbench)["monkey_saddle", "sfn"]
    assert row["seeds"] == "2 ok"


def test_dry_run_executes_nothing(run, here):
    code, out, _ = run("--dry-run")
    assert code == 0
    assert out.count("to do") == 4
    assert not (here / "runs").exists()
    run("-o", "sfn")
    assert run("--dry-run")[1].count("there") == 2
    assert run("--dry-run", "--fresh")[1].count("to do") == 4
    states = [
        line.split()[-2:]
        for line in run("--dry-run", "--only", "failed")[1].splitlines()[2:]
    ]
    assert [state[-1] for state in states] == ["there", "out", "there", "out"]
    assert run("--dry-run", "--only", "failed", "--out", "runs/new")[0] == 2


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
    path.write_text(
        path.read_text().replace(
            "theta - self.lr * oracle.grad(theta)", "theta.add_(1)"
        )
    )
    code, out, _ = sfnbench("check", "restless")
    assert code == 1
    for clause in ("step_is_pure", "step_asks_the_oracle", "stays_at_a_minimum"):
        assert clause in out


def test_a_crashing_optimizer_leaves_its_row_and_exit_code_1(run, sfnbench, here):
    sfnbench("new", "optimizer", "crashes")
    path = here / "plugins" / "optimizers" / "crashes.py"
    source = path.read_text()
    path.write_text(
        source.replace(
            "return theta -",
            "raise RuntimeError('out of order')\n        return theta -",
        )
    )
    code, _, err = run("-o", "sfn", "-o", "crashes")
    assert code == 1
    told = (
        "error: RuntimeError: out of order (crashes on quadratic_saddle, crashes on "
        "monkey_saddle)\n"
        "2 of 4 runs failed; "
    )
    assert f"{told}`sfnbench run tiny --only failed` re-runs them" in err
    assert told in sfnbench("show")[2]
    rows = table(sfnbench)
    assert rows["quadratic_saddle", "crashes"]["seeds"] == "3 error"
    assert rows["quadratic_saddle", "sfn"]["seeds"] == "3 ok"
    assert "0 runs to do" in run("-o", "sfn", "-o", "crashes")[2]
    assert (
        run("-o", "sfn", "-o", "crashes", "--only", "failed", "--dry-run")[1].count(
            "to do"
        )
        == 2
    )
    assert (
        "2 runs to do" in run("-o", "sfn", "-o", "crashes", "--only", "failed")[2]
    )
    path.write_text(source)
    chosen = ("-o", "sfn", "-o", "crashes")
    # new processes import the source again
    code, _, err = sfnbench("run", "tiny", *chosen, "--only", "failed")
    assert code == 0
    assert "2 runs to do" in err
    assert "source changed" in err
    assert "0 runs to do, 4 already there" in run(*chosen)[2]


def test_where_nothing_ran_nothing_failed(run, sfnbench, here):
    run()
    code, _, err = run("--out", "runs/new", "--only", "failed")
    assert (code, err) == (
        2,
        "no results in runs/new; `sfnbench run SUITE` makes them\n",
    )
    assert not (here / "runs" / "new").exists()
    # a run that is stopped at once leaves such a store
    Store(here / "runs" / "begun", create=True).close()
    assert sfnbench("show")[1] == sfnbench("show", "runs/tiny")[1]


def test_what_is_stale_but_did_not_break_stays_in_the_table(run, sfnbench, here):
    run()
    before = table(sfnbench)
    suite = here / "suites" / "tiny.yaml"
    suite.write_text(suite.read_text().replace("lr: 0.05", "lr: 0.04"))
    code, _, err = run("--only", "failed")
    assert (code, "0 runs to do" in err, "again:" in err) == (0, True, False)
    assert table(sfnbench) == before


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
    assert [line.split(":")[1] for line in lines] == [
        "1",
        "2",
        "3",
        "5",
        "6",
        "7",
        "8",
    ]
    for line, word in zip(
        lines,
        ["seeds", "steps", "mnist", "'sfn'", "lr", "grid", "timeout"],
        strict=True,
    ):
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


def test_data_that_are_not_there_are_said_before_anything_runs(
    sfnbench, here, monkeypatch
):
    monkeypatch.setenv("SFNBENCH_DATA", str(here / "data"))
    suite = (
        "problems: [{use: mlp, dataset: mnist, size: 10, n_examples: 10}, monkey_saddle]\n"
        "optimizers: [sfn]\n"
    )
    (here / "suites" / "needs.yaml").write_text(
        f"{suite}budget: {{steps: 1}}\nseeds: 1\n"
    )
    for words in (["run"], ["run", "--dry-run"], ["run", "--fresh"]):
        code, out, err = sfnbench(
            words[0], "needs", "--engine", "inline", *words[1:]
        )
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert err.startswith(
            f"mlp: missing data: SFNBENCH_DATA={here}/data has no "
            "mnist/train-images-idx3-ubyte.gz: download"
        )
    assert not (here / "runs").exists()
    code, out, err = sfnbench("validate", "needs")
    assert (code, "all well" in out, "mlp: missing data" in err) == (0, True, True)
    assert (
        sfnbench("run", "needs", "-p", "monkey_saddle", "--engine", "inline")[0]
        == 0
    )
    # data that can be downloaded are not missing
    monkeypatch.delenv("SFNBENCH_DATA")
    assert sfnbench("run", "needs", "--dry-run")[0] == 0


def test_list_has_paths_from_here_or_from_home(
    sfnbench, here, monkeypatch, tmp_path
):
    sfnbench("new", "optimizer", "own_method")
    code, out, _ = sfnbench("list", "optimizers")
    assert code == 0
    assert " plugins/optimizers/own_method.py" in out
    home = tmp_path / "home"
    (home / "here").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(home / "here")
    for path, shown in (
        (f"{home}/here/suites/a.yaml", "suites/a.yaml"),
        (f"{home}/other/a.yaml", "~/other/a.yaml"),
        ("/elsewhere/a.yaml", "/elsewhere/a.yaml"),
        ("shipped", "shipped"),
    ):
        assert short_path(path) == shown


def test_list_env_and_help(sfnbench):
    code, out, _ = sfnbench("list", "--format", "json")
    everything = json.loads(out)
    assert code == 0
    assert {"sfn", "msgd"} <= {row["name"] for row in everything["optimizers"]}
    assert {"loss", "index_fraction"} <= {
        row["name"] for row in everything["metrics"]
    }
    assert {"digits", "mnist"} <= {row["name"] for row in everything["datasets"]}
    assert {"tiny", "toy", "digits"} <= {
        row["name"] for row in everything["suites"]
    }
    code, out, _ = sfnbench("list", "problems")
    assert out.rstrip().endswith("pip install 'sfnbench[s2mpj]'.")
    code, out, _ = sfnbench("env", "--format", "json")
    assert code == 0
    assert json.loads(out)["torch"]
    for command in (
        "run",
        "list",
        "validate",
        "check",
        "new",
        "export",
        "show",
        "report",
        "env",
    ):
        code, out, _ = sfnbench(command, "--help")
        assert code == 0
        assert "Usage: sfnbench" in out
    assert sfnbench("--version")[1].startswith("sfnbench ")


def test_python_dash_m_is_the_same_command():
    words = [sys.executable, "-m", "sfnbench", "--version"]
    assert subprocess.run(
        words, capture_output=True, text=True, check=True
    ).stdout.startswith("sfnbench ")


@pytest.fixture
def gate(here):
    """The suite `long`, of eight runs that wait at this gate."""
    (here / "suites" / "long.yaml").write_text(
        "seeds: 3\n"
        "budget: {steps: 20}\n"
        "problems: [quadratic_saddle, monkey_saddle]\n"
        "optimizers: [{use: gated, lr: {grid: [0.01, 0.02, 0.03, 0.04]}}]\n"
    )
    return Gate(here)


@pytest.mark.slow
def test_ctrl_c_says_what_is_kept_and_how_to_go_on(gate, sfnbench):
    gate.open(1)
    # A shell's background jobs ignore Ctrl-C, and a child inherits that.
    heeds = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with session("long", "--jobs", "1", preexec_fn=heeds) as process:
        next(done(process.stderr))
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()
    assert process.returncode == 130
    assert (
        said.splitlines()[-1]
        == "stopped: 1 of 8 runs done and stored; `sfnbench run long --jobs 1` goes on from there"
    )
    kept = sfnbench("run", "long", "--dry-run")[1]
    assert (kept.count("there"), kept.count("to do")) == (1, 7)


@pytest.mark.slow
def test_killed_and_run_again_nothing_is_lost_and_nothing_runs_twice(
    gate, sfnbench
):
    """Real processes, real SIGKILLs with two runs under way; what was said to be done is
    never done again."""
    said = []
    for n_more in (1, 2):
        gate.open(len(said) + n_more)
        with session("long", "--jobs", "2") as process:
            told = done(process.stderr)
            said += itertools.islice(told, n_more)
            process.kill()
            said += told
        assert process.returncode == -signal.SIGKILL
        assert gate.is_deserted()
    assert len(said) == 3
    gate.open(8)
    code, _, err = sfnbench("run", "long", "--engine", "inline")
    assert code == 0
    assert "5 runs to do, 3 already there" in err
    said += done(err.splitlines())
    assert len(said) == len(set(said)) == 8
    assert [row["seeds"] for row in table(sfnbench, "runs/long").values()] == [
        "3 ok"
    ] * 8
