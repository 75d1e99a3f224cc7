"""Outlines of members' files are kept between processes, and say what the files say."""

import json
import os
import subprocess
import sys
import textwrap
import time

import pytest

from sfnbench.members.outlines import outline

METHOD = '''\
"""{doc}"""
import math
from torch import Tensor
from sfnbench import Optimizer, register

SOME, other.DATASET = 1, 2
DATASET = 3

@register("{name}")
class Method(Optimizer):
    """One line.

    More.
    """

    n: ClassVar[int] = 0
    lr: float = {lr}
    given: int
'''
LOOK = """
    import sys, sfnbench
    from sfnbench.members import registry
    from sfnbench.members.reading import counts
    registry.add_plugins(sys.argv[1])
    found = {kind: registry.members(kind) for kind in registry.KINDS}
    print(counts["files parsed"])
    print(found["optimizer"]["kept"].fields)
    print(found)
"""


@pytest.fixture
def look(tmp_path):
    """What a new process finds, and how many files it parses."""
    bytecode = tmp_path / "bytecode"

    def look(**env):
        around = {**os.environ, "PYTHONPYCACHEPREFIX": str(bytecode)}
        around.pop("PYTHONDONTWRITEBYTECODE", None)
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(LOOK), str(tmp_path)],
            capture_output=True,
            text=True,
            check=True,
            env={**around, **env},
        )
        n_parsed, kept, found = done.stdout.splitlines()
        return int(n_parsed), kept, found

    look.files = lambda: [*bytecode.rglob("outlines.*.json")]
    return look


@pytest.fixture
def method(tmp_path):
    """A plugin's file, old enough to be kept."""
    (tmp_path / "optimizers").mkdir()
    path = tmp_path / "optimizers" / "kept.py"

    def write(**words):
        path.write_text(METHOD.format(**{"name": "kept", "doc": "Doc.", **words}))
        time.sleep(0.15)
        return path

    return write


def test_a_second_process_parses_nothing_and_finds_the_same(look, method):
    method(lr=0.5)
    n_parsed, kept, found = look()
    assert n_parsed > 50
    assert "default='0.5'" in kept
    assert look() == (0, kept, found)
    assert len(look.files()) == 1


def test_a_file_that_changed_is_parsed_again_even_with_its_old_time(look, method):
    path = method(lr=0.5)
    before = path.stat()
    look()
    method(lr=0.7)  # as long as before
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    time.sleep(0.15)
    n_parsed, kept, _ = look()
    assert n_parsed == 1
    assert "default='0.7'" in kept
    assert look()[0] == 0


@pytest.mark.parametrize(
    "damage", ["", "{", "[1, 2]", '[["3.11"], {}]', "\xff", "3"]
)
def test_outlines_that_cannot_be_read_are_made_again(look, method, damage):
    method(lr=0.5)
    whole = look()
    (file,) = look.files()
    file.write_text(damage, encoding="latin-1")
    assert look() == whole
    assert look()[0] == 0
    version, there = json.loads(file.read_text())
    file.write_text(json.dumps([version, {key: [1, [2]] for key in there}]))
    assert look() == whole


def test_where_python_writes_no_bytecode_there_are_no_outlines(look, method):
    method(lr=0.5)
    whole = look(PYTHONDONTWRITEBYTECODE="1")
    assert look(PYTHONDONTWRITEBYTECODE="1") == whole
    assert not look.files()


def test_an_outline_has_what_a_member_needs(method):
    found = outline(method(lr="1e-3", doc="First.\n\nSecond."))
    assert found.summary == "First."
    assert found.packages == ((4, "math"), (5, "torch"), (6, "sfnbench"))
    assert found.names == ("DATASET",)
    (cls,) = found.classes
    assert (cls.name, cls.registered, cls.summary) == (
        "Method",
        "kept",
        "One line.",
    )
    assert cls.bases == ("Optimizer",)
    assert [(f.name, f.default) for f in cls.fields] == [
        ("lr", "0.001"),
        ("given", None),
    ]
