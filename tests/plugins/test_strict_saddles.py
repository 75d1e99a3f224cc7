"""Problems whose every critical point is known.

Counted, and tested by the contract in more than their defaults.
"""

import math

import pytest
import torch

from sfnbench.members import contract, registry

CLASSES = {
    name: registry.load(registry.find("problem", name))
    for name in (
        "lee",
        "octopus",
        "strict_saddle_quartic",
        "matrix_factorization",
        "tensor_decomposition",
    )
}
VARIANTS = [
    ("octopus", {"n": 1}),
    ("octopus", {"n": 9, "smoothness": 3.0}),
    ("strict_saddle_quartic", {"n": 1}),
    ("strict_saddle_quartic", {"index": 2}),
    ("strict_saddle_quartic", {"coupling": 0.1}),
    ("strict_saddle_quartic", {"n": 5, "coupling": -0.3}),
    ("strict_saddle_quartic", {"n": 3, "coupling": 0.9}),
    ("matrix_factorization", {"rank": 4}),
    ("matrix_factorization", {"saddle_at": (1, 2)}),
    ("matrix_factorization", {"rank": 3, "singular_values": (1.0, 5.0, 2.0)}),
    ("tensor_decomposition", {"n": 2}),
    ("tensor_decomposition", {"objective": "one"}),
    ("tensor_decomposition", {"objective": "one", "n": 5, "support": 3}),
]


@pytest.mark.parametrize(("name", "params"), VARIANTS)
@pytest.mark.parametrize(
    "check", contract.PROBLEM_CHECKS, ids=lambda check: check.__name__
)
def test_variants_keep_the_contract(name, params, check):
    check(CLASSES[name](**params))


@pytest.mark.parametrize(
    ("name", "params"), [(name, {}) for name in CLASSES] + VARIANTS
)
def test_a_race_starts_near_its_saddle_which_is_strict(name, params):
    problem = CLASSES[name](**params)
    start = problem.start(torch.Generator().manual_seed(0))
    length = getattr(problem, "radius", None)
    if length is not None:
        assert (start - problem.saddle.point).norm().item() == pytest.approx(length)
    assert problem.saddle.index > 0
    assert (
        torch.linalg.eigvalsh(problem.hessian(problem.saddle.point, None))[0]
        < -1e-3
    )


def test_the_quartic_has_every_index_uncoupled_and_coupling_favours_mixed_signs():
    quartic = CLASSES["strict_saddle_quartic"]
    assert [point.index for point in quartic(n=6).critical_points] == list(range(7))
    _, alike, mixed = quartic(n=6, coupling=0.2).critical_points
    assert mixed.loss < alike.loss
    # `alike` has 12 t^2 - 2 - c = 0.8 here
    assert (alike.index, mixed.index) == (0, 0)
    # and here - 1.6: a minimum along (1, ..., 1) alone
    assert quartic(n=6, coupling=0.35).critical_points[1].index == 5


def test_the_minimum_of_the_factorization_is_that_of_eckart_and_young():
    problem = CLASSES["matrix_factorization"](
        singular_values=(1.0, 5.0, 2.0, 4.0), rank=2
    )
    minima = [point for point in problem.critical_points if point.index == 0]
    assert [point.loss for point in minima] == [(1 + 4) / 2]
    assert min(point.loss for point in problem.critical_points) == minima[0].loss


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        (
            "strict_saddle_quartic",
            {"index": 9},
            "index must be at most n = 4, got 9",
        ),
        (
            "strict_saddle_quartic",
            {"index": 1, "coupling": 0.1},
            "index must be None where coupling is not 0, got 1",
        ),
        (
            "strict_saddle_quartic",
            {"n": 2, "coupling": math.nan},
            "coupling must be finite, got nan",
        ),
        (
            "matrix_factorization",
            {"rank": 5},
            "rank must be at most 4, the number of singular_values, got 5",
        ),
        (
            "matrix_factorization",
            {"singular_values": (1.0, 1.0)},
            "singular_values must be different positive numbers",
        ),
        (
            "matrix_factorization",
            {"saddle_at": (4,)},
            "saddle_at must be at most rank = 2 different places in 0..3",
        ),
        (
            "tensor_decomposition",
            {"support": 2},
            "support must be None where all components are sought, got 2",
        ),
        (
            "tensor_decomposition",
            {"objective": "one", "support": 1},
            "support must be in 2..4, got 1",
        ),
    ],
)
def test_misuse(name, params, message):
    with pytest.raises(ValueError, match=message):
        CLASSES[name](**params)
