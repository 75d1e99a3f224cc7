"""One run in this process."""

import types

import pytest
import torch

import sfnbench
from sfnbench import experiments
from sfnbench.records import Result, Status


def test_denormal_numbers_count_as_zero_while_a_run_goes_on(monkeypatch):
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor cannot flush denormal numbers")
    torch.set_flush_denormal(False)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    run = sfnbench.plan(sfnbench.load_suite("smoke"))[0]
    halves = []

    def execute(run, progress):
        halves.append(half_of_the_smallest())
        return Result(run, Status.OK, [], {}, {}, "", 0.0)

    fake = types.SimpleNamespace(execute=types.SimpleNamespace(execute=execute))
    monkeypatch.setattr(experiments, "find", lambda name: fake)
    sfnbench.execute(run)
    assert halves == [0.0]
    assert half_of_the_smallest() > 0


def half_of_the_smallest():
    return float(torch.tensor(torch.finfo(torch.float32).tiny) / 2)
