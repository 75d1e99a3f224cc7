"""What a shell is offered, as it asks for it."""

import os
import subprocess
import sys

import pytest


def offered(line, cwd):
    """The words that bash would offer at the end of a line."""
    words = line.split(" ")
    asked = {
        "_SFNBENCH_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
    }
    code = "from sfnbench.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **asked},
        cwd=cwd,
        capture_output=True,
        text=True,
    )
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("sfnbench run sp", "spin_glass"),
        ("sfnbench run escape --profile ", "quick"),
        ("sfnbench run toy -o ne", "newton"),
        ("sfnbench run toy -o krylov", "krylov_sfn"),
    ],
)
def test_the_shell_is_offered(line, word, tmp_path):
    assert word in " ".join(offered(line, tmp_path))
