"""The quadratic saddle: exact values, derivatives, start and misuse."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sfnbench.problems.quadratic_saddle import QuadraticSaddle

curvatures = st.lists(
    st.floats(-20, 20).map(lambda a: round(a, 3)), min_size=1, max_size=6
).map(tuple)
rotations = st.one_of(st.none(), st.integers(0, 1000))


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(n, seed=0):
    return torch.randn(n, generator=rng(seed), dtype=torch.float64)


def test_as_it_stands_it_is_five_x_squared_minus_y_squared():
    x, y = point = normal(2)
    assert QuadraticSaddle().loss(point, None).item() == pytest.approx(
        (5 * x**2 - y**2).item(), rel=1e-14
    )


@given(eigenvalues=curvatures, seed=st.integers(0, 99))
def test_unrotated_values(eigenvalues, seed):
    problem = QuadraticSaddle(eigenvalues=eigenvalues)
    point = normal(problem.dim, seed)
    by_hand = math.fsum(
        a * x * x / 2 for a, x in zip(eigenvalues, point.tolist(), strict=True)
    )
    assert problem.loss(point, None).item() == pytest.approx(
        by_hand, rel=1e-12, abs=1e-12
    )


@given(eigenvalues=curvatures, rotation=rotations, seed=st.integers(0, 99))
def test_derivatives_of_a_quadratic(eigenvalues, rotation, seed):
    """Grad f = H x and f = x^T H x / 2, with the H that automatic differentiation finds."""
    problem = QuadraticSaddle(eigenvalues=eigenvalues, rotation=rotation)
    point = normal(problem.dim, seed)
    gradient = torch.func.grad(lambda t: problem.loss(t, None))
    H = problem.hessian(point, None)
    torch.testing.assert_close(
        H, torch.func.jacrev(gradient)(point), rtol=1e-12, atol=1e-12
    )
    torch.testing.assert_close(gradient(point), H @ point, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(
        problem.loss(point, None), point @ H @ point / 2, rtol=1e-12, atol=1e-12
    )
    torch.testing.assert_close(
        torch.linalg.eigvalsh(H),
        torch.tensor(sorted(eigenvalues), dtype=H.dtype),
        rtol=1e-12,
        atol=1e-12,
    )


def test_rotations_are_orthogonal_and_each_seed_has_its_own():
    like = torch.zeros(0, dtype=torch.float64)
    first, again, other = (
        QuadraticSaddle(eigenvalues=(1.0,) * 5, rotation=seed).axes(like)
        for seed in (1, 1, 2)
    )
    torch.testing.assert_close(
        first @ first.mT, torch.eye(5, dtype=torch.float64), rtol=0, atol=1e-14
    )
    assert torch.equal(first, again)
    assert not torch.allclose(first, other)


def test_rotations_are_uniform():
    """Over the orthogonal group the trace has mean 0 and variance 1.

    400 seeds, 5 standard errors.
    """
    like = torch.zeros(0, dtype=torch.float64)
    seeds = range(400)
    traces = torch.stack(
        [
            QuadraticSaddle(eigenvalues=(1.0,) * 3, rotation=seed)
            .axes(like)
            .trace()
            for seed in seeds
        ]
    )
    assert abs(traces.mean().item()) < 5 / math.sqrt(400)
    assert abs(traces.square().mean().item() - 1) < 5 * math.sqrt(2 / 400)


def test_rotation_works_first_inside_a_transform():
    points = torch.stack([normal(2, seed) for seed in range(4)])
    fresh, warm = (QuadraticSaddle(rotation=3) for _ in range(2))
    alone = torch.stack(
        [torch.func.grad(lambda t: warm.loss(t, None))(p) for p in points]
    )
    together = torch.func.vmap(torch.func.grad(lambda t: fresh.loss(t, None)))(
        points
    )
    torch.testing.assert_close(together, alone)
    torch.testing.assert_close(
        fresh.hessian(points[0], None), warm.hessian(points[0], None)
    )
    torch.testing.assert_close(
        torch.func.vmap(lambda t: fresh.hessian(t, None))(points)[3],
        warm.hessian(points[0], None),
    )


@given(
    eigenvalues=curvatures,
    rotation=rotations,
    radius=st.floats(1e-6, 1e3),
    seed=st.integers(0, 99),
)
def test_starts_at_the_radius(eigenvalues, rotation, radius, seed):
    problem = QuadraticSaddle(
        eigenvalues=eigenvalues, rotation=rotation, radius=radius
    )
    start = problem.start(rng(seed))
    assert start.norm().item() == pytest.approx(radius, rel=1e-12)
    assert start.dtype == torch.float64
    assert torch.equal(start, problem.start(rng(seed)))
    assert not torch.equal(start, problem.start(rng(seed + 1))) or problem.dim == 1


def test_starts_have_no_direction():
    starts = torch.stack(
        [QuadraticSaddle(radius=1.0).start(rng(seed)) for seed in range(400)]
    )
    assert (starts.mean(0).abs() < 5 * math.sqrt(0.5 / 400)).all()
    assert (starts.square().mean(0) - 0.5).abs().max() < 5 * math.sqrt(0.125 / 400)


def test_a_stated_start_is_in_unrotated_coordinates():
    flat = QuadraticSaddle(start_at=(0.0, 2.0))
    turned = QuadraticSaddle(start_at=(0.0, 2.0), rotation=5)
    assert flat.start(rng()).tolist() == [0.0, 2.0]
    assert not torch.allclose(turned.start(rng()), flat.start(rng()))
    assert turned.loss(turned.start(rng()), None).item() == pytest.approx(-4.0)


@given(eigenvalues=curvatures, rotation=rotations)
def test_the_origin_is_critical_and_its_index_known(eigenvalues, rotation):
    problem = QuadraticSaddle(eigenvalues=eigenvalues, rotation=rotation)
    (known,) = problem.critical_points
    spectrum = torch.linalg.eigvalsh(problem.hessian(known.point, None))
    assert (spectrum < -1e-8 * spectrum.abs().max()).sum() == known.index
    assert problem.loss(known.point, None).item() == known.loss == 0.0
    assert problem.bounded_below == (known.index == 0)
    assert (problem.saddle is None) == (known.index == 0)


def test_escape_is_a_fall_by_the_stated_drop():
    problem = QuadraticSaddle(escape_drop=4.0)
    for y, left in ((1.99, False), (2.01, True)):
        point = torch.tensor([0.0, y], dtype=torch.float64)
        assert problem.escaped(point, problem.loss(point, None)).item() is left


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"eigenvalues": ()}, "must not be empty"),
        ({"eigenvalues": (1.0, math.nan)}, "must be finite"),
        ({"start_at": (1.0,)}, "start_at has 1 coordinates, but the problem has 2"),
        ({"start_at": (1.0, math.inf)}, "start_at must be finite"),
    ],
)
def test_misuse(fields, message):
    with pytest.raises(ValueError, match=message):
        QuadraticSaddle(**fields)
