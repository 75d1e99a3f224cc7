"""The script for a machine with a GPU, on the CPU with small sizes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import sfnbench

SCRIPT = Path(sfnbench.__file__).parents[1] / "benchmarks" / "gpu" / "run"
CHECKS = (
    "equality",
    "events",
    "seeds",
    "out_of_memory",
    "network",
    "recurrent",
    "dense",
)


def ran(out, *words):
    """What the script printed, and the lines that it kept."""
    environ = {
        **os.environ,
        "OUT": str(out),
        "PYTHON": sys.executable,
        "MOST_S": "3600",
    }
    command = ["bash", str(SCRIPT), "--device", "cpu", *words]
    done = subprocess.run(command, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    kept = (out / "gpu.jsonl").read_text().splitlines()
    return done.stdout.splitlines(), [json.loads(line) for line in kept]


@pytest.mark.slow
def test_checks_print_and_keep_each_line_and_make_a_page(tmp_path):
    page = tmp_path / "page.md"
    asked = [word for name in CHECKS for word in ("--only", name)]
    printed, kept = ran(tmp_path / "out", *asked, "--page", str(page))
    assert [line.split()[0] for line in printed] == [line["check"] for line in kept]
    assert {line["check"] for line in kept} >= set(CHECKS)
    assert not [line for line in kept if line.get("failed")]
    assert all(line["same"] for line in kept if "same" in line)
    in_parts = [line for line in kept if "parts" in line]
    assert in_parts
    assert all(line["parts"] > 1 and line["difference"] < 1e-4 for line in in_parts)
    assert page.read_text().count("\n## ") == len(CHECKS)
    assert "was not run on one" in page.read_text()


def test_without_a_gpu_it_says_what_to_do():
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    environ = {**os.environ, "PYTHON": sys.executable}
    done = subprocess.run(
        ["bash", str(SCRIPT)], env=environ, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "--device cpu" in done.stderr


@pytest.mark.slow
def test_every_check_runs(tmp_path):
    _, kept = ran(tmp_path / "out")
    assert kept[-1]["n_failed"] == 0
