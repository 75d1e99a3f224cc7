"""Members that a script defines: written out with what they use, and sent to other processes."""

import contextlib
import linecache
import subprocess
import sys
import textwrap
import types

import pytest

from sfnbench import run_suite
from sfnbench.errors import PluginError, SuiteError
from sfnbench.members import identity, registry

HEAD = """
from __future__ import annotations
from dataclasses import dataclass
import numpy as np
import torch
from torch.nn.functional import normalize
import sfnbench
from sfnbench import Optimizer, Positive, register
from sfnbench.members import live

theta = object()  # methods have variables of the same name

{before}

@register("mine")
@dataclass(frozen=True, kw_only=True)
class Mine(Optimizer):
    lr: Positive = 0.1

    def step(self, oracle, theta, state):
        return theta - self.lr * ({step}), state

"""


@pytest.fixture
def defined(monkeypatch):
    """Define the method in a cell of this process, as a notebook does; gives its source hash."""

    def define(before="", step="oracle.grad(theta)"):
        text = HEAD.format(before=before, step=step)
        main, file = types.ModuleType("__main__"), f"<cell {len(linecache.cache)}>"
        monkeypatch.setitem(sys.modules, "__main__", main)
        linecache.cache[file] = (len(text), None, text.splitlines(True), file)
        exec(compile(text, file, "exec", dont_inherit=True), vars(main))
        return identity.source_hash("optimizer", "mine", {})

    yield define
    registry._registered.pop(("optimizer", "mine"), None)


def test_what_a_method_uses_decides_its_identity(defined):
    step = "half(oracle.grad(theta)) * W"
    before = "W = np.ones(2)\nFACTOR = 2\ndef half(g):\n    return g / FACTOR\n"
    plain, used = defined(), defined(before, step)
    assert len(used) == 16
    assert used != plain
    for old, new in (("2\n", "3\n"), ("ones", "zeros"), ("/ FACTOR", "// FACTOR")):
        assert defined(before.replace(old, new), step) != used
    assert defined(f"{before}unused = object()\n# a comment\n", step) == used


@pytest.mark.parametrize(
    ("before", "step", "said"),
    [
        (
            "class Box: pass\nbox = Box()",
            "box",
            "mine uses box, a Box of the script",
        ),
        ("view = memoryview(b'')", "view", "mine uses view, a memoryview"),
    ],
)
def test_what_cannot_be_written_out_is_refused(
    defined, tmp_path, before, step, said
):
    with contextlib.suppress(PluginError):
        defined(before, step)
    with pytest.raises(SuiteError, match=said):
        run_suite("toy", optimizers=["mine"], out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def script(tmp_path, end, before="", step="oracle.grad(theta)"):
    """What a script prints that defines a method and goes on with `end`."""
    path = tmp_path / "script.py"
    path.write_text(HEAD.format(before=before, step=step) + textwrap.dedent(end))
    done = subprocess.run(
        [sys.executable, path], capture_output=True, text=True, cwd=tmp_path
    )
    return done.stdout + done.stderr


def test_another_process_builds_the_same_member(tmp_path):
    end = """
    import subprocess, sys
    shipped = live.shipped_live({("optimizer", "mine"): Mine})
    code = '''if True:
        import sys
        from sfnbench.members import registry
        registry.receive(sys.stdin.buffer.read())
        print(registry.build("optimizer", "mine", {"lr": 0.5}))
        registry.build("optimizer", "mine", {"lr": -1.0})
    '''
    done = subprocess.run([sys.executable, "-c", code], input=shipped, capture_output=True)
    print(done.stdout.decode(), done.stderr.decode()[-400:])
    """
    printed = script(tmp_path, end, "HALF = 0.5", "HALF * oracle.grad(theta)")
    assert "lr=0.5)" in printed
    assert "greater than 0" in printed  # its fields are checked there too


@pytest.mark.slow
def test_a_run_that_broke_is_said(tmp_path):
    end = """
    found = sfnbench.run_suite(
        "toy", optimizers=["mine"], problems=["x^3 - 3xy^2"], seeds=1, out="out"
    )
    print(found.statuses, found.failures, repr(found))
    """
    printed = script(tmp_path, end, step="1 / (0 * len(theta))")
    assert "{'error': 1}" in printed
    assert "ZeroDivisionError" in printed
    assert "1 of 1 run failed" in printed
