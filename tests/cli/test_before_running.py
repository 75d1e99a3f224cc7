"""What is wrong is said before anything runs: flags and names without torch, data once."""

import os
import subprocess
import sys

import pytest

from sfnbench.datasets import _files
from sfnbench.errors import SuiteError
from sfnbench.suite.asked import check_names


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("toy --nosuch", "--nosuch"),
        ("toyy", "did you mean 'toy'?"),
        ("toy -o SFN", "unknown optimizer 'SFN' (did you mean 'sfn'?)"),
        ("toy -p monkey_sadle", "did you mean 'monkey_saddle'?"),
        ("escape --profile quik", "did you mean 'quick'?"),
        ("toy --engine inlin", "did you mean 'inline'?"),
        ("toy --jobs 0", "at least 1"),
        ("toy --seeds 0", "seeds must be at least 1, not 0"),
    ],
)
def test_a_mistake_on_the_line_waits_for_no_torch(words, said, tmp_path):
    code = (
        "import sys; from sfnbench.cli.main import main\n"
        f"sys.argv = ['sfnbench', 'run', *{words.split()!r}]\n"
        "try: main()\n"
        "except SystemExit as end: assert end.code == 2, end.code\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert said in done.stderr


SUITE = """
problems: [{use: monkey_saddle, label: monkey}]
optimizers: [{use: msgd, label: momentum, lr: {grid: [0.1, 0.2]}}]
profiles: {quick: {optimizers: [{use: sfn, label: newton}]}}
"""


def test_names_of_the_suite_of_its_profiles_and_of_the_registry_are_known(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text(SUITE)
    methods = ["momentum", "momentum lr=0.1", "newton", "sfn", "torch.optim.Adam"]
    check_names(path, "quick", methods, ["monkey", "monkey_saddle", "mlp"])
    with pytest.raises(SuiteError) as caught:
        check_names(path, "quik", ["momentun"], ["monky"])
    lines = str(caught.value).splitlines()
    assert [line.partition("unknown ")[2][:9] for line in lines] == [
        "profile '",
        "optimizer",
        "problem '",
    ]
    path.write_text("problems: [")  # to read it says what is wrong with it
    check_names(path, "quick", ["momentum"])


def test_data_that_cannot_be_downloaded_are_said_once(sfnbench, here, monkeypatch):
    tried = []

    def refuse(url, **given):
        tried.append(url)
        raise OSError("no route to host")

    import pooch

    monkeypatch.setattr(pooch, "retrieve", refuse)
    monkeypatch.setattr(_files, "_cache", lambda: here / "cache")
    monkeypatch.delenv("SFNBENCH_DATA", raising=False)
    (here / "suites" / "needs.yaml").write_text(
        "problems:\n"
        "  - {use: mlp, dataset: mnist, size: 10, n_examples: 10}\n"
        "  - {use: mlp, label: wide, dataset: mnist, size: 10, n_examples: 20}\n"
        "  - monkey_saddle\n"
        "optimizers: [sfn]\nbudget: {steps: 1}\nseeds: 1\n"
    )
    code, out, err = sfnbench("run", "needs", "--engine", "inline")
    assert (code, out) == (2, "")
    assert err.count("could not be downloaded") == 1
    assert "no route to host" in err
    assert tried
    assert not (here / "runs").exists()
    tried.clear()
    assert sfnbench("run", "needs", "--dry-run")[0] == 0
    assert sfnbench("validate", "needs")[0] == 0
    only = ("-p", "monkey_saddle", "--engine", "inline")
    assert sfnbench("run", "needs", *only)[0] == 0
    assert not tried


def test_no_color_means_no_escapes():
    words = [sys.executable, "-m", "sfnbench", "list", "metrics"]
    for given in ({"NO_COLOR": "1"}, {}):
        env = {**os.environ, "FORCE_COLOR": "1", **given}
        done = subprocess.run(words, capture_output=True, text=True, env=env)
        assert done.returncode == 0
        assert "NO_COLOR" not in given or "\x1b" not in done.stdout
