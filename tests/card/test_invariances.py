"""Invariances that follow from each method's equation."""

import pytest

from sfnbench.card.invariances import invariances
from sfnbench.results.cells import text

ROTATION, PERMUTATION = "rotation", "permutation"
LOSS, ALL, EACH = (
    "loss times 10",
    "parameters times 10",
    "each parameter its own unit",
)


def invariant(use, **params):
    (line,) = invariances("it", use, params)
    return {name for name, entry in line.items() if text(entry) == "invariant"}


@pytest.mark.parametrize(
    ("use", "params", "expected"),
    [
        # g turns with the axes, and has a unit
        ("gradient_descent", {"lr": 0.1}, {ROTATION, PERMUTATION}),
        # H^-1 g has the unit of theta, in any affine coordinates
        ("damped_newton", {"damping": 0}, {ROTATION, PERMUTATION, LOSS, ALL, EACH}),
        # |H| knows orthogonal axes
        ("sfn", {"damping": 0}, {ROTATION, PERMUTATION, LOSS, ALL}),
        # g / |g| by coordinates, epsilon aside
        ("torch.optim.Adam", {"lr": 0.01, "eps": 1e-30}, {PERMUTATION, LOSS}),
    ],
)
def test_what_theory_says(use, params, expected):
    assert invariant(use, **params) == expected
