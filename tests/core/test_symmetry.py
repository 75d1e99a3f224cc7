"""Directions of a loss's own symmetries count at no critical point.

Generators known from mathematics, wrong ones, and labels of end points that do not turn with them.
"""

from dataclasses import dataclass
from math import cos, sin

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sfnbench import CriticalPoint, Problem
from sfnbench.core.symmetry import counted_directions, zero_mode_rank
from sfnbench.errors import CheckError
from sfnbench.members.contract.problems import zero_modes_are_symmetries
from sfnbench.metrics.certificate import certify


def at(angle):
    return torch.tensor([cos(angle), sin(angle), 0.0], dtype=torch.float64)


@dataclass(frozen=True, kw_only=True)
class Ring(Problem):
    """(x^2 + y^2 - 1)^2 / 4 + bend z^2 / 2: critical on a circle, and at 0."""

    dim = 3
    bend: float = 1.0

    def start(self, rng):
        return torch.randn(3, generator=rng, dtype=torch.float64)

    def loss(self, theta, batch):
        x, y, z = theta
        return (x**2 + y**2 - 1) ** 2 / 4 + self.bend * z**2 / 2

    @property
    def critical_points(self):
        index = int(self.bend < 0)
        return (
            CriticalPoint(at(1.0), 0.0, index),
            CriticalPoint(torch.zeros(3).double(), 0.25, 2 + index),
        )


class Turned(Ring):
    """It states its rotation."""

    def zero_modes(self, theta):
        x, y, z = theta
        return torch.stack([-y, x, 0 * z])[None]


class Counted(Ring):
    """It states how many rotations it has."""

    n_zero_modes = 1


class Wrong(Ring):
    """A direction in which it rises."""

    def zero_modes(self, theta):
        return torch.tensor([[1.0, 0.0, 0.0]], dtype=theta.dtype)


class Twice(Turned):
    """The same rotation twice."""

    def zero_modes(self, theta):
        return torch.cat([super().zero_modes(theta)] * 2)


class Flat(Turned):
    """One mode of the wrong length."""

    def zero_modes(self, theta):
        return super().zero_modes(theta)[:, :2]


class TooMany(Ring):
    """More zero modes than it has directions."""

    n_zero_modes = 4


class OneTooMany(Ring):
    """One zero mode more than its kernel has."""

    n_zero_modes = 2


@settings(max_examples=4)
@given(st.floats(0, 6.3))
def test_a_point_of_the_ring_is_a_minimum_or_saddle_once_its_rotation_is_stated(
    angle,
):
    point = at(angle)
    words = {
        (bend, kind): certify(kind(bend=bend), point).end_point
        for bend in (1.0, -1.0)
        for kind in (Ring, Turned, Counted)
    }
    assert words[1.0, Ring] == "degenerate"
    assert words[1.0, Turned] == words[1.0, Counted] == "minimum"
    assert {words[-1.0, kind] for kind in (Ring, Turned, Counted)} == {
        "min-max saddle"
    }


def test_products_leave_a_stated_rotation_out_too(monkeypatch):
    monkeypatch.setattr("sfnbench.metrics._hessian.DENSE_LIMIT", 0)
    words = {
        (bend, kind): certify(kind(bend=bend), at(1.0)).end_point
        for bend in (1.0, -1.0)
        for kind in (Ring, Turned, Counted)
    }
    assert words[1.0, Ring] == "degenerate"
    assert words[1.0, Turned] == "minimum"
    assert words[1.0, Counted] == "not certified"  # how often is 0 an eigenvalue?
    assert {words[-1.0, kind] for kind in (Ring, Turned, Counted)} == {
        "min-max saddle"
    }


@settings(max_examples=4)
@given(st.floats(0, 6.3))
def test_what_counts_is_the_complement_of_the_rotation(angle):
    point, problem = at(angle), Turned()
    H = problem.hessian(point, None)
    for kind in (Turned, Counted):
        basis = counted_directions(kind(), point, H)
        L = np.linalg.eigvalsh((basis.mT @ H @ basis).numpy())
        # these are the second derivatives along z and the radius
        assert pytest.approx([1.0, 2.0]) == L
    assert counted_directions(Ring(), point, H) is None


def test_the_middle_of_the_ring_does_not_move():
    middle = torch.zeros(3).double()
    assert zero_mode_rank(Turned().zero_modes(middle)) == 0
    for kind in (Turned, Counted):
        assert certify(kind(bend=-1.0), middle).end_point == "maximum"


def test_dependent_modes_count_once():
    modes = Twice().zero_modes(at(1.0))
    assert (len(modes), zero_mode_rank(modes)) == (2, 1)
    assert zero_mode_rank(torch.zeros(0, 3)) == 0


@pytest.mark.parametrize("kind", [Ring, Turned, Counted])
def test_right_generators_keep_the_contract(kind):
    zero_modes_are_symmetries(kind())
    zero_modes_are_symmetries(kind(bend=-1.0))


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        (Wrong, "along zero mode 0 the loss has"),
        (Twice, "1 of 2 zero modes are independent"),
        (Flat, r"have shape \(1, 2\), not \(n, 3\)"),
        (TooMany, "n_zero_modes is 4, dim is 3"),
        (OneTooMany, "2 zero modes are stated, but 1 eigenvalue is zero"),
    ],
)
def test_wrong_generators_break_the_contract(kind, why):
    with pytest.raises(CheckError, match=why):
        zero_modes_are_symmetries(kind())
