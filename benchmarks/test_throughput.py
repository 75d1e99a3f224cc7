"""Whether a throughput figure means anything.

The same twice agrees, and what is 1.3 times slower is seen to be.
"""

import itertools
from dataclasses import dataclass, replace
from statistics import median

import pytest
from torch import Tensor

from sfnbench import Optimizer
from sfnbench.experiments.compare import compare
from sfnbench.experiments.throughput.compare import STEP
from sfnbench.members import registry
from sfnbench.records import Run, Spec
from sfnbench.session.execute import execute

N_RUNS = 5
PLACE = ("benchmark", "throughput", "mlp", "repeated")


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
        lambda kind, use, params: (
            RepeatedGradient(**params)
            if use == "repeated"
            else own(kind, use, params)
        ),
    )


def timed(times):
    run = Run(
        suite="benchmark",
        experiment="throughput",
        problem=Spec("mlp", "mlp", {"hidden": [50]}, ""),
        method=Spec("repeated", "repeated", {"times": times}, ""),
        seeds=(0,),
        settings={"dtypes": ["float64"], "blocks": 20, "block_seconds": 0.15},
    )
    return execute(run)


def test_a_slowdown_of_1_3_is_seen_and_none_is_not(build):
    """By the quartiles over blocks, and by what `sfnbench compare` makes of two runs."""
    alike, slower = [timed(10) for _ in range(N_RUNS)], timed(13)
    for (row,) in (each.rows for each in (*alike, slower)):
        told = (
            f"{row[n]:.4g} [{row[f'{n}_q1']:.4g}, {row[f'{n}_q3']:.4g}] {n}"
            for n in ("steps_per_s", STEP)
        )
        print(
            f"\n{', '.join(told)}, drift {row['drift']:.0%}, others "
            f"{row['busy_cores_of_others']:.1f} cores",
            end="",
        )
    pairs = list(itertools.combinations(alike, 2))
    for name in ("steps_per_s", STEP):
        agreeing = sum(agree(*pair, name) for pair in pairs)
        print(
            f"\n{agreeing} of {len(pairs)} pairs agree within the quartiles of {name}",
            end="",
        )
    if any(each.rows[0]["disturbed"] for each in (*alike, slower)):
        pytest.skip(
            "the machine is not quiet: the figures are marked, and say nothing"
        )
    assert agreeing >= 0.9 * len(pairs)
    assert not any(agree(each, slower, STEP) for each in alike)
    assert slower.rows[0][STEP] / median(
        each.rows[0][STEP] for each in alike
    ) == pytest.approx(1.3, rel=0.05)
    assert not any(found(*pair) for pair in pairs)
    assert all(found(each, renamed(slower))[STEP] == "worse" for each in alike)


def found(before, after):
    """What `compare` says of the figures of two runs, but for those that it leaves open."""
    changes = compare({PLACE: before}, {PLACE: after})
    return {
        change.what.split()[0]: change.verdict
        for change in changes
        if change.verdict not in ("same", "undecided")
    }


def renamed(result):
    """As a run of the same optimizer, which has become slower."""
    return replace(
        result,
        run=replace(
            result.run, method=Spec("repeated", "repeated", {"times": 10}, "")
        ),
    )


def agree(one, other, name):
    a, b = one.rows[0], other.rows[0]
    return a[f"{name}_q1"] <= b[f"{name}_q3"] and b[f"{name}_q1"] <= a[f"{name}_q3"]
