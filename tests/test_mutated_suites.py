"""A short attack by mutated suites: benchmarks/mutated_suites.py has the long one."""

import math
import random

from mutated_suites import attack, large, mutated, suites


def test_mutated_suites_are_read_or_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    texts = [text for text in suites() if len(text) < 1000]
    drawn = (mutated(random.Random(f"fast {i}"), texts) for i in range(60))
    found = attack(tmp_path, ((data, math.inf) for data, _ in drawn))
    assert found["faults"] == 0
    assert found["suite"] > 0
    assert found["refused"] > 30


def test_a_large_number_in_a_problem_takes_no_memory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cases = ((data, math.inf) for data in large("problem", sizes=[10**8]))
    assert attack(tmp_path, cases)["faults"] == 0
