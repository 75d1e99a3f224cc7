"""A session that is killed in the middle of a long run goes on where it was."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest
from gate import lives, session, until

from sfnbench import Store, run_suite

SLOW = '''"""A quadratic saddle whose losses take their time, and are counted."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch

from sfnbench import Problem, register

ASKED = Path("asked")  # in the working directory


@register("slow")
@dataclass(frozen=True, kw_only=True)
class Slow(Problem):
    """A quadratic saddle that takes its time."""

    vmappable: ClassVar[bool] = False

    @property
    def dim(self):
        return 3

    def start(self, rng):
        return torch.rand(3, generator=rng, dtype=torch.float64)

    def loss(self, theta, batch):
        with ASKED.open("a") as file:
            file.write(".")
        time.sleep(0.01)
        return (theta.cos() * theta.roll(1)).sum()
'''
RACE = """title: Long
seeds: 1
budget: {steps: 150}
problems: [slow]
optimizers: [gradient_descent]
"""
STOCK = RACE.replace(
    "gradient_descent", "{use: torch.optim.RMSprop, schedule: cosine}"
)
SEARCH = """title: Long
experiment: critical_points
seeds: 1
problems: [slow]
finders: [{use: hisd, lr: 1e-3, steps: 150}]
random: 1
"""


def numbers(folder: Path) -> dict[str, bytes]:
    with Store(folder) as store:
        (result,) = store.results()
    assert result.status in ("ok", "stuck")
    return {
        name: np.ascontiguousarray(each).tobytes()
        for name, each in result.series.items()
        if "seconds" not in name
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    "suite", [RACE, STOCK, SEARCH], ids=["race", "stock", "search"]
)
def test_a_killed_run_goes_on_where_it_was(
    tmp_path: Path, monkeypatch, suite: str
) -> None:
    monkeypatch.chdir(tmp_path)
    plugin = tmp_path / "plugins" / "problems" / "slow.py"
    plugin.parent.mkdir(parents=True)
    plugin.write_text(SLOW)
    (tmp_path / "long.yaml").write_text(suite)
    asked, kept = tmp_path / "asked", tmp_path / "out" / "checkpoints"
    run_suite("long.yaml", out="undisturbed", engine="inline")
    whole = len(asked.read_text())
    asked.write_text("")
    words = ("long.yaml", "--out", "out", "--checkpoint", "0.3")
    with session(*words, cwd=tmp_path, start_new_session=True) as process:
        assert until(lambda: any(kept.glob("*.pt")))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    until(lambda: not lives(process.pid))
    (before,) = kept.glob("*.pt")
    done = len(asked.read_text())
    assert done < whole, "it was killed in its middle"
    with session(*words, cwd=tmp_path) as process:
        _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    again = len(asked.read_text()) - done
    assert again < whole, "not from the start"
    assert not before.exists()
    assert not kept.exists()
    assert numbers(tmp_path / "out") == numbers(tmp_path / "undisturbed")


def test_fresh_begins_again(tmp_path: Path, monkeypatch) -> None:
    """What an earlier try has left counts for nothing then."""
    monkeypatch.chdir(tmp_path)
    suite = RACE.replace("slow", "monkey_saddle")
    (tmp_path / "long.yaml").write_text(suite)
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
