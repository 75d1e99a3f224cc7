"""A session that is killed in the middle of a long race goes on where it was."""

import os
import signal
from pathlib import Path

import numpy as np
from gate import lives, session, until

from sfnbench import Store, run_suite

SLOW = '''"""Gradient descent that takes its time, and counts its steps."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from sfnbench import Optimizer, register

STEPS = Path(__file__).parents[2] / "steps"


@register("slow")
@dataclass(frozen=True, kw_only=True)
class Slow(Optimizer):
    """Gradient descent that takes its time."""

    vmappable: ClassVar[bool] = False

    def step(self, oracle, theta, state):
        with STEPS.open("a") as file:
            file.write(".")
        time.sleep(0.02)
        return theta - 0.01 * oracle.grad(theta), state
'''
SUITE = """title: Long
seeds: 1
budget: {steps: 150}
problems: [{use: quadratic_saddle, radius: 1e-3}]
optimizers: [slow]
"""


def numbers(folder: Path) -> dict[str, bytes]:
    with Store(folder) as store:
        (result,) = store.results()
    assert result.status == "ok"
    return {
        name: np.ascontiguousarray(each).tobytes()
        for name, each in result.series.items()
        if "seconds" not in name
    }


def test_a_killed_race_goes_on_where_it_was(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    plugin = tmp_path / "plugins" / "optimizers" / "slow.py"
    plugin.parent.mkdir(parents=True)
    plugin.write_text(SLOW)
    (tmp_path / "long.yaml").write_text(SUITE)
    steps, kept = tmp_path / "steps", tmp_path / "out" / "checkpoints"
    words = ("long.yaml", "--out", "out", "--checkpoint", "0.3")
    with session(*words, cwd=tmp_path, start_new_session=True) as process:
        assert until(lambda: any(kept.glob("*.pt")))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    until(lambda: not lives(process.pid))
    (before,) = kept.glob("*.pt")
    done = len(steps.read_text())
    assert done < 150, "it was killed in its middle"
    with session(*words, cwd=tmp_path) as process:
        _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    again = len(steps.read_text()) - done
    assert again < 150, "not from the start"
    assert not before.exists()
    assert not kept.exists()
    run_suite("long.yaml", out="undisturbed", engine="inline")
    assert numbers(tmp_path / "out") == numbers(tmp_path / "undisturbed")


def test_fresh_begins_again(tmp_path: Path, monkeypatch) -> None:
    """What an earlier try has left counts for nothing then."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "long.yaml").write_text(SUITE.replace("slow", "gradient_descent"))
    run_suite("long.yaml", out="out", engine="inline")
    with Store("out") as store:
        (run_id,) = store.ids()
    expected = numbers(tmp_path / "out")
    kept = tmp_path / "out" / "checkpoints"
    kept.mkdir()
    (kept / f"{run_id}.pt").write_bytes(b"left over")
    run_suite("long.yaml", out="out", engine="inline", fresh=True)
    assert numbers(tmp_path / "out") == expected
    assert not kept.exists()
