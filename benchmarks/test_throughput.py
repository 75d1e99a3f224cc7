"""Whether a throughput figure means anything: the same twice agrees, and what is 1.3 times slower is seen to be."""

from dataclasses import dataclass

import pytest
from torch import Tensor

from sfnbench import Optimizer, registry
from sfnbench.experiments import execute
from sfnbench.planning import Chosen, Run


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
        settings={"dtypes": ["float64"], "blocks": 15, "block_seconds": 0.1},
    )
    return execute(run).rows[0]


def test_a_slowdown_of_1_3_is_seen_and_none_is_not(build):
    first, again, slower = row(10), row(10), row(13)
    for name, found in (("once", first), ("again", again), ("1.3 x", slower)):
        low, middle, high = (found[f"steps_per_s{end}"] for end in ("_q1", "", "_q3"))
        print(f"\n{name}: {middle:.1f} [{low:.1f}, {high:.1f}] steps/s, others {found['busy_cores_of_others']:.1f} cores")
    if any(found["disturbed"] for found in (first, again, slower)):
        pytest.skip("the machine is not quiet: the figures are marked, and say nothing")
    assert first["steps_per_s_q1"] <= again["steps_per_s_q3"]
    assert again["steps_per_s_q1"] <= first["steps_per_s_q3"]
    assert slower["steps_per_s_q3"] < min(first["steps_per_s_q1"], again["steps_per_s_q1"])
    assert first["steps_per_s"] / slower["steps_per_s"] == pytest.approx(1.3, rel=0.1)
