"""The same problem in other units, turned or with its parameters renamed: the same words."""

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sfnbench import CriticalPoint, Problem
from sfnbench.experiments.race.loop import advance
from sfnbench.experiments.race.rows import rows
from sfnbench.experiments.setup import Setup
from sfnbench.members import registry

WORDS = ("status", "end_point", "captured", "limit", "steps_near")

METHODS = (
    ("damped_newton", {"damping": 0.0}),
    ("sfn", {"damping": 0.0}),
    ("gradient_descent", {"lr": 0.05}),
    ("gradient_descent", {"lr": 3.0}),
)
_known = {}  # words in the problem's own units


@dataclass(frozen=True)
class Tail(Problem):
    """log(1 + e^-x) + y^2 / 2: it falls for ever, and has no critical point."""

    dim = 2

    def start(self, rng: torch.Generator) -> Tensor:
        return torch.tensor([1.0, 0.5], dtype=torch.float64)

    def loss(self, theta: Tensor, batch: Any) -> Tensor:
        x, y = theta
        return torch.nn.functional.softplus(-x) + y**2 / 2


@dataclass(frozen=True)
class Hill(Problem):
    """1 - |x|^2 / 2 + |x|^4 / 4, which methods for gradients climb to: a maximum."""

    dim = 2

    def start(self, rng: torch.Generator) -> Tensor:
        return 0.1 * torch.randn(2, generator=rng, dtype=torch.float64)

    def loss(self, theta: Tensor, batch: Any) -> Tensor:
        square = theta @ theta
        return 1 - square / 2 + square**2 / 4


@dataclass(frozen=True, eq=False)
class Seen(Problem):
    """c f(Q^T theta / s): a problem in other units, along other axes."""

    problem: Problem
    c: float
    s: float
    Q: Tensor  # (d, d), orthogonal

    @property
    def dim(self) -> int:
        return self.problem.dim

    @property
    def bounded_below(self) -> bool:
        return self.problem.bounded_below

    @property
    def escape_drop(self) -> float:
        return self.c * self.problem.escape_drop

    @property
    def saddle(self) -> CriticalPoint | None:
        known = self.problem.saddle
        if known is None:
            return None
        return CriticalPoint(
            self.s * self.Q @ known.point, self.c * known.loss, known.index
        )

    @property
    def lowest(self) -> float | None:
        known = self.problem.lowest
        return None if known is None else self.c * known

    def start(self, rng: torch.Generator) -> Tensor:
        return self.s * self.Q @ self.problem.start(rng)

    def loss(self, theta: Tensor, batch: Any) -> Tensor:
        return self.c * self.problem.loss(self.Q.mT @ theta / self.s, batch)


def words(make_run, problem, method, **params):
    run = make_run("lee", {}, method, params, seeds=2, steps=40)
    setup = Setup(run, problem)
    recording, outcomes = advance(setup, run.seeds, run.settings, lambda _: None)
    made = rows(setup, run.seeds, recording, outcomes)
    return [[row[name] for name in WORDS] for row in made]


def rotation(angle, is_swapped):
    t = torch.tensor(angle, dtype=torch.float64)
    Q = torch.stack(
        [torch.stack([t.cos(), -t.sin()]), torch.stack([t.sin(), t.cos()])]
    )
    return Q.flip(0) if is_swapped else Q


PROBLEMS = {
    "lee": lambda: registry.build("problem", "lee", {"radius": 1e-2}),
    "quadratic": lambda: registry.build("problem", "quadratic_saddle", {}),
    "monkey": lambda: registry.build("problem", "monkey_saddle", {}),
    "tail": Tail,
    "hill": Hill,
}


@pytest.mark.parametrize("name", PROBLEMS)
@settings(max_examples=3)
@given(
    c=st.floats(-12, 12).map(lambda x: 10.0**x),
    s=st.floats(-6, 6).map(lambda x: 10.0**x),
    angle=st.one_of(st.just(0.0), st.floats(0.1, 6.0)),
    is_swapped=st.booleans(),
)
def test_words_are_the_same_in_other_units_and_axes(
    make_run, name, c, s, angle, is_swapped
):
    problem = PROBLEMS[name]()
    seen = Seen(problem, c, s, rotation(angle, is_swapped))
    for method, params in METHODS:
        scaled = {key: value * _unit(key, c, s) for key, value in params.items()}
        if (name, method, *params.values()) not in _known:
            found = words(make_run, problem, method, **params)
            _known[name, method, *params.values()] = found
        expected = _known[name, method, *params.values()]
        assert words(make_run, seen, method, **scaled) == expected


def _unit(key, c, s):
    return s**2 / c if key == "lr" else 1.0
