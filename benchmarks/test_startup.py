"""The command line answers at once.

The best of five calls, each a new process, interpreter included.
"""

import subprocess
import sys
from time import perf_counter

import pytest


@pytest.mark.parametrize(("words", "limit_s"), [(["--help"], 0.3), (["list"], 0.5)])
def test_a_command_answers_within(words, limit_s):
    times = []
    for _ in range(5):
        began = perf_counter()
        subprocess.run(
            [sys.executable, "-m", "sfnbench", *words],
            capture_output=True,
            check=True,
        )
        times.append(perf_counter() - began)
    print(f"\nsfnbench {' '.join(words)}: {min(times):.3f} s")
    assert min(times) <= limit_s
