"""One run by two processes: within rounding what one process finds, and stored once."""

import os
import resource
import signal
import subprocess
import sys
from contextlib import suppress

import numpy as np
import pytest

from sfnbench import Store, run_suite
from sfnbench.errors import SfnbenchError
from sfnbench.session.engines.ranks import is_first

PATIENCE_S = 240
NET = '''"""A network of one's own, and its data."""

import torch


def build():
    return torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Tanh(), torch.nn.Linear(3, 1))


def load():
    x = torch.linspace(-1, 1, 84, dtype=torch.float64).reshape(21, 4)
    return x, x.sin().sum(1, keepdim=True)
'''
SUITE = """title: By two processes
seeds: 2
budget: {steps: 12}
problems:
  - {use: mlp, dataset: digits, hidden: [3], n_examples: 101}
  - {use: module, model: "net:build", data: "net:load", criterion: "torch.nn:MSELoss"}
optimizers:
  - {use: gradient_descent, lr: 0.1}
  - {use: msgd, lr: 0.1, batch_size: 10}
  - krylov_sfn
  - {use: torch.optim.Adam, lr: 0.01}
"""


def by_two(folder, *words):
    """`sfnbench run` by two processes of torchrun: its exit code, and what it said."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", "2", "-m", "sfnbench", "run", *words]
    environ = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    process = subprocess.Popen(
        [*command, "--engine", "ranks"],
        cwd=folder,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=limit,
    )
    try:
        said, _ = process.communicate(timeout=PATIENCE_S)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    return process.returncode, said


def limit():
    """What goes wrong ends, and fills no disk."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (PATIENCE_S, PATIENCE_S))
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**28, 2**28))
    resource.setrlimit(resource.RLIMIT_DATA, (2**33, 2**33))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "net.py").write_text(NET)
    (tmp_path / "two.yaml").write_text(SUITE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_two_processes_find_what_one_finds(folder):
    code, said = by_two(folder, "two.yaml", "--out", "two")
    assert code == 0, said
    run_suite("two.yaml", out="one", engine="inline")
    with Store("two") as two, Store("one") as one:
        assert two.current() == one.current()
        for run_id in one.ids():
            found, expected = two.get(run_id), one.get(run_id)
            assert found.status == expected.status == "ok"
            # a method that divides by small curvatures amplifies rounding from step to step
            n = 13 if found.run.method.use == "gradient_descent" else 5
            for name in ("loss", "calls.grad", "calls.hvp", "passes.grad"):
                a, b = (each.series[name][:, :n] for each in (found, expected))
                np.testing.assert_allclose(a, b, rtol=1e-8, err_msg=name)
            assert found.environment["ranks"] == 2
            # each step of each seed asks for a gradient at least
            n_numbers = found.environment["problem"]["n_parameters"] + 1
            assert found.environment["summed_bytes"] > 2 * 12 * 8 * n_numbers


@pytest.mark.slow
def test_nothing_to_do_and_a_wrong_suite_end_both_processes(folder):
    text = SUITE.partition("  - {use: msgd")[0]
    (folder / "two.yaml").write_text(text)
    run_suite("two.yaml", out="two", engine="inline")
    code, said = by_two(folder, "two.yaml", "--out", "two")
    assert code == 0, said
    (folder / "two.yaml").write_text(text.replace("steps: 12", "seconds: 5"))
    code, said = by_two(folder, "two.yaml", "--out", "two")
    assert code != 0
    assert "a budget of seconds would end each process at another step" in said


def test_without_torchrun_it_says_how_to_start(monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(
        SfnbenchError, match="is started by torchrun: torchrun --nproc"
    ):
        is_first()
