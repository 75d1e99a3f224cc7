"""Runs that wait at a gate, for tests that end a session in the middle of its work, however
fast the machine is."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import psutil

GATED = '''"""Gradient descent that begins when it is let in."""

import os
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from sfnbench import Optimizer, Positive, register

GATE = Path(__file__).parents[2] / "gate"


@register("gated")
@dataclass(frozen=True, kw_only=True)
class Gated(Optimizer):
    """Gradient descent that begins when it is let in."""

    lr: Positive = 0.1

    def init(self, theta):
        pass_the_gate()
        return ()

    def step(self, oracle, theta, state):
        return theta - self.lr * oracle.grad(theta), state


@cache  # once a process, in which a run may begin several times
def pass_the_gate():
    (GATE / f"waiting-{os.getpid()}").touch()
    while not let_in():
        time.sleep(0.02)


def let_in():
    for i in range(int((GATE / "open").read_text())):
        try:
            (GATE / f"passed-{i}").touch(exist_ok=False)
            return True
        except FileExistsError:
            pass
    return False
'''


class Gate:
    """The optimizer ``gated`` in the ``plugins`` of a folder: of all its runs, only so many
    pass as the gate is open for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "gate"
        self.folder.mkdir()
        file = folder / "plugins" / "optimizers" / "gated.py"
        file.parent.mkdir(parents=True)
        file.write_text(GATED)
        self.open(0)

    def open(self, n: int) -> None:
        """Let n runs pass in all, those included that have passed."""
        (self.folder / "new").write_text(str(n))
        os.replace(self.folder / "new", self.folder / "open")

    def is_deserted(self) -> bool:
        """Whether no process waits there any more, once the session that it belongs to has
        ended."""
        pids = [
            int(file.name.partition("-")[2])
            for file in self.folder.glob("waiting-*")
        ]
        return until(lambda: not any(map(lives, pids)))


@contextmanager
def session(*words, **how):
    """`sfnbench run` in a process of its own, whose stderr is read while it runs."""
    words = [sys.executable, "-m", "sfnbench", "run", *words]
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    with subprocess.Popen(words, text=True, **pipes, **how) as process:
        try:
            yield process
        finally:
            process.kill()


def done(lines):
    """The runs that are said to be done."""
    return (
        line.partition(" ")[2].partition(":")[0]
        for line in lines
        if line.startswith("[")
    )


def until(condition: Callable[[], bool], seconds: float = 120.0) -> bool:
    """Whether it comes true in that time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def lives(pid: int) -> bool:
    """Whether it runs; one that has ended may still wait for init to notice."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
