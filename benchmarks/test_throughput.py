"""Whether a throughput figure means anything: the same twice agrees, and what is 1.3 times slower is seen to be."""

import itertools
from dataclasses import dataclass
from statistics import median

import pytest
from torch import Tensor

from sfnbench import Optimizer, registry
from sfnbench.experiments import execute
from sfnbench.planning import Chosen, Run

N_RUNS = 5


@dataclass(frozen=True, kw_only=True)
class RepeatedGradient(Optimizer):
    """Gradient descent that asks for each gradient so many times."""

    times: int = 10

    def step(self, oracle, theta: Tensor, state):
        g = [oracle.grad(theta) for _ in range(self.times)][-1]
        return theta - 0.1 * g, state


@pytest.fixture
def build(monkeypatch):
    """The registry finds members in files; this one is of a benchmark."""
    own = registry.build
    monkeypatch.setattr(
        registry,
        "build",
        lambda kind, use, params: RepeatedGradient(**params) if use == "repeated" else own(kind, use, params),
    )


def row(times):
    run = Run(
        suite="benchmark",
        experiment="throughput",
        problem=Chosen("mlp", "mlp", {"hidden": [50]}, ""),
        optimizer=Chosen("repeated", "repeated", {"times": times}, ""),
        seeds=(0,),
        settings={"dtypes": ["float64"], "blocks": 20, "block_seconds": 0.2},
    )
    return execute(run).rows[0]


def test_a_slowdown_of_1_3_is_seen_and_none_is_not(build):
    alike, slower = [row(10) for _ in range(N_RUNS)], row(13)
    for found in (*alike, slower):
        low, middle, high = (found[f"steps_per_s{end}"] for end in ("_q1", "", "_q3"))
        print(f"\n{middle:.1f} [{low:.1f}, {high:.1f}] steps/s, others {found['busy_cores_of_others']:.1f} cores", end="")
    if any(found["disturbed"] for found in (*alike, slower)):
        pytest.skip("the machine is not quiet: the figures are marked, and say nothing")
    pairs = list(itertools.combinations(alike, 2))
    agreeing = sum(agree(*pair) for pair in pairs)
    print(f"\n{agreeing} of {len(pairs)} pairs agree within their quartiles")
    assert agreeing >= 0.9 * len(pairs)
    assert not any(agree(each, slower) for each in alike)
    assert median(each["steps_per_s"] for each in alike) / slower["steps_per_s"] == pytest.approx(1.3, rel=0.1)


def agree(one, other):
    return one["steps_per_s_q1"] <= other["steps_per_s_q3"] and other["steps_per_s_q1"] <= one["steps_per_s_q3"]
